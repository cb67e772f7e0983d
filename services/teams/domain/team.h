// The rules of a team: 1 to 12 people, each of them once.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "buurtlog/teams/v1/teams_events.pb.h"
#include "buurtlog/teams/v1/teams_service.pb.h"
#include "buurtlog/teams/v1/teams_state.pb.h"
#include "libs/eventsourcing/decider.h"

namespace buurtlog::teams {

// Twelve still know each other and each other's clients; a larger team splits in two.
inline constexpr int kTeamMembersMax = 12;

using Events = std::vector<v1::TeamEvent>;
using eventsourcing::CommandContext;

// The new team's id: the one the caller chose, else one that follows from the key, so that a repeat
// meets the same stream. INVALID_ARGUMENT naming the field.
absl::StatusOr<Uuid> TeamIdOf(const v1::FormTeamRequest& command);

absl::StatusOr<Events> Decide(const v1::TeamState& team, const v1::FormTeamRequest& command,
                              const CommandContext& context);
absl::StatusOr<Events> Decide(const v1::TeamState& team, const v1::AddMemberRequest& command,
                              const CommandContext& context);
absl::StatusOr<Events> Decide(const v1::TeamState& team, const v1::EndMembershipRequest& command,
                              const CommandContext& context);

// Goes up when the same events give another state.
inline constexpr uint32_t kEvolveVersion = 1;
void Evolve(v1::TeamState& team, const v1::TeamEvent& event);

// Category `team`, partition key: the team's id. Lives for ever.
const eventsourcing::AggregateType& TeamAggregate();

}  // namespace buurtlog::teams
