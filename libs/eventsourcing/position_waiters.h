// How far a read model is, and who waits for it to be further. Private to libs/eventsourcing.
#pragma once

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/scheduler.h"
#include "libs/eventsourcing/log_lanes.h"
#include "libs/eventsourcing/projection_runner.h"
#include "libs/eventsourcing/reply.h"

namespace buurtlog::eventsourcing {

// Callers that wait at the same time; one more is RESOURCE_EXHAUSTED.
inline constexpr size_t kPositionWaitersMax = 10'000;

// Thread-safe. The queues last until Close, the clock longer.
class PositionWaiters {
 public:
  // `timers` runs the deadlines, `answers` the callers' work, which may read from the disk.
  // `on_wait` is called, with a lock held, when a caller has to wait.
  PositionWaiters(TaskQueue& timers, TaskQueue& answers, Clock& clock,
                  absl::AnyInvocable<void()> on_wait)
      : timers_(timers), answers_(answers), clock_(clock), on_wait_(std::move(on_wait)) {}

  // As ProjectionRunner::WhenReached.
  void Wait(std::vector<Position> min, absl::Time deadline,
            absl::AnyInvocable<void(absl::Status)> ready);
  // Whether somebody waits now.
  bool waited_for() const { return waiting_.load(std::memory_order_relaxed) > 0; }
  // The lanes are that far, safely stored.
  void Publish(const std::vector<Lane>& lanes);
  CheckpointVector Reached() const;
  // Answers everybody, and whoever comes later, with UNAVAILABLE. Afterwards the queues are not
  // used any more.
  void Close();

 private:
  struct Waiter {
    std::vector<Position> min;
    Reply<absl::Status> ready;
  };
  absl::Status CheckFollowed(const std::vector<Position>& min) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsReached(const std::vector<Position>& min) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Expire(uint64_t number);
  void Answer(Waiter waiter, absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  TaskQueue& timers_;
  TaskQueue& answers_;
  Clock& clock_;
  mutable absl::Mutex mutex_;
  absl::AnyInvocable<void()> on_wait_ ABSL_GUARDED_BY(mutex_);
  CheckpointVector reached_ ABSL_GUARDED_BY(mutex_);
  absl::btree_map<uint64_t, Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
  std::atomic<size_t> waiting_ = 0;  // the size of waiters_, for a look without the lock
  uint64_t next_number_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace buurtlog::eventsourcing
