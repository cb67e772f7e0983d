#include "libs/base/clock.h"

#include "absl/time/clock.h"

namespace buurtlog {
namespace {

class MachineClock final : public Clock {
 public:
  absl::Time Now() override { return absl::Now(); }
};

}  // namespace

Clock& SystemClock() {
  // Never destroyed: threads that end late may still read the time.
  static Clock* const clock = new MachineClock;
  return *clock;
}

absl::Time ManualClock::Now() {
  absl::MutexLock lock(&mutex_);
  return now_;
}

void ManualClock::Set(absl::Time now) {
  absl::MutexLock lock(&mutex_);
  now_ = now;
}

void ManualClock::Advance(absl::Duration by) {
  absl::MutexLock lock(&mutex_);
  now_ += by;
}

}  // namespace buurtlog
