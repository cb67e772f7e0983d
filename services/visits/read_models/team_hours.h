// The minutes of a team's realised visits.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "buurtlog/visits/v1/visits_service.pb.h"
#include "libs/base/ids.h"
#include "libs/eventsourcing/projection.h"

namespace buurtlog::visits {

// Longest period that is counted at once.
inline constexpr int kDaysPerPeriodMax = 400;

class TeamHours final : public eventsourcing::ReadModel {
 public:
  const eventsourcing::ReadModelSpec& spec() const override;
  absl::Status Apply(const eventsourcing::EventEnvelope& envelope,
                     const google::protobuf::Message& event, sqlite::Connection& rows) override;
};

struct HoursPeriod {
  Uuid team_id;
  absl::CivilDay from;
  absl::CivilDay to;  // part of the period
};
// A visit belongs to the day on which it begins. INVALID_ARGUMENT naming `to_date` when the period
// ends before it begins or is longer than kDaysPerPeriodMax.
absl::StatusOr<v1::GetTeamHoursResponse> HoursOf(sqlite::Connection& rows,
                                                 const HoursPeriod& period);

}  // namespace buurtlog::visits
