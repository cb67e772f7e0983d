// The rules of a client: taken in once, exactly one responsible nurse, care that ends once.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "buurtlog/clients/v1/clients_events.pb.h"
#include "buurtlog/clients/v1/clients_service.pb.h"
#include "buurtlog/clients/v1/clients_state.pb.h"
#include "libs/eventsourcing/decider.h"
#include "services/clients/domain/bsn.h"

namespace buurtlog::clients {

using Events = std::vector<v1::ClientEvent>;
using eventsourcing::CommandContext;

// What the rules need to know of teams, read before they run.
struct TeamFacts {
  bool team_exists = false;                 // the team of the command, if it names one
  std::vector<std::string> teams_of_nurse;  // of the nurse of the command, now
};

// What the rules need to know of the log they write to.
struct LogFacts {
  BsnRange bsn_range = BsnRange::kTestOnly;
};

// The new client's id: the one the caller chose, else one that follows from the key, so that a
// repeat meets the same stream. INVALID_ARGUMENT naming the field.
absl::StatusOr<Uuid> ClientIdOf(const v1::TakeClientInRequest& command);

absl::StatusOr<Events> Decide(const v1::ClientState& client, const v1::TakeClientInRequest& command,
                              const TeamFacts& team, const LogFacts& log,
                              const CommandContext& context);
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
