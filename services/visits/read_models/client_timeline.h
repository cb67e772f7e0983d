// All that happened to a client's visits: what, who, when, and what a correction puts right.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "buurtlog/visits/v1/visits_service.pb.h"
#include "libs/base/ids.h"
#include "libs/eventsourcing/projection.h"

namespace buurtlog::visits {

inline constexpr uint32_t kTimelinePageDefault = 50;
inline constexpr uint32_t kTimelinePageMax = 200;

class ClientTimeline final : public eventsourcing::ReadModel {
 public:
  const eventsourcing::ReadModelSpec& spec() const override;
  absl::Status Apply(const eventsourcing::EventEnvelope& envelope,
                     const google::protobuf::Message& event, sqlite::Connection& rows) override;
};

struct TimelinePage {
  Uuid client_id;
  uint32_t size = 0;       // 0: kTimelinePageDefault
  std::string token = {};  // empty: from the newest on
};
// Newest first. INVALID_ARGUMENT naming `page_token` for one that this query did not give.
absl::StatusOr<v1::GetClientTimelineResponse> TimelineOf(sqlite::Connection& rows,
                                                         const TimelinePage& page);

}  // namespace buurtlog::visits
