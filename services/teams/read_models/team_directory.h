// The directory of teams: which there are, and who is in them now.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "buurtlog/teams/v1/teams_service.pb.h"
#include "libs/eventsourcing/projection.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::teams {

inline constexpr uint32_t kTeamsPerPageDefault = 100;
inline constexpr uint32_t kTeamsPerPageMax = 500;

class TeamDirectory final : public eventsourcing::ReadModel {
 public:
  const eventsourcing::ReadModelSpec& spec() const override;
  absl::Status Apply(const eventsourcing::EventEnvelope& envelope,
                     const google::protobuf::Message& event, sqlite::Connection& rows) override;

  // NOT_FOUND when there is no such team. Ids are in lower case.
  static absl::StatusOr<v1::Team> Find(sqlite::Connection& rows, const std::string& team_id);

  struct PageRequest {
    std::string organisation_id;  // empty: of all
    std::string after_team_id;    // empty: from the first
    uint32_t size = kTeamsPerPageDefault;
  };
  // In the order of their ids, at most kTeamsPerPageMax.
  static absl::StatusOr<v1::ListTeamsResponse> List(sqlite::Connection& rows,
                                                    const PageRequest& page);
};

}  // namespace buurtlog::teams
