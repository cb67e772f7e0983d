// Buurtlog on a data folder as one process or as three, which may die at any moment and be started
// again.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/end_to_end/child_process.h"
#include "tests/faults/care_load.h"
#include "tests/faults/disk_faults.h"

namespace buurtlog::faults {

enum class Shape {
  kServe,      // `buurtlog serve`
  kByService,  // buurtlog-teams, buurtlog-clients and buurtlog-visits
};

// Not thread-safe, but for AddressOf.
class SystemProcesses final : public CareTarget {
 public:
  static constexpr std::array<const char*, 3> kServices = {"teams", "clients", "visits"};

  // `work_folder` holds what is not data: the rules for faults, and the log lines.
  SystemProcesses(Shape shape, std::string data_folder, std::string work_folder);

  // Processes are numbered; kServe has one, kByService has one for each of kServices.
  size_t count() const { return shape_ == Shape::kServe ? 1 : kServices.size(); }
  Shape shape() const { return shape_; }

  // Starts a process and does not wait for it.
  void Launch(size_t process);
  // OK when the process serves; OUT_OF_RANGE when it ended before; DEADLINE_EXCEEDED.
  absl::Status AwaitServing(size_t process, absl::Duration at_most = absl::Seconds(60));
  // True when the process ended within `at_most`.
  bool AwaitEnd(size_t process, absl::Duration at_most);
  void Signal(size_t process, int signal) { processes_[process]->Signal(signal); }
  // The exit code, 128 + signal when it was killed.
  int Wait(size_t process);
  bool running(size_t process) const { return processes_[process].has_value(); }

  std::string AddressOf(const std::string& service) const override;
  const std::string& people_folder() const override { return data_folder_; }
  DiskFaults& faults() { return faults_; }
  const std::string& data_folder() const { return data_folder_; }
  // What all processes have written to standard error since the last call.
  std::string TakeLogLines();

 private:
  std::vector<std::string> WordsFor(size_t process) const;

  const Shape shape_;
  const std::string data_folder_;
  const std::string log_file_;
  DiskFaults faults_;
  std::array<std::string, 3> addresses_;
  std::array<std::optional<end_to_end::ChildProcess>, 3> processes_;
  std::array<bool, 3> serving_{};
  size_t log_bytes_taken_ = 0;
};

}  // namespace buurtlog::faults
