// How a replica that does not own a partition has a command decided by the one that does: the
// command as data, and whoever carries it there.
#pragma once

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "buurtlog/log/v1/replica_service.pb.h"
#include "libs/eventsourcing/command_executor.h"

namespace buurtlog::eventsourcing {

// The form in which a command goes to another replica. The deadline goes with the call. Only for a
// command made by MakeCommand.
log::v1::HandedCommand ToHanded(const Command& command);

// What came from another replica. INVALID_ARGUMENT naming the field; UNIMPLEMENTED: an aggregate or
// a kind of command that this release does not know.
absl::StatusOr<Command> FromHanded(const log::v1::HandedCommand& handed,
                                   const std::vector<const AggregateType*>& types);

// Carries commands to other replicas of the service. Thread-safe. Outlives the executor.
class CommandForwarder {
 public:
  virtual ~CommandForwarder() = default;
  // Has the replica that serves at `owner`, an address as in its epoch records, decide the command.
  // `done` is called once, from any thread, with that replica's answer; UNAVAILABLE: it was not
  // reached, or is not the owner, or is unknown whether it decided.
  virtual void Forward(const std::string& owner, log::v1::HandedCommand command,
                       absl::Time deadline, CommandDone done) = 0;
};

}  // namespace buurtlog::eventsourcing
