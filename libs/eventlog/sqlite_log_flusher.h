// The one writer of a sqlite log: takes the waiting calls of all partitions, judges them through
// the fold, stores those that count in one transaction, and answers when the disk has it (group
// commit).
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/clock.h"
#include "libs/base/random.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/log_tail.h"
#include "libs/eventlog/sqlite_event_log.h"
#include "libs/eventlog/sqlite_log_file.h"

namespace buurtlog::eventlog {

// Bytes of entries that may wait; a call beyond it is answered RESOURCE_EXHAUSTED.
inline constexpr size_t kWaitingBytesMax = 64 << 20;
// Bytes of entries in one transaction (one call may be larger).
inline constexpr size_t kFlushBytesMax = 8 << 20;
// Calls that may wait.
inline constexpr size_t kWaitingCallsMax = 64 << 10;
// The WAL is moved into the database when it has this many pages (16 MiB).
inline constexpr int kWalPagesMax = 4096;

// Thread-safe.
class SqliteLogFlusher {
 public:
  struct Parts {
    LogFileReader& reader;
    LogTail& tail;
    Scheduler& scheduler;
    Clock& clock;
    Random& random;
    // Tells readers which partitions grew; from the flusher.
    absl::AnyInvocable<void(const std::vector<Partition>&)> grew;
  };

  // `writer` commits, `checkpointer` moves the WAL into the database beside it.
  SqliteLogFlusher(Parts parts, LogFileWriter writer, LogFileWriter checkpointer);
  // Finishes what waits, on the caller's thread.
  ~SqliteLogFlusher();

  void Append(Partition partition, Epoch epoch, std::vector<std::string> entries,
              absl::AnyInvocable<void(absl::Status)> done);
  void BeginEpoch(Partition partition, std::string owner,
                  absl::AnyInvocable<void(absl::StatusOr<FoldState>)> done);
  // Set before the first append.
  void OnFlush(absl::AnyInvocable<void(const FlushStats&)> observer);

 private:
  struct Call;
  struct Flush;

  void Add(Call call);
  void FlushWaiting();
  std::vector<Call> TakeWaiting();
  void Run(std::vector<Call> calls);
  void Judge(Call& call, Flush& flush);
  std::string EpochEntry(const Call& call, const FoldState& state);
  absl::Status Store(Flush& flush);
  void Publish(Flush& flush);
  absl::Status ReadAgain();
  void CheckpointIfLarge();

  Parts parts_;
  const size_t record_bytes_max_;

  absl::Mutex mutex_;
  std::vector<Call> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool scheduled_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;  // then nothing more is posted

  // Touched by the flusher's tasks alone.
  LogFileWriter writer_;
  std::vector<FoldState> states_;
  bool doubtful_ = false;  // a commit failed in an unknown way, and the file was not read since
  int checkpoint_at_pages_ = kWalPagesMax;
  absl::AnyInvocable<void(const FlushStats&)> observer_;

  LogFileWriter checkpointer_;  // touched by the checkpoint queue's tasks alone
  std::atomic<bool> checkpointed_ = false;

  std::unique_ptr<TaskQueue> checkpoint_queue_;
  std::unique_ptr<TaskQueue> queue_;
};

}  // namespace buurtlog::eventlog
