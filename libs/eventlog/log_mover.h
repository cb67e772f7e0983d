// Brings what became durable in the journal into log.db, behind the command's way: many entries in
// one transaction, in the order of the tables, so that a page is written once for many of them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/log_tail.h"
#include "libs/eventlog/sqlite_log_file.h"

namespace buurtlog::eventlog {

// What comes is gathered this long, so that few and large transactions are written ...
inline constexpr absl::Duration kMoveDelay = absl::Milliseconds(200);
// ... unless this much waits already.
inline constexpr size_t kMoveAtOnceBytes = 2 << 20;
// Entries in one transaction, in bytes (one entry may be larger).
inline constexpr size_t kMoveBytesMax = 4 << 20;
inline constexpr absl::Duration kMoveRetryDelay = absl::Milliseconds(200);

// Add and released_before are thread-safe, MoveAll is called by the flusher alone.
class LogMover {
 public:
  LogMover(LogFileWriter writer, LogTail& tail, Scheduler& scheduler);
  // Drops what waits: it stands in the journal.
  ~LogMover() = default;

  // Entries that are durable in the journal's `generation`. The tail keeps them until they are
  // moved.
  void Add(std::vector<CommittedEntryPtr> entries, uint64_t generation);

  // Everything of earlier generations is safe in log.db.
  uint64_t released_before() const { return released_before_.load(std::memory_order_acquire); }

  // Moves what waits and then `more`, which was not added, and waits for the disk. Nobody sees
  // `more` before the disk has it. Blocks. After an error it may be called again with the same
  // entries.
  absl::Status MoveAll(const std::vector<CommittedEntryPtr>& more);
  // MoveAll, and leaves no WAL behind.
  absl::Status MoveAllAndTidy();
  // Of entries that were added and are not in log.db yet.
  size_t waiting_bytes();
  // Why entries could not be moved the last time that was tried; OK when they could.
  absl::Status trouble();

 private:
  struct Waiting {
    CommittedEntryPtr entry;
    uint64_t generation = 0;
  };

  void PostMove(absl::Duration delay) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MoveTask();
  // Moves what one transaction takes; false when nothing waits.
  absl::StatusOr<bool> MoveSome() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  absl::Status Insert(std::vector<CommittedEntryPtr> entries, bool synced)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  absl::Status Release() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  void CheckpointIfLarge() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);

  LogTail& tail_;

  absl::Mutex mutex_;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t newest_generation_ ABSL_GUARDED_BY(mutex_) = 0;
  bool soon_ ABSL_GUARDED_BY(mutex_) = false;     // a move is posted with a delay
  bool at_once_ ABSL_GUARDED_BY(mutex_) = false;  // a move is posted without one
  absl::Status trouble_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint64_t> released_before_ = 0;

  absl::Mutex write_mutex_;
  LogFileWriter writer_ ABSL_GUARDED_BY(write_mutex_);
  int checkpoint_at_pages_ ABSL_GUARDED_BY(write_mutex_) = sqlite::kWalPagesMax;

  std::unique_ptr<TaskQueue> queue_;
  TaskQueue& tasks_;  // *queue_; stays while the queue waits for its last task to end
};

}  // namespace buurtlog::eventlog
