// What the rules of a client need to know besides the client, read before they run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/clients/domain/bsn.h"

namespace buurtlog::clients {

// What the rules need to know of teams.
struct TeamFacts {
  bool team_exists = false;                 // the team of the command, if it names one
  std::vector<std::string> teams_of_nurse;  // of the nurse of the command, now
  friend bool operator==(const TeamFacts&, const TeamFacts&) = default;
};

// For taking a client in.
struct IntakeFacts {
  TeamFacts team;
  BsnRange bsn_range = BsnRange::kTestOnly;  // of the log that is written to
  friend bool operator==(const IntakeFacts&, const IntakeFacts&) = default;
};

// For another replica: a serialized v1::TeamFacts or v1::IntakeFacts. INVALID_ARGUMENT when it
// cannot be read.
std::string SerializeTeamFacts(const TeamFacts& facts);
absl::StatusOr<TeamFacts> ParseTeamFacts(std::string_view bytes);
std::string SerializeIntakeFacts(const IntakeFacts& facts);
absl::StatusOr<IntakeFacts> ParseIntakeFacts(std::string_view bytes);

}  // namespace buurtlog::clients
