#include "libs/eventsourcing/position_waiters.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "libs/base/refusal.h"

namespace buurtlog::eventsourcing {

void PositionWaiters::Wait(std::vector<Position> min, absl::Time deadline,
                           absl::AnyInvocable<void(absl::Status)> ready) {
  const absl::Duration left = deadline - clock_.Now();
  absl::Status now;
  {
    absl::MutexLock lock(&mutex_);
    now = closed_ ? absl::UnavailableError("shutting down") : CheckFollowed(min);
    if (now.ok() && !IsReached(min)) {
      if (left <= absl::ZeroDuration()) {
        now = absl::DeadlineExceededError("the read model is not that far yet");
      } else if (waiters_.size() >= kPositionWaitersMax) {
        now = absl::ResourceExhaustedError("too many callers wait for this read model");
      } else {
        const uint64_t number = next_number_++;
        waiters_.emplace(number, Waiter{std::move(min), Reply<absl::Status>(std::move(ready))});
        waiting_ = waiters_.size();
        if (left < absl::InfiniteDuration())
          timers_.PostAfter(left, [this, number] { Expire(number); });
        on_wait_();
        return;
      }
    }
  }
  ready(now);
}

void PositionWaiters::Publish(const std::vector<Lane>& lanes) {
  absl::MutexLock lock(&mutex_);
  for (const Lane& lane : lanes) reached_[{lane.service, lane.partition}] = lane.at;
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    if (IsReached(it->second.min)) {
      Answer(std::move(it->second), absl::OkStatus());
      it = waiters_.erase(it);
    } else {
      ++it;
    }
  }
  waiting_ = waiters_.size();
}

CheckpointVector PositionWaiters::Reached() const {
  absl::MutexLock lock(&mutex_);
  return reached_;
}

void PositionWaiters::Close() {
  absl::btree_map<uint64_t, Waiter> waiters;  // answered when it goes, without the lock
  absl::MutexLock lock(&mutex_);
  closed_ = true;
  waiters.swap(waiters_);
  waiting_ = 0;
}

absl::Status PositionWaiters::CheckFollowed(const std::vector<Position>& min) const {
  for (const Position& position : min) {
    if (reached_.contains({position.service, position.partition})) continue;
    return InvalidField("min_position",
                        absl::StrCat("names a service or partition (", position.partition,
                                     ") that this read model does not follow"));
  }
  return absl::OkStatus();
}

bool PositionWaiters::IsReached(const std::vector<Position>& min) const {
  return std::all_of(min.begin(), min.end(),
                     [this](const Position& position) ABSL_NO_THREAD_SAFETY_ANALYSIS {
                       const auto reached = reached_.find({position.service, position.partition});
                       return reached != reached_.end() && reached->second.next > position.sequence;
                     });
}

void PositionWaiters::Expire(uint64_t number) {
  absl::MutexLock lock(&mutex_);
  const auto waiter = waiters_.find(number);
  if (waiter == waiters_.end()) return;
  Answer(std::move(waiter->second),
         absl::DeadlineExceededError("the read model is not that far yet"));
  waiters_.erase(waiter);
  waiting_ = waiters_.size();
}

void PositionWaiters::Answer(Waiter waiter, absl::Status status) {
  if (closed_) return;
  answers_.Post([ready = std::move(waiter.ready), status = std::move(status)]() mutable {
    ready(std::move(status));
  });
}

}  // namespace buurtlog::eventsourcing
