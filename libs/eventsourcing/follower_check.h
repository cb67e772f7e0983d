// Which files of a service were folded from entries that its logs do not hold any more. For a
// stopped system.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/eventsourcing/projection_runner.h"

namespace buurtlog::eventsourcing {

struct FollowerAhead {
  std::string path;
  std::string reason;
};

// Looks at the state store, the read models and the processes in the folder of a service. `logs`
// are all that they follow. A file that cannot be read counts too. Reads only.
absl::StatusOr<std::vector<FollowerAhead>> FollowersAhead(
    const std::string& service_folder, const std::string& service,
    const std::vector<eventlog::LogReader*>& logs);

// Takes such a file away, with what SQLite keeps beside it; it is folded anew.
absl::Status RemoveFollower(const std::string& path);

}  // namespace buurtlog::eventsourcing
