// The newest entries of a log, in memory, and how far each partition goes: followers at the head
// read here and never touch the disk.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "libs/eventlog/committed_entry.h"
#include "libs/eventlog/event_log.h"

namespace buurtlog::eventlog {

// Entries kept in memory, in bytes over all partitions; besides, all that are not in log.db yet.
inline constexpr size_t kTailBytesMax = 8 << 20;

// Thread-safe.
class LogTail {
 public:
  explicit LogTail(std::vector<FoldState> heads);

  // Adds durable entries of one partition that bring it to `head`.
  void Publish(Partition partition, std::vector<CommittedEntryPtr> entries, FoldState head);
  // Entries up to `last` can be read from log.db from now on, and may be forgotten here.
  void Moved(Partition partition, Sequence last);

  FoldState Head(Partition partition);
  std::vector<FoldState> Heads();

  // The entries behind `at`, up to the limits; nothing when they are not all in memory and must be
  // read from log.db, which then has the first of them. DATA_LOSS when `at` is beyond the head or
  // not on this chain.
  absl::StatusOr<std::optional<std::vector<CommittedEntryPtr>>> Read(Partition partition,
                                                                     const FoldState& at,
                                                                     const ReadLimits& limits);
  // The last ones of `sequences`, which ascend: those from the first that is in memory on.
  // DATA_LOSS when the partition ends before one of `sequences`; the others can be read from
  // log.db.
  absl::StatusOr<std::vector<CommittedEntryPtr>> FindLast(Partition partition,
                                                          absl::Span<const Sequence> sequences);
  // The entry with this sequence; null when it is not in memory.
  CommittedEntryPtr Find(Partition partition, Sequence sequence);
  // Behind the last entry that may be read from log.db: what stands there and was not published is
  // not known to be durable.
  Sequence MovedEnd(Partition partition);

 private:
  struct PartitionTail {
    FoldState head;
    Sequence moved_end = 1;                 // entries before it are in log.db
    std::deque<CommittedEntryPtr> entries;  // the last is head.next - 1
    Sequence first() const { return head.next - entries.size(); }
  };

  void ForgetOld() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  std::vector<PartitionTail> partitions_ ABSL_GUARDED_BY(mutex_);
  // The partition of every kept entry, oldest entry first: what to forget next.
  std::deque<Partition> ages_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace buurtlog::eventlog
