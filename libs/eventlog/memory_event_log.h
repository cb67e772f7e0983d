// The memory engine: deterministic, for tests and simulations, with faults that can be injected.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"

namespace buurtlog::eventlog {

// What happens to the next append (in order of injection; one fault for one append). After an
// append that was answered UNAVAILABLE all are, until an epoch is begun.
enum class MemoryFault {
  kLostAnswer,    // it lands, the caller hears UNAVAILABLE
  kLostEntry,     // it never lands, the caller hears UNAVAILABLE
  kLateEntry,     // the caller hears UNAVAILABLE at once; it lands at ReleaseLate()
  kDoubledEntry,  // it lands twice; the second landing is void
  kFencedWriter,  // another owner begins an epoch just before it lands
  kTornBatch,     // only the first entry of the call lands; the caller hears UNAVAILABLE
  kDiskFull,      // nothing lands, RESOURCE_EXHAUSTED
};

class MemoryEventLog final : public EventLog {
 public:
  // `scheduler` runs the callbacks and outlives the log. Entries live as long as the log object.
  MemoryEventLog(LogIdentity identity, Scheduler& scheduler);
  ~MemoryEventLog() override;

  const LogIdentity& identity() const override;
  absl::Status Read(Partition partition, FoldState& at, const ReadLimits& limits,
                    absl::FunctionRef<absl::Status(const EntryView&)> visit) override;
  absl::StatusOr<FoldState> Seek(Partition partition, Sequence from) override;
  absl::Status ReadEntries(Partition partition, absl::Span<const Sequence> sequences,
                           const ReadLimits& limits,
                           absl::FunctionRef<absl::Status(const EntryView&)> visit) override;
  std::unique_ptr<Subscription> Watch(absl::AnyInvocable<void(Partition)> grew) override;
  absl::StatusOr<FoldState> Head(Partition partition) override;
  void BeginEpoch(Partition partition, std::string owner,
                  absl::AnyInvocable<void(absl::StatusOr<FoldState>)> done) override;
  void Append(Partition partition, Epoch epoch, std::vector<std::string> entries,
              absl::AnyInvocable<void(absl::Status)> done) override;

  void InjectFault(MemoryFault fault);
  // While it is, nothing lands, and every append and epoch is answered UNAVAILABLE.
  void SetOutOfReach(bool out_of_reach);
  // Lands the late entries, now.
  void ReleaseLate();
  // Every append and epoch takes this long.
  void SetDiskDelay(absl::Duration delay);
  // Changes one byte of a stored entry. For tests of readers.
  void FlipByte(Partition partition, Sequence sequence, size_t offset);
  // Entries that landed and do not count.
  size_t void_entries(Partition partition);

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace buurtlog::eventlog
