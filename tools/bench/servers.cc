#include "tools/bench/servers.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/ids.h"
#include "libs/base/random.h"
#include "libs/base/status_macros.h"
#include "libs/identity/people.h"
#include "libs/identity/tokens.h"

namespace buurtlog::bench {
namespace {

absl::StatusOr<std::string> FreshFolder(const BenchOptions& options, const std::string& name) {
  const std::string folder = absl::StrCat(options.folder, "/", name);
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  std::filesystem::create_directories(folder, error);
  if (error) return absl::UnavailableError(absl::StrCat("cannot make ", folder));
  return folder;
}

// The server makes the issuer's key when it starts; this reads it.
absl::Status OpenIssuer(Running& running) {
  ABSL_ASSIGN_OR_RETURN(running.issuer, identity::DevIssuer::Open(running.folder, SystemFiles(),
                                                                  SystemClock(), SystemRandom()));
  return absl::OkStatus();
}

}  // namespace

std::string Running::NewToken(access::v1::Role role) const {
  if (issuer == nullptr) return "";
  identity::Caller caller;
  caller.person_id = NewUuid(SystemClock().Now(), SystemRandom());
  caller.role = role;
  return issuer->Issue(caller);
}

absl::StatusOr<Running> StartBenchServer(const BenchOptions& options, const std::string& kind,
                                         const std::vector<std::string>& words) {
  Running running;
  ABSL_ASSIGN_OR_RETURN(running.folder, FreshFolder(options, kind));
  ServerCommand command;
  if (kind == "tally") command.arguments = options.wrap;
  command.arguments.push_back(absl::StrCat(options.bin_folder, "/bench_server"));
  command.arguments.push_back(absl::StrCat("--kind=", kind));
  command.arguments.push_back(absl::StrCat("--data=", running.folder));
  command.arguments.push_back(absl::StrCat("--file_bytes=", options.file_bytes));
  command.arguments.insert(command.arguments.end(), words.begin(), words.end());
  command.log_file = absl::StrCat(options.folder, "/", kind, ".log");
  ABSL_ASSIGN_OR_RETURN(running.process, ServerProcess::Start(command));
  if (kind == "tally") ABSL_RETURN_IF_ERROR(OpenIssuer(running));
  return running;
}

absl::StatusOr<Running> StartBuurtlog(const BenchOptions& options, const std::string& data_folder) {
  Running running;
  running.folder = data_folder;
  ServerCommand command;
  command.arguments = options.wrap;
  for (const std::string& word : std::vector<std::string>{
           absl::StrCat(options.bin_folder, "/buurtlog"), "--json", "serve", "--data", data_folder,
           "--insecure-dev", "--address", "127.0.0.1:0", "--team_calls_per_second", "0"}) {
    command.arguments.push_back(word);
  }
  command.log_file = absl::StrCat(options.folder, "/buurtlog.log");
  // The first start after a region was made reads all of it.
  command.serves_within = absl::Minutes(5);
  ABSL_ASSIGN_OR_RETURN(running.process, ServerProcess::Start(command));
  ABSL_RETURN_IF_ERROR(OpenIssuer(running));
  return running;
}

absl::StatusOr<Running> StartPeer(const BenchOptions& options) {
  if (options.umadb.empty()) return absl::NotFoundError("UmaDB is not installed");
  Running running;
  ABSL_ASSIGN_OR_RETURN(running.folder, FreshFolder(options, "umadb"));
  ABSL_ASSIGN_OR_RETURN(const std::string address, FreeLoopbackAddress());
  ServerCommand command;
  command.arguments = {options.umadb, "--listen", address, "--db-path",
                       absl::StrCat(running.folder, "/uma.db")};
  command.log_file = absl::StrCat(options.folder, "/umadb.log");
  command.serving_text = "UmaDB started in";
  command.address = address;
  ABSL_ASSIGN_OR_RETURN(running.process, ServerProcess::Start(command));
  return running;
}

}  // namespace buurtlog::bench
