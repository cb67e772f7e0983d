// What command handlers share: from a checked request and its caller to a Command of the executor.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libs/base/refusal.h"
#include "libs/eventsourcing/command_executor.h"
#include "libs/eventsourcing/projection_runner.h"
#include "libs/rpc/service.h"

namespace buurtlog::rpc {

// A Command for `request` (which has a field `header` of type CommandHeader): actor, correlation,
// deadline and header filled in. INVALID_ARGUMENT naming the field. The type's rule for such
// requests decides it, on these facts.
template <typename Request, typename Facts = eventsourcing::NoFacts>
absl::StatusOr<eventsourcing::Command> CommandFor(const CallContext& call,
                                                  const eventsourcing::AggregateType& type,
                                                  const Uuid& partition_key, const Uuid& stream_id,
                                                  const Request& request, Facts facts = {}) {
  auto command =
      eventsourcing::MakeCommand(type, partition_key, stream_id, request, std::move(facts));
  if (absl::Status status = eventsourcing::ApplyHeader(request.header(), command); !status.ok())
    return status;
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

// Calls `then` once the positions of `header.min_position` are known here, without a detour when
// there are none. Each position is waited for in the first of `models` that follows its service, so
// a position of the service's own log needs a model of its own log among them. INVALID_ARGUMENT
// naming the field for a service that none follows and for a partition that a log does not have,
// DEADLINE_EXCEEDED when the deadline comes first. The models outlive the call.
inline void WhenKnown(const type::v1::CommandHeader& header, absl::Time deadline,
                      const std::vector<eventsourcing::ProjectionRunner*>& models,
                      absl::AnyInvocable<void(absl::Status)> then) {
  if (header.min_position().empty()) return then(absl::OkStatus());
  std::vector<std::vector<eventsourcing::Position>> of_model(models.size());
  for (int i = 0; i < header.min_position_size(); ++i) {
    const type::v1::Position& position = header.min_position(i);
    const auto follows = [&position](const eventsourcing::ProjectionRunner* model) {
      const std::vector<std::string>& services = model->spec().services;
      return std::find(services.begin(), services.end(), position.service()) != services.end();
    };
    const auto model = std::find_if(models.begin(), models.end(), follows);
    if (model == models.end()) {
      return then(InvalidField(absl::StrCat("header.min_position[", i, "].service"),
                               "is not followed here"));
    }
    of_model[static_cast<size_t>(model - models.begin())].push_back(
        eventsourcing::FromProto(position));
  }
  // One model after the other: each wait ends at the same deadline.
  for (size_t i = models.size(); i-- > 0;) {
    if (of_model[i].empty()) continue;
    then = [model = models[i], min = std::move(of_model[i]), deadline,
            next = std::move(then)](absl::Status before) mutable {
      if (!before.ok()) return next(std::move(before));
      model->WhenReached(std::move(min), deadline,
                         [next = std::move(next)](absl::Status reached) mutable {
                           // A query has the field at its top, a command in its header.
                           if (StatusField(reached) != "min_position")
                             return next(std::move(reached));
                           next(InvalidField("header.min_position",
                                             "names a partition that its service does not have"));
                         });
    };
  }
  then(absl::OkStatus());
}

// Answers a command's call with its receipt; `fill` adds what else the response says.
template <typename Response, typename Fill>
eventsourcing::CommandDone ReceiptTo(Reply<Response> reply, Fill fill) {
  return [reply = std::move(reply),
          fill = std::move(fill)](absl::StatusOr<type::v1::Receipt> receipt) mutable {
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
