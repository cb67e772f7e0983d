// A log as an executor sees it over a bad network, or from a process that is fenced and does not
// know it: answers are lost or late, calls are lost, late, doubled, held up, or refused for want of
// room, and reading fails now and then.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/report.h"

namespace buurtlog::simulation {

// Not thread-safe. `later` and `report` outlive every call that is under way; `log` does, or is let
// go by Detach.
class UnreliableLog final : public eventlog::EventLog {
 public:
  UnreliableLog(eventlog::EventLog& log, TaskQueue& later, uint64_t seed, Report& report);
  ~UnreliableLog() override;

  // One call in so many goes wrong; 0 is none.
  void SetFaults(uint64_t one_in) { state_->one_in = one_in; }
  // While held, calls wait; when let go they reach the log in their order.
  void Hold();
  void LetGo();
  // The log is about to go: what is still on its way to it is lost.
  void Detach();

  const eventlog::LogIdentity& identity() const override { return state_->log->identity(); }
  absl::Status Read(eventlog::Partition partition, eventlog::FoldState& at,
                    const eventlog::ReadLimits& limits,
                    absl::FunctionRef<absl::Status(const eventlog::EntryView&)> visit) override;
  absl::StatusOr<eventlog::FoldState> Seek(eventlog::Partition partition,
                                           eventlog::Sequence from) override;
  absl::Status ReadEntries(
      eventlog::Partition partition, absl::Span<const eventlog::Sequence> sequences,
      const eventlog::ReadLimits& limits,
      absl::FunctionRef<absl::Status(const eventlog::EntryView&)> visit) override;
  std::unique_ptr<eventlog::Subscription> Watch(
      absl::AnyInvocable<void(eventlog::Partition)> grew) override;
  absl::StatusOr<eventlog::FoldState> Head(eventlog::Partition partition) override;
  void BeginEpoch(eventlog::Partition partition, std::string owner,
                  absl::AnyInvocable<void(absl::StatusOr<eventlog::FoldState>)> done) override;
  void Append(eventlog::Partition partition, eventlog::Epoch epoch,
              std::vector<std::string> entries,
              absl::AnyInvocable<void(absl::Status)> done) override;

 private:
  // Shared with calls that are late.
  struct State {
    eventlog::EventLog* log = nullptr;
    TaskQueue& later;
    Dice dice;
    Report& report;
    uint64_t one_in = 0;
    bool held = false;
    std::vector<Task> waiting{};
    // True when this call goes wrong; counts it.
    bool Fails();
  };
  using StatePtr = std::shared_ptr<State>;
  static void Forward(const StatePtr& state, eventlog::Partition partition, eventlog::Epoch epoch,
                      std::vector<std::string> entries,
                      absl::AnyInvocable<void(absl::Status)> done);
  static void ForwardTwice(const StatePtr& state, eventlog::Partition partition,
                           eventlog::Epoch epoch, std::vector<std::string> entries,
                           absl::Duration wait, absl::AnyInvocable<void(absl::Status)> done);
  static void Miscount(const StatePtr& state, eventlog::Partition partition, eventlog::Epoch epoch,
                       const std::string& entry);

  const StatePtr state_;
};

}  // namespace buurtlog::simulation
