#include "tools/buurtlog/sign_in.h"

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "buurtlog/access/v1/sign_in_service.grpc.pb.h"
#include "libs/base/status_macros.h"

namespace buurtlog::command {
namespace {

using access::v1::ListPeopleRequest;
using access::v1::ListPeopleResponse;
using access::v1::Role;
using access::v1::SignInRequest;
using access::v1::SignInResponse;
using access::v1::SignInService;

std::string RoleWord(Role role) {
  std::string word = absl::AsciiStrToLower(absl::StripPrefix(access::v1::Role_Name(role), "ROLE_"));
  return absl::StrReplaceAll(word, {{"_", " "}});
}

absl::Status People(CommandLine& line, const Output& output, uint32_t count,
                    const std::string& role) {
  const SessionOptions options = line.MakeSessionOptions();
  const std::string address = AddressOf(options);
  const Session session = Session::At(address, "", options.timeout);
  auto stub = SignInService::NewStub(session.channel());
  ListPeopleRequest request;
  request.set_page_size(count);
  if (!role.empty()) {
    Role wanted = access::v1::ROLE_UNSPECIFIED;
    const std::string name =
        absl::StrCat("ROLE_", absl::AsciiStrToUpper(absl::StrReplaceAll(role, {{" ", "_"}})));
    if (!access::v1::Role_Parse(name, &wanted)) {
      return absl::InvalidArgumentError("the roles are nurse, coach, back office and operator");
    }
    request.set_role(wanted);
  }
  ABSL_ASSIGN_OR_RETURN(auto people,
                        (session.Call<SignInService::Stub, ListPeopleRequest, ListPeopleResponse>(
                            *stub, &SignInService::Stub::ListPeople, request)));
  output.Json(people);
  Table table({"name", "role", "team", "id"});
  for (const auto& person : people.people()) {
    table.Add({person.name(), RoleWord(person.role()), person.team_name(), person.person_id()});
  }
  table.Print(output);
  if (!people.next_page_token().empty()) output.Line("  ... and more; --count shows more of them");
  return absl::OkStatus();
}

absl::Status Login(CommandLine& line, const Output& output, const std::string& person) {
  const SessionOptions options = line.MakeSessionOptions();
  const std::string address = AddressOf(options);
  absl::StatusOr<SignedIn> who = SignInAs(address, person, options.timeout);
  if (!who.ok()) return who.status();
  ABSL_RETURN_IF_ERROR(SaveSession(options, *who));
  output.Line(absl::StrCat("signed in as ", who->name, " (", who->role, ") at ", address));
  SignInResponse response;
  response.set_person_id(who->person_id);
  response.set_name(who->name);
  response.set_team_id(who->team_id);
  response.set_token(who->token);
  output.Json(response);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SignedIn> SignInAs(const std::string& address, const std::string& person,
                                  absl::Duration timeout) {
  const Session session = Session::At(address, "", timeout);
  auto stub = SignInService::NewStub(session.channel());
  SignInRequest request;
  request.set_person(person);
  ABSL_ASSIGN_OR_RETURN(auto response,
                        (session.Call<SignInService::Stub, SignInRequest, SignInResponse>(
                            *stub, &SignInService::Stub::SignIn, request)));
  return SignedIn{address,         response.token(),          response.person_id(),
                  response.name(), RoleWord(response.role()), response.team_id()};
}

absl::StatusOr<Session> OperatorSession(const SessionOptions& options) {
  const std::string address = AddressOf(options);
  absl::StatusOr<SignedIn> kept = LoadSession(options);
  if (kept.ok() && address == kept->address && kept->role == "operator")
    return Session::Open(options);
  ABSL_ASSIGN_OR_RETURN(SignedIn who, SignInAs(address, "operator", options.timeout));
  return Session::At(address, who.token, options.timeout);
}

void AddSignInCommands(CLI::App& app, CommandLine& line) {
  auto count = std::make_shared<uint32_t>(30);
  auto role = std::make_shared<std::string>();
  CLI::App* people = app.add_subcommand("people", "Who can sign in at a system in trial mode");
  people->add_option("--count", *count, "How many to list")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  people->add_option("--role", *role, "Only nurse, coach, 'back office' or operator");
  people->callback(Runs(line, [count, role](CommandLine& l, const Output& o) {
    return People(l, o, *count, *role);
  }));

  auto name = std::make_shared<std::string>();
  CLI::App* login = app.add_subcommand(
      "login", "Sign in as one of the people of the synthetic region, and stay so");
  login
      ->add_option("NAME", *name, "Name, the beginning of one, or id; `buurtlog people` lists them")
      ->required();
  login->callback(
      Runs(line, [name](CommandLine& l, const Output& o) { return Login(l, o, *name); }));
}

}  // namespace buurtlog::command
