// A program under test as a process of its own.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace buurtlog::end_to_end {

struct ProgramResult {
  int exit_code = -1;  // 128 + signal when it was killed
  std::string out;
  std::string err;
};

// Runs a program to its end. DEADLINE_EXCEEDED (and killed) when it takes longer than
// Patience(timeout).
absl::StatusOr<ProgramResult> RunProgram(const std::vector<std::string>& words,
                                         absl::Duration timeout,
                                         const std::vector<std::string>& environment = {});

// Runs until it is told to stop; killed when destroyed.
class ChildProcess {
 public:
  // `environment` is added to ours. Standard error is ours too, unless `error_file` names a file to
  // append it to.
  static absl::StatusOr<ChildProcess> Start(const std::vector<std::string>& words,
                                            const std::vector<std::string>& environment = {},
                                            const std::string& error_file = "");
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();

  // The next line of its standard output. DEADLINE_EXCEEDED after Patience(timeout), or
  // OUT_OF_RANGE when it ended.
  absl::StatusOr<std::string> ReadLine(absl::Duration timeout);
  void Signal(int signal) const;
  // Waits for its end; the exit code, 128 + signal when it was killed.
  int Wait();
  // Largest resident memory so far, in bytes.
  int64_t PeakMemoryBytes() const;
  bool running() const { return pid_ > 0; }

 private:
  ChildProcess(pid_t pid, int out) : pid_(pid), out_(out) {}
  pid_t pid_ = -1;
  int out_ = -1;
  std::string waiting_;
};

}  // namespace buurtlog::end_to_end
