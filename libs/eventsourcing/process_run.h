// The commands of one record of a process: handed to the executor one after another, each tried
// until it is answered. Private to libs/eventsourcing.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/scheduler.h"
#include "libs/eventsourcing/command_executor.h"
#include "libs/eventsourcing/process.h"

namespace buurtlog::eventsourcing {

// Answers of the executor that come when the runner is gone go nowhere. Thread-safe.
class Gate {
 public:
  void Close() {
    absl::MutexLock lock(&mutex_);
    open_ = false;
  }
  void Post(TaskQueue& queue, Task task) {
    absl::MutexLock lock(&mutex_);
    if (open_) queue.Post(std::move(task));
  }

 private:
  absl::Mutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = true;
};

struct RunParts {
  const Process* process = nullptr;
  CommandExecutor* executor = nullptr;
  TaskQueue* queue = nullptr;
  std::shared_ptr<Gate> gate;
  prometheus::Counter* refusals = nullptr;
};

prometheus::Counter& RefusalCounter(prometheus::Registry& registry, const std::string& process);

// Only tasks of the runner's queue touch it.
struct RecordRun {
  std::unique_ptr<log::v1::Record> record;  // the events point into it
  std::vector<DecodedEvent> events;
  std::function<void()> resume;   // called on the queue when it is worth calling Continue again
  size_t next_event = 0;          // whose commands are not made yet
  std::vector<Command> commands;  // of the event before
  size_t next_command = 0;
  bool waits = false;  // for an answer, or for the next try
  std::optional<absl::Status> answer;
  int failures = 0;
  absl::Status failure;
};

enum class RunState {
  kWaits,
  kDone,    // every command is answered
  kFailed,  // `failure` says why; the stream is to be parked
};

// One command at a time: what an event asks for happens in its order, whatever fails and is tried
// again.
RunState Continue(const std::shared_ptr<RecordRun>& run, const RunParts& parts);

}  // namespace buurtlog::eventsourcing
