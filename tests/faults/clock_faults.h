// The wall clock of a program under test, which is started with disk_faults_preload.cc: it can be
// moved while the program runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace buurtlog::faults {

// Not thread-safe. The offset is in the file `path`, which both map.
class ClockFaults {
 public:
  explicit ClockFaults(std::string path);
  ~ClockFaults();
  ClockFaults(const ClockFaults&) = delete;
  ClockFaults& operator=(const ClockFaults&) = delete;

  // From now on the program's clock is so much ahead (or behind, when negative).
  void Set(absl::Duration ahead);
  // For the program, beside that of DiskFaults, which loads the library.
  std::vector<std::string> Environment() const;

 private:
  const std::string path_;
  volatile int64_t* nanos_ = nullptr;
};

}  // namespace buurtlog::faults
