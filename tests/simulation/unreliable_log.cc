#include "tests/simulation/unreliable_log.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "libs/base/check.h"

namespace buurtlog::simulation {
namespace {

using eventlog::Epoch;
using eventlog::FoldState;
using eventlog::Partition;
using Appended = absl::AnyInvocable<void(absl::Status)>;
using Begun = absl::AnyInvocable<void(absl::StatusOr<FoldState>)>;

constexpr absl::Duration kLateMax = absl::Milliseconds(300);

absl::Status Unknown() { return absl::UnavailableError("no answer came"); }

// Whatever becomes of this, nobody waits for it.
void IgnoreAppended(absl::Status) {}

}  // namespace

UnreliableLog::UnreliableLog(eventlog::EventLog& log, TaskQueue& later, uint64_t seed,
                             Report& report)
    : state_(std::make_shared<State>(State{&log, later, Dice(seed), report})) {}

UnreliableLog::~UnreliableLog() { LetGo(); }

bool UnreliableLog::State::Fails() {
  if (one_in == 0 || !dice.OneIn(one_in)) return false;
  ++report.faults;
  return true;
}

void UnreliableLog::Hold() { state_->held = true; }

void UnreliableLog::LetGo() {
  state_->held = false;
  for (Task& call : std::exchange(state_->waiting, {})) state_->later.Post(std::move(call));
}

void UnreliableLog::Detach() { state_->log = nullptr; }

absl::Status UnreliableLog::Read(
    Partition partition, FoldState& at, const eventlog::ReadLimits& limits,
    absl::FunctionRef<absl::Status(const eventlog::EntryView&)> visit) {
  if (!state_->Fails()) return state_->log->Read(partition, at, limits, visit);
  // Some of it may have come before it broke off.
  eventlog::ReadLimits some = limits;
  some.entries_max = std::min<size_t>(limits.entries_max, 1 + state_->dice.Below(4));
  if (state_->dice.OneIn(2)) {
    if (absl::Status status = state_->log->Read(partition, at, some, visit); !status.ok()) {
      return status;
    }
  }
  return absl::UnavailableError("the log is out of reach");
}

absl::StatusOr<FoldState> UnreliableLog::Seek(Partition partition, eventlog::Sequence from) {
  return state_->log->Seek(partition, from);
}

absl::Status UnreliableLog::ReadEntries(
    Partition partition, absl::Span<const eventlog::Sequence> sequences,
    const eventlog::ReadLimits& limits,
    absl::FunctionRef<absl::Status(const eventlog::EntryView&)> visit) {
  return state_->log->ReadEntries(partition, sequences, limits, visit);
}

std::unique_ptr<eventlog::Subscription> UnreliableLog::Watch(
    absl::AnyInvocable<void(Partition)> grew) {
  return state_->log->Watch(std::move(grew));
}

absl::StatusOr<FoldState> UnreliableLog::Head(Partition partition) {
  return state_->log->Head(partition);
}

void UnreliableLog::BeginEpoch(Partition partition, std::string owner, Begun done) {
  const StatePtr state = state_;
  const auto call = [state, partition](std::string name, Begun answer) {
    if (state->log == nullptr) return;
    state->log->BeginEpoch(partition, std::move(name), std::move(answer));
  };
  if (state->held) {
    state->waiting.emplace_back([call, owner = std::move(owner), done = std::move(done)]() mutable {
      call(std::move(owner), std::move(done));
    });
    return;
  }
  if (!state->Fails()) return call(std::move(owner), std::move(done));
  switch (state->dice.Below(3)) {
    case 0:  // the call is lost
      state->later.Post([done = std::move(done)]() mutable { done(Unknown()); });
      return;
    case 1:  // the answer is lost
      return call(std::move(owner),
                  [done = std::move(done)](absl::StatusOr<FoldState>) mutable { done(Unknown()); });
    default:  // the answer is late
      call(std::move(owner),
           [state, done = std::move(done)](absl::StatusOr<FoldState> behind) mutable {
             state->later.PostAfter(state->dice.UpTo(kLateMax),
                                    [done = std::move(done), behind = std::move(behind)]() mutable {
                                      done(std::move(behind));
                                    });
           });
  }
}

void UnreliableLog::Forward(const StatePtr& state, Partition partition, Epoch epoch,
                            std::vector<std::string> entries, Appended done) {
  if (state->log != nullptr) {
    state->log->Append(partition, epoch, std::move(entries), std::move(done));
  }
}

// Unless the first one found the disk full: its caller was told that nothing of it will ever count.
void UnreliableLog::ForwardTwice(const StatePtr& state, Partition partition, Epoch epoch,
                                 std::vector<std::string> entries, absl::Duration wait,
                                 Appended done) {
  std::vector<std::string> again = entries;
  Forward(state, partition, epoch, std::move(entries),
          [=, again = std::move(again), done = std::move(done)](absl::Status status) mutable {
            const bool full = absl::IsResourceExhausted(status);
            done(std::move(status));
            if (full) return;
            state->later.PostAfter(wait, [=, again = std::move(again)]() mutable {
              Forward(state, partition, epoch, std::move(again), IgnoreAppended);
            });
          });
}

// A writer that cannot count: an entry that follows by its hash, and not by its number or epoch.
void UnreliableLog::Miscount(const StatePtr& state, Partition partition, Epoch epoch,
                             const std::string& entry) {
  const auto parsed = eventlog::ParseEntry(entry);
  CHECK(parsed.ok());
  eventlog::EntryHeader header = parsed->header;
  if (header.epoch > 1 && state->dice.OneIn(2)) {
    --header.epoch;
  } else {
    header.sequence += 1 + state->dice.Below(2);
  }
  std::string wrong = eventlog::EncodeEntry(header, parsed->body);
  Forward(state, partition, epoch, {std::move(wrong)}, [state](absl::Status status) {
    if (!status.ok()) return;
    state->report.violations.push_back("an entry with a wrong sequence or epoch was taken");
  });
}

void UnreliableLog::Append(Partition partition, Epoch epoch, std::vector<std::string> entries,
                           Appended done) {
  const StatePtr state = state_;
  if (state->held) {
    state->waiting.emplace_back(
        [state, partition, epoch, entries = std::move(entries), done = std::move(done)]() mutable {
          Forward(state, partition, epoch, std::move(entries), std::move(done));
        });
    return;
  }
  if (!state->Fails()) {
    return Forward(state, partition, epoch, std::move(entries), std::move(done));
  }
  const auto later = [&](absl::Status status) {
    state->later.Post(
        [done = std::move(done), status = std::move(status)]() mutable { done(status); });
  };
  switch (state->dice.Below(7)) {
    case 0: return later(Unknown());  // the call is lost
    case 1:                           // the answer is lost
      return Forward(state, partition, epoch, std::move(entries),
                     [done = std::move(done)](absl::Status) mutable { done(Unknown()); });
    case 2:  // the call is late; its caller has given it up
      later(Unknown());
      state->later.PostAfter(state->dice.UpTo(kLateMax),
                             [state, partition, epoch, entries = std::move(entries)]() mutable {
                               Forward(state, partition, epoch, std::move(entries), IgnoreAppended);
                             });
      return;
    case 3:  // it comes twice, the second time at once
      return ForwardTwice(state, partition, epoch, std::move(entries), absl::ZeroDuration(),
                          std::move(done));
    case 4:  // it comes twice, the second time late
      return ForwardTwice(state, partition, epoch, std::move(entries), state->dice.UpTo(kLateMax),
                          std::move(done));
    case 5:
      if (!entries.empty()) Miscount(state, partition, epoch, entries.front());
      return Forward(state, partition, epoch, std::move(entries), std::move(done));
    default:  // the answer is late
      Forward(state, partition, epoch, std::move(entries),
              [state, done = std::move(done)](absl::Status status) mutable {
                state->later.PostAfter(state->dice.UpTo(kLateMax),
                                       [done = std::move(done),
                                        status = std::move(status)]() mutable { done(status); });
              });
  }
}

}  // namespace buurtlog::simulation
