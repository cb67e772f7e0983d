// What a decider is given, and how an aggregate tells the executor of its rules. A decider is a
// pair of pure functions beside the state (ARCHITECTURE.md):
//
//   absl::StatusOr<Events> Decide(const v1::VisitState&, const v1::CheckInRequest&,
//                                 const CommandContext&);
//   void Evolve(v1::VisitState&, const v1::VisitEvent&);
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "buurtlog/log/v1/record.pb.h"
#include "libs/base/ids.h"
#include "libs/base/refusal.h"

namespace buurtlog::eventsourcing {

// All that a rule may know besides state and command. Same context, same decision.
struct CommandContext {
  absl::Time now;          // when the log takes it (recorded_at)
  absl::Time occurred_at;  // when it happened
  Uuid command_id;         // the idempotency key
  log::v1::Actor actor;

  // The id of something this command creates: follows from the key, so that a repeat makes the
  // same.
  Uuid NewId(std::string_view name) const { return DerivedUuid(command_id, name); }
};

using WrappedEvents = std::vector<std::unique_ptr<google::protobuf::Message>>;

// A rule with its request and all else that it is given, but the state. Pure; may run more than
// once (after a lost race), and not on the caller's thread.
using Decision = std::function<absl::StatusOr<WrappedEvents>(const google::protobuf::Message& state,
                                                             const CommandContext& context)>;

// Each event in its wrapper.
template <typename Event>
absl::StatusOr<WrappedEvents> Wrap(absl::StatusOr<std::vector<Event>> events) {
  if (!events.ok()) return events.status();
  WrappedEvents wrapped;
  wrapped.reserve(events->size());
  for (Event& event : *events) wrapped.push_back(std::make_unique<Event>(std::move(event)));
  return wrapped;
}

// The release of events that this executable can write and read: goes up with each new event type
// or field. A region writes those of its write release (service_node.h) and before, so that
// executables of the release before can read its logs.
inline constexpr uint32_t kEventRelease = 1;

// How one kind of command is decided (command_rule.h). Lives for ever.
class CommandRule {
 public:
  // `since`: the first release that can read what the rule writes.
  explicit CommandRule(uint32_t since) : since_(since) {}
  virtual ~CommandRule() = default;
  uint32_t since() const { return since_; }
  virtual const google::protobuf::Descriptor& request() const = 0;
  // From what another replica sent: the request without its header, and the facts of the rule.
  // INVALID_ARGUMENT naming the one of both that cannot be read.
  virtual absl::StatusOr<Decision> Restore(const Uuid& key, std::string_view body,
                                           std::string_view facts) const = 0;

 private:
  const uint32_t since_;
};

// Names an aggregate's category, state, events, Evolve and rules. One static object for each
// aggregate, lives for ever.
struct AggregateType {
  std::string category;  // "visit"; a-z and -, at most 32 bytes
  uint32_t evolve_version = 1;
  const google::protobuf::Message* state = nullptr;  // default instance
  const google::protobuf::Message* event = nullptr;  // default instance of the wrapper
  void (*evolve)(google::protobuf::Message& state,
                 const google::protobuf::Message& event) = nullptr;
  std::vector<std::shared_ptr<const CommandRule>> rules{};  // one for each kind of command
};

template <typename State, typename Event, void (*kEvolve)(State&, const Event&)>
AggregateType MakeAggregateType(std::string category, uint32_t evolve_version,
                                std::vector<std::shared_ptr<const CommandRule>> rules) {
  return {std::move(category),
          evolve_version,
          &State::default_instance(),
          &Event::default_instance(),
          [](google::protobuf::Message& state, const google::protobuf::Message& event) {
            kEvolve(static_cast<State&>(state), static_cast<const Event&>(event));
          },
          std::move(rules)};
}

}  // namespace buurtlog::eventsourcing
