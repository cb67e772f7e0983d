// Random numbers as a seam.
#pragma once

#include <array>
#include <cstdint>
#include <random>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"

namespace buurtlog {

// Thread-safe.
class Random {
 public:
  virtual ~Random() = default;
  virtual void Fill(absl::Span<uint8_t> bytes) = 0;
};

// From the operating system, fit for keys and ids. Lives for ever.
Random& SystemRandom();

// The same seed gives the same numbers on every machine. For tests, simulations and the synthetic
// region; never for keys.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : engine_(seed) {}
  void Fill(absl::Span<uint8_t> bytes) override;

 private:
  absl::Mutex mutex_;
  std::mt19937_64 engine_ ABSL_GUARDED_BY(mutex_);
};

// Uniform in [0, below); `below` is 1 or more.
uint64_t RandomBelow(Random& random, uint64_t below);

}  // namespace buurtlog
