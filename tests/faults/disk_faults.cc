#include "tests/faults/disk_faults.h"

#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"

namespace buurtlog::faults {

DiskFaults::DiskFaults(std::string path) : path_(std::move(path)) { Write(); }

void DiskFaults::Full(const std::string& part, long room) {
  rules_.push_back(absl::StrCat("full ", room, " ", part));
  Write();
}

void DiskFaults::Kill(const std::string& part, long n) {
  rules_.push_back(absl::StrCat("kill ", n, " ", part));
  Write();
}

void DiskFaults::None() {
  rules_.clear();
  Write();
}

void DiskFaults::Write() {
  // Put in its place as a whole: the program may read it at any moment.
  const std::string temporary = absl::StrCat(path_, ".tmp");
  {
    std::ofstream file(temporary, std::ios::trunc);
    for (const std::string& rule : rules_) file << rule << '\n';
  }
  // The program looks at the time of the file; it must differ from that of the file before.
  const auto now = std::filesystem::file_time_type::clock::now();
  std::filesystem::last_write_time(temporary, now + std::chrono::microseconds(++changes_));
  std::filesystem::rename(temporary, path_);
}

std::vector<std::string> DiskFaults::Environment() const {
  return {absl::StrCat("LD_PRELOAD=", BUURTLOG_DISK_FAULTS_LIBRARY),
          absl::StrCat("BUURTLOG_DISK_FAULTS=", path_),
          // The runtime of the sanitizers wants to be the first library, which only matters when
          // another one takes calls over that it needs; ours does not.
          "ASAN_OPTIONS=verify_asan_link_order=0"};
}

}  // namespace buurtlog::faults
