// How a follower reads: one lane for each partition of each log it follows, entries copied out of
// the log before they are used (so that no log is held while rows are written), and one merged
// signal for what grew. Private to libs/eventsourcing.
#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventsourcing/projection_runner.h"

namespace buurtlog::eventsourcing {

// After a full disk or a log out of reach; doubles from the first to the last.
inline constexpr absl::Duration kFollowAgainFirst = absl::Milliseconds(100);
inline constexpr absl::Duration kFollowAgainLast = absl::Seconds(5);
absl::Duration FollowAgainAfter(int failures);

// At the head there is little to do in one go, and a transaction costs the same all the same; so
// under load a follower lets entries gather: for so many times as long as it last worked, and never
// longer than ...
inline constexpr int kRestPerWork = 4;
inline constexpr absl::Duration kRestMax = absl::Milliseconds(20);

// Thread-safe.
class FollowRest {
 public:
  explicit FollowRest(Scheduler& scheduler) : scheduler_(scheduler) {}
  // It has worked since `begin`.
  void Worked(absl::Duration begin);
  // How long it rests from now on; nothing when it may work.
  absl::Duration left() const;

 private:
  Scheduler& scheduler_;
  std::atomic<int64_t> until_nanos_ = 0;  // of the scheduler's time
};

// One partition of one log, and how far the follower has taken it.
struct Lane {
  LogSource source;
  std::string service;
  eventlog::Partition partition = 0;
  eventlog::FoldState at;                // stored: rows or answers up to here are safe
  bool more = true;                      // there may be entries behind `at`
  bool rests = false;                    // its log was out of reach and is not asked for a while
  eventlog::Sequence known = 0;          // newest sequence the follower knows of
  eventlog::Sequence stop = UINT64_MAX;  // nothing behind this sequence is read

  uint64_t lag() const { return known >= at.next ? known - at.next + 1 : 0; }
};

// All partitions of the logs of `services`, each from its checkpoint or from the beginning.
// INVALID_ARGUMENT when a service has no source.
absl::StatusOr<std::vector<Lane>> MakeLanes(const std::vector<LogSource>& sources,
                                            const std::vector<std::string>& services,
                                            const CheckpointVector& checkpoints);

// Entries copied out of several lanes, in the order in which they were read.
class EntryBatch {
 public:
  void Clear();
  size_t size() const { return entries_.size(); }
  size_t bytes() const { return bytes_.size(); }
  bool empty() const { return entries_.empty(); }
  void Add(size_t lane, const eventlog::EntryView& entry);
  size_t lane(size_t i) const { return entries_[i].lane; }
  // Valid until the next Add or Clear. Has no `bytes`: the hash is known already.
  eventlog::EntryView view(size_t i) const;
  // The lane's place behind entry i.
  eventlog::FoldState After(size_t i) const;

 private:
  struct Entry {
    size_t lane = 0;
    eventlog::EntryHeader header;
    eventlog::Hash hash;
    size_t offset = 0;
    size_t size = 0;
  };
  std::vector<Entry> entries_;
  std::string bytes_;
};

// Adds what stands behind `from` to `batch` and moves `from`; the number of entries. `lane.more` is
// false when nothing came. What was read before an error is in the batch.
struct LaneRead {
  size_t entries = 0;
  absl::Status status;
};
LaneRead ReadLane(Lane& lane, size_t index, eventlog::FoldState& from,
                  const eventlog::ReadLimits& limits, EntryBatch& batch);

// One record, by its place. The chain is verified from there on only.
absl::Status ReadOne(const Lane& lane, eventlog::Sequence sequence, EntryBatch& batch);

// Gathers signals of many lanes into one wake-up. Thread-safe.
class GrowthSignal {
 public:
  // `wake` is called, without a lock, when the first lane after a Take grew.
  explicit GrowthSignal(absl::AnyInvocable<void()> wake) : wake_(std::move(wake)) {}
  void Raise(size_t lane);
  std::vector<size_t> Take();

 private:
  absl::AnyInvocable<void()> wake_;
  absl::Mutex mutex_;
  std::vector<size_t> grown_ ABSL_GUARDED_BY(mutex_);
};

// Watches the logs of all lanes, each log once; `lanes` may go after the call.
std::vector<std::unique_ptr<eventlog::Subscription>> WatchLanes(const std::vector<Lane>& lanes,
                                                                GrowthSignal& signal);

}  // namespace buurtlog::eventsourcing
