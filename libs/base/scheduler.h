// Where work runs. Executor, log and runners are run-to-completion tasks that never block; a
// Scheduler decides on which thread and when each task runs. In production that is a pool as large
// as the machine, and one thread for each queue that must block on the disk; in a test or
// simulation it is one thread, one seed and a clock that jumps.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace buurtlog {

using Task = absl::AnyInvocable<void()>;

// Where tasks for a queue can be left from anywhere, for as long as anybody keeps it: what comes
// when the queue is gone is dropped. Thread-safe.
class Mailbox {
 public:
  virtual ~Mailbox() = default;
  virtual void Post(Task task) = 0;
  // As Post, but runs the task at once, on the caller's thread, when the queue has nothing to do:
  // spares the wake-up of another thread. The caller holds no lock that a task of this queue takes.
  virtual void PostOrRun(Task task) = 0;
};

// Runs its tasks one at a time, in the order of posting: whoever owns a queue needs no lock for
// what only its tasks touch. Thread-safe. The destructor waits for the task that is running and
// drops those that wait; a task must not destroy its own queue. Make the queue the last member of
// the class whose `this` its tasks capture.
class TaskQueue {
 public:
  virtual ~TaskQueue() = default;
  virtual void Post(Task task) = 0;
  // Runs `task` after at least `delay`, between other tasks of this queue.
  virtual void PostAfter(absl::Duration delay, Task task) = 0;
  virtual std::shared_ptr<Mailbox> mailbox() = 0;
};

enum class QueueKind {
  kCompute,   // tasks never block
  kBlocking,  // tasks may wait for the disk; the queue has a thread of its own
};

// Thread-safe. Outlives its queues.
class Scheduler {
 public:
  virtual ~Scheduler() = default;
  // `name` is for thread names and for reports of a simulation.
  virtual std::unique_ptr<TaskQueue> NewQueue(std::string_view name, QueueKind kind) = 0;
  // Time since an arbitrary moment; never steps backwards.
  virtual absl::Duration Now() = 0;
};

// For work in the background, between two of its small steps: lets whoever waits for this processor
// go first. Without it a caller waits for the rest of a slice, some milliseconds, on a machine all
// of whose processors are busy. Costs a fraction of a microsecond when nobody waits. The caller
// holds nothing that others need soon.
void YieldProcessor();

// `compute_threads` of 0 means one for each processor.
std::unique_ptr<Scheduler> NewThreadPoolScheduler(int compute_threads = 0);

// One thread (the caller's), one seed: which of the queues that have work runs next is drawn from
// the seed, and time jumps to the next timer when nothing is ready. The same seed and the same
// program give the same run. Not thread-safe.
class SimulatedScheduler final : public Scheduler {
 public:
  explicit SimulatedScheduler(uint64_t seed);
  ~SimulatedScheduler() override;

  std::unique_ptr<TaskQueue> NewQueue(std::string_view name, QueueKind kind) override;
  absl::Duration Now() override;

  // Runs one ready task. False when none is ready (timers are not advanced).
  bool RunOne();
  // Runs until no task is ready and no timer is due within `within` of now; time ends at now +
  // within.
  void RunFor(absl::Duration within);
  // Runs until no task is ready; timers stay.
  void RunUntilIdle();
  // Runs tasks and jumps over timers until `done` is true. False when nothing is left to run.
  bool RunUntil(absl::AnyInvocable<bool()> done);
  // Lets time go by while a task runs, as it does for one that waits for the disk.
  void PassTime(absl::Duration time);

  class State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace buurtlog
