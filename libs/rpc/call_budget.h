// How many calls a team may make, so that one whose program has gone wild is slowed down and the
// others notice nothing: a token bucket for each team, and for each person without one. Private to
// libs/rpc.
#pragma once

#include <algorithm>
#include <cstddef>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/identity/caller.h"

namespace buurtlog::rpc {

// A team that was silent may make as many calls at once as in this time: phones that were away all
// come back together.
inline constexpr absl::Duration kBurstOfCalls = absl::Seconds(2);

// Is this what CallBudget says?
bool IsOverBudget(const absl::Status& status);

// Thread-safe.
class CallBudget {
 public:
  // Calls each second that a team may make for ever; 0: as many as it likes.
  CallBudget(double calls_per_second, Clock& clock)
      : per_second_(calls_per_second), clock_(clock) {}

  // RESOURCE_EXHAUSTED with reason TOO_MANY_CALLS; nothing of the call was done. Services, and
  // whoever signs in, have no budget.
  absl::Status Take(const identity::Caller& caller);

  // How many teams and persons are remembered.
  size_t size() const {
    absl::MutexLock lock(&mutex_);
    return buckets_.size();
  }

 private:
  struct Bucket {
    double calls = 0;  // that may be made now
    absl::Time at;
  };
  // At least one call, or a slow rate would refuse them all.
  double burst() const { return std::max(1.0, per_second_ * absl::ToDoubleSeconds(kBurstOfCalls)); }
  void Fill(Bucket& bucket, absl::Time now) const;

  const double per_second_;
  Clock& clock_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<Uuid, Bucket> buckets_ ABSL_GUARDED_BY(mutex_);
  size_t forget_at_ ABSL_GUARDED_BY(mutex_) = 1'024;
};

}  // namespace buurtlog::rpc
