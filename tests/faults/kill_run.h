// Kills the processes of a running system time and again, at moments drawn from a seed, while
// nurses work on it, and looks after each restart whether anything was lost, doubled or answered
// otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "libs/base/random.h"
#include "tests/faults/care_load.h"
#include "tests/faults/log_audit.h"
#include "tests/faults/system_processes.h"

namespace buurtlog::faults {

struct KillRunOptions {
  Shape shape = Shape::kServe;
  int kills = 10;
  uint64_t seed = 1;
  size_t callers = 8;
  // `replay --verify` after so many kills, and at the end.
  int verify_every = 10;
  absl::Duration load_max = absl::Milliseconds(1500);  // between a start and a kill
  std::string data_folder;
  std::string work_folder;
  std::function<void(const std::string&)> tell = [](const std::string&) {};
};

struct KillRunResult {
  int kills = 0;
  std::map<std::string, int> kills_by_moment;
  size_t answered = 0;
  size_t refused = 0;
  size_t repeated = 0;     // asked again, and got the first answer
  size_t tried_again = 0;  // calls that a kill cut off, or that found nobody
  size_t records = 0;
  int verified = 0;  // runs of `replay --verify`
  absl::Duration took;
  absl::Duration recovery_median;  // from the start of a process to its first answer
  absl::Duration recovery_longest;
  std::vector<std::string> violations;  // with seed, number of the kill and moment
};

class KillRun {
 public:
  explicit KillRun(KillRunOptions options);
  KillRunResult Run();

 private:
  enum class Moment {
    kUnderLoad,
    kShortlyAfterTheStart,
    kDuringTheStart,
    kDuringACleanStop,
    kInACommit,
    kInAMove,
    kInACheckpoint,
    kInTheHeadFile,
    kInTheStateStore,
    kInAReadModel,
    kInARebuild,
  };
  static const char* NameOf(Moment moment);
  Moment Draw();

  // The system is up when these begin.
  void KillOnce(int number);
  bool Die(Moment moment, size_t victim);
  void Relaunch(size_t victim);
  // A rule that kills in the middle of a write, of the process that serves `service`.
  void ArmRule(Moment moment, const std::string& service);
  // Kills the process unless it dies within `at_most`; true when it died by itself.
  bool KillAfter(size_t victim, absl::Duration at_most);
  void LookAfterwards();
  void Verify();
  void Violation(const std::string& sentence);
  uint64_t Below(uint64_t n) { return RandomBelow(random_, n); }
  absl::Duration UpTo(absl::Duration most) {
    return absl::Microseconds(Below(static_cast<uint64_t>(absl::ToInt64Microseconds(most)) + 1));
  }

  const KillRunOptions options_;
  SeededRandom random_;
  SystemProcesses system_;
  CareLoad load_;
  LogAudit audit_;
  KillRunResult result_;
  std::string now_;  // number and moment, for violations
  std::vector<absl::Duration> recoveries_;
  size_t load_violations_ = 0;  // of them are in the result
  size_t repeated_to_ = 0;      // of what was answered
};

// A report for people, in Markdown.
std::string ReportOf(const KillRunOptions& options, const KillRunResult& result);

}  // namespace buurtlog::faults
