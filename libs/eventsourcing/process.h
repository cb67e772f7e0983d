// A process (manager) answers events with commands of its own service.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "libs/eventsourcing/command_executor.h"
#include "libs/eventsourcing/event_codec.h"

namespace buurtlog::eventsourcing {

class Process {
 public:
  virtual ~Process() = default;
  virtual std::string_view name()
      const = 0;  // never changes; it is part of the keys of the commands
  virtual std::vector<std::string> services() const = 0;
  // Pure. The runner fills in idempotency key (made from event id, name and index), actor,
  // correlation, causation and occurred_at.
  virtual std::vector<Command> React(const EventEnvelope& envelope,
                                     const google::protobuf::Message& event) const = 0;
};

}  // namespace buurtlog::eventsourcing
