// The rules of a visit: planned, realised, corrected, moved to the right client, cancelled. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "buurtlog/visits/v1/visits_commands.pb.h"
#include "buurtlog/visits/v1/visits_events.pb.h"
#include "buurtlog/visits/v1/visits_service.pb.h"
#include "buurtlog/visits/v1/visits_state.pb.h"
#include "libs/eventsourcing/decider.h"
#include "services/visits/domain/client_facts.h"

namespace buurtlog::visits {

using eventsourcing::CommandContext;
using Events = std::vector<v1::VisitEvent>;

// Goes up when the same events give another state.
inline constexpr uint32_t kEvolveVersion = 1;
// A visit is recorded when it has begun; a nurse's watch may run ahead of ours by this much.
inline constexpr absl::Duration kClockToleranceMax = absl::Minutes(5);
// Care goes before paper: a visit may begin this long before the record says that care of the
// client began, or that the nurse joined the team.
inline constexpr absl::Duration kBeforeRecordMax = absl::Hours(30 * 24);
// Two years, of which one may be a leap year. Whatever is planned further ahead is a slip of the
// pen.
inline constexpr absl::Duration kPlanAheadMax = absl::Hours(731 * 24);

// NOT_FOUND, ALREADY_EXISTS, or a refusal with one of the reasons of README.md.
absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::PlanVisitRequest& command,
                              const ClientFacts& client, const CommandContext& context);
absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::ConfirmVisit& command,
                              const ClientFacts& client, const CommandContext& context);
absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::RecordVisitRequest& command,
                              const ClientFacts& client, const CommandContext& context);
absl::StatusOr<Events> Decide(const v1::VisitState& visit,
                              const v1::RecordUnplannedVisitRequest& command,
                              const ClientFacts& client, const CommandContext& context);
absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::CorrectVisitRequest& command,
                              const ClientFacts& client, const CommandContext& context);
// `to_client` is the client to whom it moves.
absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::MoveVisitRequest& command,
                              const ClientFacts& to_client, const CommandContext& context);
// Asks nothing of the client: the visit took place, and the rules were applied when it was
// withdrawn.
absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::RecordMovedVisit& command,
                              const CommandContext& context);
absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::CancelVisitRequest& command,
                              const CommandContext& context);

void Evolve(v1::VisitState& visit, const v1::VisitEvent& event);

// Category `visit`, partition key: the client's id.
const eventsourcing::AggregateType& VisitAggregate();

// Ids of what a command with this key makes.
std::string NewVisitId(const Uuid& idempotency_key);
std::string NewRecordingId(const Uuid& idempotency_key);

}  // namespace buurtlog::visits
