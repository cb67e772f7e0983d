// What command handlers share: from a checked request and its caller to a Command of the executor.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/eventsourcing/command_executor.h"
#include "libs/rpc/service.h"

namespace buurtlog::rpc {

// A Command for `request` (which has a field `header` of type CommandHeader): actor, correlation, deadline and header filled in.
// INVALID_ARGUMENT naming the field. `decide(const State&, const CommandContext&)` gives absl::StatusOr<std::vector<Event>>.
template <typename State, typename Request, typename Decider>
absl::StatusOr<eventsourcing::Command> CommandFor(const CallContext& call, const eventsourcing::AggregateType& type,
                                                  const Uuid& partition_key, const Uuid& stream_id, const Request& request,
                                                  Decider decide) {
  auto command = eventsourcing::MakeCommand<State>(type, partition_key, stream_id, request, std::move(decide));
  if (absl::Status status = eventsourcing::ApplyHeader(request.header(), command); !status.ok()) return status;
  command.actor = identity::ToActor(call.caller, "grpc");
  command.correlation_id = call.correlation_id;
  command.deadline = call.deadline;
  return command;
}

// The positions of a query's `min_position`.
template <typename Positions>
std::vector<eventsourcing::Position> PositionsOf(const Positions& positions) {
  std::vector<eventsourcing::Position> result;
  for (const auto& position : positions) result.push_back(eventsourcing::FromProto(position));
  return result;
}

}  // namespace buurtlog::rpc
