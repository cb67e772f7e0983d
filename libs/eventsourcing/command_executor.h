// The way of a command (ARCHITECTURE.md): one worker for each partition, batches of waiting
// commands, decisions that build on each other within a batch and on batches that are still being
// written, one answer for each caller when its record is durable.
#pragma once

#include <google/protobuf/message.h>
#include <prometheus/registry.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "buurtlog/log/v1/replica_service.pb.h"
#include "buurtlog/type/v1/command.pb.h"
#include "libs/base/check.h"
#include "libs/base/clock.h"
#include "libs/base/ids.h"
#include "libs/base/random.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventsourcing/command_rule.h"
#include "libs/eventsourcing/decider.h"
#include "libs/eventsourcing/event_codec.h"
#include "libs/eventsourcing/state_store.h"

namespace buurtlog::eventsourcing {

// Idempotency keys are looked up for this long; older ones are refused.
inline constexpr absl::Duration kKeyAgeMax = absl::Hours(24 * 90);
// A key or an occurred_at may lie this far in the future.
inline constexpr absl::Duration kFutureMax = absl::Minutes(5);
// An owner whose clock is this far behind the newest record does not begin an epoch.
inline constexpr absl::Duration kClockBehindMax = absl::Seconds(5);

// Reason of the FAILED_PRECONDITION of a command that the region does not write yet.
inline constexpr char kWriteRelease[] = "WRITE_RELEASE";

// One command, ready to be decided. Made by MakeCommand.
struct Command {
  const AggregateType* type = nullptr;
  Uuid partition_key;
  Uuid stream_id;
  Uuid idempotency_key;
  // False for the commands of processes: their keys are never too old, and their occurred_at stands
  // in a log already, written by another machine whose clock may be ahead of this one's.
  bool key_has_age = true;
  log::v1::Actor actor;
  absl::Time occurred_at = absl::InfinitePast();  // InfinitePast: now
  std::optional<absl::Time> device_time;
  std::optional<uint64_t> expected_version;
  Uuid correlation_id;
  Uuid causation_id;
  bool validate_only = false;
  absl::Time deadline = absl::InfiniteFuture();
  std::string canonical;  // the command's bytes without its header, for telling a repeat from
                          // another command
  Decision decide;
  uint32_t since = 1;  // the release of the events that it may write
  // The facts that `decide` stands on, for another replica; without them it is decided in this
  // process or not at all.
  std::function<std::string()> facts;
};

using CommandDone = absl::AnyInvocable<void(absl::StatusOr<type::v1::Receipt>)>;

// A command that is decided by the type's rule for such requests. The header's form must have been
// checked (libs/rpc/request_validator.h); ApplyHeader takes what it says. `canonical` is made from
// `request` with its field `header` cleared, in deterministic serialization.
template <typename Request, typename Facts = NoFacts>
Command MakeCommand(const AggregateType& type, const Uuid& partition_key, const Uuid& stream_id,
                    const Request& request, Facts facts = {});

// Fills key, times, expected version and validate_only from a header. INVALID_ARGUMENT naming the
// field.
absl::Status ApplyHeader(const type::v1::CommandHeader& header, Command& command);

// Serializes without field `header`, deterministically.
std::string CanonicalBytes(const google::protobuf::Message& request);

struct ExecutorOptions {
  std::string owner;             // how this process names itself in epoch records: its address
  std::string command_hash_key;  // 32 bytes, the same in all replicas of a region
  // Several replicas write to the log: this one owns the partitions that Assign names, follows the
  // others, and hands commands for them to their owners. False: it owns all.
  bool shared = false;
  // Commands that may write events of a later release are FAILED_PRECONDITION with WRITE_RELEASE.
  uint32_t write_release = kEventRelease;
  // Commands that wait in a partition to be decided, and as many for an owner; one more is
  // RESOURCE_EXHAUSTED.
  size_t queue_max = 10'000;
  size_t batch_max = 1'024;          // commands decided in one batch
  size_t batches_in_flight_max = 4;  // appended, not yet durable, for each partition
  size_t cached_states_max = 2'048;  // for each partition
  size_t recorded_refusals_per_minute_max =
      600;  // for each actor and partition; one more is RESOURCE_EXHAUSTED
};

class CommandForwarder;

// Thread-safe. The log, store, scheduler, clock, random numbers, registry and forwarder outlive it.
class CommandExecutor {
 public:
  struct Parts {
    eventlog::EventLog& log;
    StateStore& store;
    Scheduler& scheduler;
    Clock& clock;
    Random& random;
    prometheus::Registry& metrics;
    CommandForwarder* forwarder = nullptr;  // null: commands wait until this replica owns
  };
  // `types`: all aggregates of the service; their events are registered in `codec`.
  CommandExecutor(Parts parts, std::vector<const AggregateType*> types, ExecutorOptions options);
  // Stops taking commands; those that wait or are under way are answered UNAVAILABLE. Whether one
  // that was under way took effect is found out by repeating it under its key. Waits for no disk,
  // so that a simulation can end an executor at any moment.
  ~CommandExecutor();

  // Before Start: as ExecutorOptions::owner.
  void SetOwner(std::string owner);

  // Begins an epoch in every partition, folds what the store missed, and calls `ready`.
  // FAILED_PRECONDITION with reason CLOCK_BEHIND when this machine's clock is more than
  // kClockBehindMax behind the newest record. Commands that come earlier wait. On a shared log it
  // is ready when it follows all partitions.
  void Start(absl::AnyInvocable<void(absl::Status)> ready);

  // On a shared log: the partitions that this replica is to own from now on, of which the others
  // that it owns are kept until their new owners have begun. Who owns is decided by epoch records
  // alone; an assignment says who may begin one. Each call is a new assignment, also for partitions
  // that it names again.
  void Assign(const std::vector<eventlog::Partition>& partitions);
  // How many partitions it owns, as far as it knows.
  size_t owned() const;

  // OK unless a partition's log cannot be followed any more (DATA_LOSS, UNIMPLEMENTED); its
  // commands are answered UNAVAILABLE. FAILED_PRECONDITION with CLOCK_BEHIND while this replica may
  // not begin an epoch.
  absl::Status health() const;

  // Decides and writes the command; `done` is called once, on a thread of the scheduler's, and must
  // not block.
  //   OK                   the receipt; also for a repeat
  //   INVALID_ARGUMENT     the key is too old or from the future, the record would be too large
  //   ALREADY_EXISTS       the key named another command before
  //   FAILED_PRECONDITION  a rule said no
  //   ABORTED              the stream is not at the expected version
  //   DEADLINE_EXCEEDED    not begun before the deadline
  //   RESOURCE_EXHAUSTED   queue full, disk full, or too many recorded refusals; nothing was
  //   written UNAVAILABLE          shutting down, or the log is out of reach; repeat with the same
  //   key INTERNAL             the decision could not be read again (text that is not UTF-8);
  //   nothing
  //                        was written
  void Execute(Command command, CommandDone done);

  // A command that another replica took and handed to this one, the owner. Answers as Execute, and
  // UNAVAILABLE with NOT_OWNER; INVALID_ARGUMENT and UNIMPLEMENTED as FromHanded.
  void ExecuteHanded(const log::v1::HandedCommand& handed, absl::Time deadline, CommandDone done);

  // Many commands, one receipt or error each, in the same order. Each takes effect on its own; a
  // repeat completes what is missing.
  void ExecuteAll(std::vector<Command> commands,
                  absl::AnyInvocable<void(std::vector<absl::StatusOr<type::v1::Receipt>>)> done);

  // The durable state of a stream, with its version (0: none). For queries that need exactly this
  // and for tests.
  void ReadState(const AggregateType& type, const Uuid& partition_key, const Uuid& stream_id,
                 absl::AnyInvocable<void(absl::StatusOr<StoredState>)> done);

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

// ---- template

template <typename Request, typename Facts>
Command MakeCommand(const AggregateType& type, const Uuid& partition_key, const Uuid& stream_id,
                    const Request& request, Facts facts) {
  const auto* const rule =
      dynamic_cast<const RuleFor<Request, Facts>*>(RuleOf(type, *Request::descriptor()));
  CHECK(rule != nullptr);  // a kind of command that the aggregate does not name
  Command command;
  command.type = &type;
  command.partition_key = partition_key;
  command.stream_id = stream_id;
  command.canonical = CanonicalBytes(request);
  if constexpr (std::is_same_v<Facts, NoFacts>) {
    command.facts = [] { return std::string(); };
  } else {
    command.facts = [rule, facts] { return rule->Serialize(facts); };
  }
  command.decide = rule->Bind(request, std::move(facts));
  command.since = rule->since();
  return command;
}

}  // namespace buurtlog::eventsourcing
