// The rules of a client: taken in once, exactly one responsible nurse, care that ends once.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "buurtlog/clients/v1/clients_events.pb.h"
#include "buurtlog/clients/v1/clients_service.pb.h"
#include "buurtlog/clients/v1/clients_state.pb.h"
#include "libs/eventsourcing/decider.h"
#include "services/clients/domain/intake_facts.h"

namespace buurtlog::clients {

using Events = std::vector<v1::ClientEvent>;
using eventsourcing::CommandContext;

// The new client's id: the one the caller chose, else one that follows from the key, so that a
// repeat meets the same stream. INVALID_ARGUMENT naming the field.
absl::StatusOr<Uuid> ClientIdOf(const v1::TakeClientInRequest& command);

absl::StatusOr<Events> Decide(const v1::ClientState& client, const v1::TakeClientInRequest& command,
                              const IntakeFacts& facts, const CommandContext& context);
absl::StatusOr<Events> Decide(const v1::ClientState& client,
                              const v1::HandOverClientRequest& command, const TeamFacts& team,
                              const CommandContext& context);
absl::StatusOr<Events> Decide(const v1::ClientState& client, const v1::EndCareRequest& command,
                              const CommandContext& context);

// Goes up when the same events give another state.
inline constexpr uint32_t kEvolveVersion = 1;
void Evolve(v1::ClientState& client, const v1::ClientEvent& event);

// Category `client`, partition key: the client's id. Lives for ever.
const eventsourcing::AggregateType& ClientAggregate();

}  // namespace buurtlog::clients
