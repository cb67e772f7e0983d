// Runs a process: follows its sources, hands its commands to the executor, and moves its checkpoint
// when they are answered. Ending at any moment loses nothing and doubles nothing: the commands are
// repeated under the same keys.
#pragma once

#include <prometheus/registry.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/scheduler.h"
#include "libs/eventsourcing/command_executor.h"
#include "libs/eventsourcing/process.h"
#include "libs/eventsourcing/projection_runner.h"

namespace buurtlog::eventsourcing {

// Thread-safe. A refusal (FAILED_PRECONDITION, ALREADY_EXISTS, ABORTED never happens without
// expected versions) counts as answered and is counted in a metric; UNAVAILABLE, RESOURCE_EXHAUSTED
// and DEADLINE_EXCEEDED are tried again with back-off; anything else parks the stream, in order,
// like a read model does.
class ProcessRunner {
 public:
  struct Parts {
    CommandExecutor& executor;
    Scheduler& scheduler;
    Clock& clock;
    prometheus::Registry& metrics;
    Files& files = SystemFiles();
  };
  // Checkpoints and parked streams are kept in <folder>/<name>.db.
  static absl::StatusOr<std::unique_ptr<ProcessRunner>> Open(const std::string& folder,
                                                             std::unique_ptr<Process> process,
                                                             std::vector<LogSource> sources,
                                                             Parts parts);
  ~ProcessRunner();
  std::string_view name() const;
  // Why the file that was there was thrown away at Open, to begin again with the same keys; empty
  // when it was not.
  const std::string& discarded() const;
  void Start();
  absl::Status health() const;
  bool caught_up() const;
  absl::StatusOr<std::vector<ParkedStream>> Parked();
  void RetryParked(absl::AnyInvocable<void(absl::StatusOr<size_t>)> done);

  class Impl;

 private:
  explicit ProcessRunner(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace buurtlog::eventsourcing
