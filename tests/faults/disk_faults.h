// Tells the library that programs under test are started with (disk_faults_preload.cc) what to do.
#pragma once

#include <string>
#include <vector>

namespace buurtlog::faults {

// Not thread-safe. The file with the rules is `path`.
class DiskFaults {
 public:
  explicit DiskFaults(std::string path);

  // Files whose path holds `part` may grow by `room` bytes together from now on. A `part` that ends
  // with `$` is the end of the path.
  void Full(const std::string& part, long room);
  // The process is killed at its Nth change of a file of `part`; see disk_faults_preload.cc.
  void Kill(const std::string& part, long n);
  // Takes all rules back.
  void None();

  // For the program.
  std::vector<std::string> Environment() const;

 private:
  void Write();

  const std::string path_;
  std::vector<std::string> rules_;
  int changes_ = 0;
};

}  // namespace buurtlog::faults
