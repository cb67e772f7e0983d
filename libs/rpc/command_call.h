// What command handlers share: from a checked request and its caller to a Command of the executor.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "libs/base/refusal.h"
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

// The positions that a read model of facts must reach before a command is decided: those of `header.min_position` in the logs it
// follows. Positions of the service's own log need no wait, because the executor decides on the newest state. INVALID_ARGUMENT
// naming the field for a service that is neither.
inline absl::StatusOr<std::vector<eventsourcing::Position>> PositionsToReach(const type::v1::CommandHeader& header,
                                                                             const std::string& own,
                                                                             const std::vector<std::string>& followed) {
  std::vector<eventsourcing::Position> result;
  for (int i = 0; i < header.min_position_size(); ++i) {
    const std::string& service = header.min_position(i).service();
    if (std::find(followed.begin(), followed.end(), service) != followed.end()) {
      result.push_back(eventsourcing::FromProto(header.min_position(i)));
    } else if (service != own) {
      return InvalidField(absl::StrCat("header.min_position[", i, "].service"), "is not followed here");
    }
  }
  return result;
}

// Answers a command's call with its receipt; `fill` adds what else the response says.
template <typename Response, typename Fill>
eventsourcing::CommandDone ReceiptTo(Reply<Response> reply, Fill fill) {
  return [reply = std::move(reply), fill = std::move(fill)](absl::StatusOr<type::v1::Receipt> receipt) mutable {
    if (!receipt.ok()) return reply(receipt.status());
    Response response;
    *response.mutable_receipt() = *std::move(receipt);
    fill(response);
    reply(std::move(response));
  };
}
template <typename Response>
eventsourcing::CommandDone ReceiptTo(Reply<Response> reply) {
  return ReceiptTo(std::move(reply), [](Response&) {});
}

}  // namespace buurtlog::rpc
