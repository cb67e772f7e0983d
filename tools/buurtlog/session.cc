#include "tools/buurtlog/session.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/caller_arguments.h"

namespace buurtlog::command {
namespace {

constexpr absl::Duration kTryAgain = absl::Milliseconds(500);

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::string SessionPath(const SessionOptions& options) {
  if (!options.token_file.empty()) return options.token_file;
  std::string config = Environment("XDG_CONFIG_HOME");
  if (config.empty()) config = absl::StrCat(Environment("HOME"), "/.config");
  return absl::StrCat(config, "/buurtlog/session.json");
}

absl::StatusOr<SignedIn> LoadSession(const SessionOptions& options) {
  absl::StatusOr<std::string> text = SystemFiles().Read(SessionPath(options));
  if (!text.ok()) {
    return absl::UnauthenticatedError(
        "nobody is signed in; `buurtlog people` lists who there is, `buurtlog login NAME` signs "
        "in");
  }
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  auto field = [&json](const char* name) {
    auto at = json.is_object() ? json.find(name) : json.end();
    return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  // gRPC ends a process that sends anything but printable characters.
  const std::string token = field("token");
  if (token.empty() || !std::all_of(token.begin(), token.end(), absl::ascii_isgraph)) {
    return absl::UnauthenticatedError(
        "the file of the last sign-in cannot be read; `buurtlog login NAME` makes it anew");
  }
  return SignedIn{field("address"), token,         field("person_id"),
                  field("name"),    field("role"), field("team_id")};
}

std::string AddressOf(const SessionOptions& options) {
  if (!options.address.empty()) return options.address;
  const absl::StatusOr<SignedIn> kept = LoadSession(options);
  return kept.ok() && !kept->address.empty() ? kept->address : kAddressDefault;
}

absl::Status SaveSession(const SessionOptions& options, const SignedIn& session) {
  const std::string path = SessionPath(options);
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (!folder.empty()) ABSL_RETURN_IF_ERROR(SystemFiles().MakeFolder(folder));
  const nlohmann::json json = {{"address", session.address},     {"token", session.token},
                               {"person_id", session.person_id}, {"name", session.name},
                               {"role", session.role},           {"team_id", session.team_id}};
  return SystemFiles().WriteAtomically(path, json.dump(2) + "\n");
}

Session Session::At(const std::string& address, const std::string& token, absl::Duration timeout) {
  Session session;
  session.who_.address = address;
  session.who_.token = token;
  session.timeout_ = timeout;
  session.channel_ = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(),
                                               rpc::CallerArguments());
  return session;
}

absl::StatusOr<Session> Session::Open(const SessionOptions& options) {
  ABSL_ASSIGN_OR_RETURN(SignedIn who, LoadSession(options));
  const std::string address = options.address.empty() ? who.address : options.address;
  Session session = At(address, who.token, options.timeout);
  session.who_ = std::move(who);
  session.who_.address = address;
  return session;
}

void Session::Prepare(grpc::ClientContext& context) const {
  if (!who_.token.empty())
    context.AddMetadata("authorization", absl::StrCat("Bearer ", who_.token));
  context.AddMetadata("x-correlation-id", NewUuid(SystemClock().Now(), SystemRandom()).ToString());
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout_));
}

bool Session::WaitWhilePassing(const absl::Status& status, absl::Time deadline) {
  const std::string reason = StatusReason(status).value_or("");
  const bool passes =
      absl::IsUnavailable(status) && (reason == "LOG_OUT_OF_REACH" || reason == "NOT_OWNER");
  if (!passes || absl::Now() + kTryAgain >= deadline) return false;
  absl::SleepFor(kTryAgain);
  return true;
}

absl::Status Session::Explained(const absl::Status& status) const {
  std::string message(status.message());
  if (status.code() == absl::StatusCode::kUnavailable && !StatusReason(status).has_value()) {
    absl::StrAppend(&message, "; is a system running at ", who_.address,
                    "? `./run` or `buurtlog serve` starts one");
  } else if (status.code() == absl::StatusCode::kUnauthenticated) {
    absl::StrAppend(&message, "; `buurtlog login NAME` signs in");
  } else {
    return status;
  }
  return absl::Status(status.code(), message);
}

}  // namespace buurtlog::command
