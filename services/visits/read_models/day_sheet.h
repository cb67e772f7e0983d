// A nurse's visits of a day, with the name of each client; also the single visit.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "buurtlog/visits/v1/visits_service.pb.h"
#include "libs/base/ids.h"
#include "libs/eventsourcing/projection.h"

namespace buurtlog::visits {

// Longest sheet.
inline constexpr int kVisitsPerSheetMax = 200;

// Visits and the names of clients are kept apart and joined in the query, because they come from
// two services in no order.
class DaySheet final : public eventsourcing::ReadModel {
 public:
  const eventsourcing::ReadModelSpec& spec() const override;
  absl::Status Apply(const eventsourcing::EventEnvelope& envelope,
                     const google::protobuf::Message& event, sqlite::Connection& rows) override;
};

absl::StatusOr<v1::GetDaySheetResponse> DaySheetOf(sqlite::Connection& rows, const Uuid& nurse_id,
                                                   absl::CivilDay day);

struct VisitKey {
  Uuid client_id;
  Uuid visit_id;
};
// NOT_FOUND when there is none.
absl::StatusOr<v1::GetVisitResponse> VisitOf(sqlite::Connection& rows, const VisitKey& key);

}  // namespace buurtlog::visits
