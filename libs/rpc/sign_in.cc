#include "libs/rpc/sign_in.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "buurtlog/access/v1/sign_in_service.pb.h"
#include "libs/base/absl_view.h"
#include "libs/base/refusal.h"

namespace buurtlog::rpc {
namespace {

using access::v1::ListPeopleRequest;
using access::v1::ListPeopleResponse;
using access::v1::SignInRequest;
using access::v1::SignInResponse;
using identity::Person;

constexpr uint32_t kPageSizeDefault = 100;

std::string OptionalId(const Uuid& id) { return id.IsNil() ? "" : id.ToString(); }

class SignIn {
 public:
  SignIn(identity::DevIssuer& issuer, std::vector<Person> people)
      : issuer_(issuer), people_(std::move(people)) {
    for (const Person& person : people_) lower_names_.push_back(absl::AsciiStrToLower(person.name));
  }

  absl::StatusOr<SignInResponse> Answer(const SignInRequest& request) {
    const absl::StatusOr<const Person*> found = Find(request.person());
    if (!found.ok()) return found.status();
    const Person& person = **found;
    SignInResponse response;
    response.set_token(issuer_.Issue(identity::ToCaller(person)));
    response.set_person_id(person.person_id.ToString());
    response.set_role(person.role);
    response.set_team_id(OptionalId(person.team_id));
    response.set_organisation_id(OptionalId(person.organisation_id));
    response.set_name(person.name);
    response.set_team_name(person.team_name);
    return response;
  }

  absl::StatusOr<ListPeopleResponse> Answer(const ListPeopleRequest& request) const {
    size_t at = 0;
    if (!request.page_token().empty() &&
        (!absl::SimpleAtoi(request.page_token(), &at) || at > people_.size())) {
      return InvalidField("page_token", "is not of a page before");
    }
    const size_t page_size = request.page_size() == 0 ? kPageSizeDefault : request.page_size();
    Uuid team_id;
    if (!request.team_id().empty()) {
      const absl::StatusOr<Uuid> parsed = ParseUuid(request.team_id());
      if (!parsed.ok()) return InvalidField("team_id", "is not a UUID");
      team_id = *parsed;
    }
    ListPeopleResponse response;
    for (; at < people_.size(); ++at) {
      const Person& person = people_[at];
      const bool wanted =
          (request.role() == access::v1::ROLE_UNSPECIFIED || request.role() == person.role) &&
          (team_id.IsNil() || team_id == person.team_id);
      if (!wanted) continue;
      // Somebody is left, so there is a next page, and it starts with them.
      if (static_cast<size_t>(response.people_size()) == page_size) {
        response.set_next_page_token(absl::StrCat(at));
        break;
      }
      access::v1::Person& item = *response.add_people();
      item.set_person_id(person.person_id.ToString());
      item.set_name(person.name);
      item.set_role(person.role);
      item.set_team_id(OptionalId(person.team_id));
      item.set_team_name(person.team_name);
      item.set_organisation_id(OptionalId(person.organisation_id));
    }
    return response;
  }

 private:
  // An id, then a whole name, then the beginning of one. Nothing of what was asked comes back in an
  // error.
  absl::StatusOr<const Person*> Find(const std::string& asked) const {
    if (const absl::StatusOr<Uuid> id = ParseUuid(asked); id.ok()) {
      return Only([&](size_t i) { return people_[i].person_id == *id; });
    }
    const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(asked));
    if (name.empty()) return InvalidField("person", "is missing");
    absl::StatusOr<const Person*> whole = Only([&](size_t i) { return lower_names_[i] == name; });
    if (!absl::IsNotFound(whole.status())) return whole;
    return Only([&](size_t i) { return lower_names_[i].compare(0, name.size(), name) == 0; });
  }

  template <typename Matches>
  absl::StatusOr<const Person*> Only(Matches matches) const {
    const Person* found = nullptr;
    for (size_t i = 0; i < people_.size(); ++i) {
      if (!matches(i)) continue;
      if (found != nullptr) {
        return Refuse("NAME_AMBIGUOUS", "several people answer to that; use the id of one");
      }
      found = &people_[i];
    }
    if (found == nullptr) return absl::NotFoundError("there is nobody of that name or id");
    return found;
  }

  identity::DevIssuer& issuer_;
  const std::vector<Person> people_;
  std::vector<std::string> lower_names_;
};

}  // namespace

Service MakeSignInService(identity::DevIssuer& issuer, std::vector<identity::Person> people) {
  const auto sign_in = std::make_shared<SignIn>(issuer, std::move(people));
  Service service("buurtlog.access.v1.SignInService");
  service.Unary<SignInRequest, SignInResponse>(
      "SignIn", [sign_in](const CallContext&, const SignInRequest& request,
                          Reply<SignInResponse> reply) { reply(sign_in->Answer(request)); });
  service.Unary<ListPeopleRequest, ListPeopleResponse>(
      "ListPeople",
      [sign_in](const CallContext&, const ListPeopleRequest& request,
                Reply<ListPeopleResponse> reply) { reply(sign_in->Answer(request)); });
  return service;
}

}  // namespace buurtlog::rpc
