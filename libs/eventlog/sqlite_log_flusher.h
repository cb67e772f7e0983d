// The one writer of a sqlite log: takes the waiting calls of all partitions, judges them through
// the fold, writes those that count to the journal in one batch, and answers when the disk has it
// (group commit). What is durable goes on to the mover.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/clock.h"
#include "libs/base/random.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/journal.h"
#include "libs/eventlog/log_mover.h"
#include "libs/eventlog/log_tail.h"
#include "libs/eventlog/sqlite_event_log.h"

namespace buurtlog::eventlog {

// Bytes of entries that may wait; a call beyond it is answered RESOURCE_EXHAUSTED.
inline constexpr size_t kWaitingBytesMax = 64 << 20;
// Bytes of entries in one batch (one call may be larger).
inline constexpr size_t kFlushBytesMax = 8 << 20;
// Calls that may wait.
inline constexpr size_t kWaitingCallsMax = 64 << 10;
// Those who were answered together mostly come back together. A batch waits for as many as the one
// before had: this long at the most, and no more than this part of what a sync takes.
inline constexpr absl::Duration kGatherMax = absl::Microseconds(100);
inline constexpr int kGatherPartOfSync = 4;

// Thread-safe.
class SqliteLogFlusher {
 public:
  struct Parts {
    const LogIdentity& identity;
    LogTail& tail;
    LogMover& mover;
    Scheduler& scheduler;
    Clock& clock;
    Random& random;
    // Tells readers which partitions grew; from the flusher.
    absl::AnyInvocable<void(const std::vector<Partition>&)> grew;
  };

  SqliteLogFlusher(Parts parts, Journal journal);
  // Finishes what waits, on the caller's thread, and leaves all of it in log.db if it can.
  ~SqliteLogFlusher();

  void Append(Partition partition, Epoch epoch, std::vector<std::string> entries,
              absl::AnyInvocable<void(absl::Status)> done);
  void BeginEpoch(Partition partition, std::string owner,
                  absl::AnyInvocable<void(absl::StatusOr<FoldState>)> done);
  // Set before the first append.
  void OnProgress(absl::AnyInvocable<void(const LogProgress&)> observer);

 private:
  struct Call;
  struct Flush;

  void Add(Call call);
  void FlushWaiting();
  void Gather();
  std::vector<Call> TakeWaiting();
  void Run(std::vector<Call> calls);
  void Judge(Call& call, Flush& flush);
  absl::Status Store(Flush& flush);
  std::vector<CommittedEntryPtr> Publish(Flush& flush);
  absl::Status Settle();

  Parts parts_;
  const size_t record_bytes_max_;

  absl::Mutex mutex_;
  std::vector<Call> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool scheduled_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;  // then nothing more is posted
  size_t expected_ ABSL_GUARDED_BY(mutex_) = 0;   // calls in the batch before
  absl::Duration gather_ ABSL_GUARDED_BY(mutex_);

  // Touched by the flusher's tasks alone.
  Journal journal_;
  std::vector<FoldState> states_;
  std::unique_ptr<Flush>
      doubtful_;  // a write of unknown outcome; nothing is written before it is settled
  absl::AnyInvocable<void(const LogProgress&)> observer_;

  std::unique_ptr<TaskQueue> queue_;
};

}  // namespace buurtlog::eventlog
