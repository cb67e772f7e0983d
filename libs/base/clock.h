// The wall clock as a seam: everything that stamps a time takes a Clock, so that a test, a
// simulation or the maker of the synthetic region decides what time it is.
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace buurtlog {

// Thread-safe. May step backwards, as clocks of real machines do; never use it to measure a
// duration (see Scheduler::Now).
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() = 0;
};

// The clock of the machine. Lives for ever.
Clock& SystemClock();

// A clock that stands still until it is told otherwise. Thread-safe.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(absl::Time now) : now_(now) {}
  absl::Time Now() override;
  void Set(absl::Time now);
  void Advance(absl::Duration by);

 private:
  absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace buurtlog
