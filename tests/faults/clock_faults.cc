#include "tests/faults/clock_faults.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"

namespace buurtlog::faults {

ClockFaults::ClockFaults(std::string path) : path_(std::move(path)) {
  const int file = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  CHECK(file >= 0 && ftruncate(file, sizeof(int64_t)) == 0);
  void* const mapped = mmap(nullptr, sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(mapped != MAP_FAILED);
  close(file);
  nanos_ = static_cast<volatile int64_t*>(mapped);
}

ClockFaults::~ClockFaults() { munmap(const_cast<int64_t*>(nanos_), sizeof(int64_t)); }

void ClockFaults::Set(absl::Duration ahead) { *nanos_ = absl::ToInt64Nanoseconds(ahead); }

std::vector<std::string> ClockFaults::Environment() const {
  return {absl::StrCat("BUURTLOG_CLOCK_FAULTS=", path_)};
}

}  // namespace buurtlog::faults
