// Chance of a simulation: the same seed gives the same throws on every machine.
#pragma once

#include <cstdint>
#include <random>

#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/scheduler.h"

namespace buurtlog::simulation {

class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  // Uniform enough in [0, below); `below` is 1 or more.
  uint64_t Below(uint64_t below) { return engine_() % below; }
  bool OneIn(uint64_t times) { return Below(times) == 0; }
  absl::Duration UpTo(absl::Duration longest) {
    return absl::Microseconds(
        static_cast<int64_t>(Below(static_cast<uint64_t>(absl::ToInt64Microseconds(longest)) + 1)));
  }
  uint64_t Seed() { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

// A wall clock over the scheduler's time that may be wrong, and be set.
class LyingClock final : public Clock {
 public:
  explicit LyingClock(Scheduler& scheduler) : scheduler_(scheduler) {}
  absl::Time Now() override {
    return absl::FromUnixSeconds(1'760'000'000) + scheduler_.Now() + ahead_;
  }
  void SetAhead(absl::Duration ahead) { ahead_ = ahead; }
  absl::Duration ahead() const { return ahead_; }

 private:
  Scheduler& scheduler_;
  absl::Duration ahead_;
};

}  // namespace buurtlog::simulation
