#include "libs/eventsourcing/follower_check.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/files.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/chain_check.h"
#include "libs/eventsourcing/follower_file.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::eventsourcing {
namespace {

// Of a state store, whose partitions are all of one service.
absl::StatusOr<CheckpointVector> StoreCheckpoints(sqlite::Connection& file,
                                                  const std::string& service) {
  CheckpointVector checkpoints;
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement select,
                        file.Prepare("SELECT partition, state FROM checkpoint"));
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return checkpoints;
    ABSL_ASSIGN_OR_RETURN(
        checkpoints[std::make_pair(service, static_cast<eventlog::Partition>(select.Int(0)))],
        eventlog::ParseFoldState(select.Blob(1)));
  }
}

absl::StatusOr<CheckpointVector> CheckpointsOf(const std::string& path,
                                               const std::string& service) {
  ABSL_RETURN_IF_ERROR(CheckBeforeOpening(SystemFiles(), path));
  sqlite::OpenOptions options = FollowerOptions();
  options.read_only = true;
  options.create = false;
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection file, sqlite::Connection::Open(path, options));
  if (absl::EndsWith(path, "/state.db")) return StoreCheckpoints(file, service);
  return LoadCheckpoints(file);
}

absl::Status CheckFollower(const std::string& path, const std::string& service,
                           const std::vector<eventlog::LogReader*>& logs) {
  ABSL_ASSIGN_OR_RETURN(const CheckpointVector checkpoints, CheckpointsOf(path, service));
  for (const auto& [place, checkpoint] : checkpoints) {
    const auto log = std::find_if(logs.begin(), logs.end(), [&](eventlog::LogReader* reader) {
      return reader->identity().service == place.first;
    });
    if (log == logs.end()) continue;
    if (place.second >= (*log)->identity().partitions) {
      return absl::DataLossError("it names a partition that the log does not have");
    }
    const absl::Status on_chain = eventlog::CheckOnChain(**log, place.second, checkpoint);
    if (!on_chain.ok()) {
      return absl::Status(on_chain.code(), absl::StrCat(place.first, " ", on_chain.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<FollowerAhead>> FollowersAhead(
    const std::string& service_folder, const std::string& service,
    const std::vector<eventlog::LogReader*>& logs) {
  std::vector<std::string> paths;
  if (const std::string store = service_folder + "/state.db"; SystemFiles().Exists(store)) {
    paths.push_back(store);
  }
  for (const char* folder : {"/read_models", "/processes"}) {
    auto names = SystemFiles().List(service_folder + folder);
    if (absl::IsNotFound(names.status())) continue;
    ABSL_RETURN_IF_ERROR(names.status());
    for (const std::string& name : *names) {
      if (absl::EndsWith(name, ".db") || absl::EndsWith(name, ".rebuild"))
        paths.push_back(absl::StrCat(service_folder, folder, "/", name));
    }
  }
  std::vector<FollowerAhead> ahead;
  for (std::string& path : paths) {
    const absl::Status checked = CheckFollower(path, service, logs);
    if (!checked.ok()) ahead.push_back({std::move(path), std::string(checked.message())});
  }
  return ahead;
}

absl::Status RemoveFollower(const std::string& path) { return RemoveDatabase(SystemFiles(), path); }

}  // namespace buurtlog::eventsourcing
