#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "libs/base/check.h"
#include "libs/base/scheduler.h"

namespace buurtlog {

// Shared by the scheduler and its queues. Queues of a State know it by shared_ptr, so that a test
// may let go of its scheduler and its queues in any order.
class SimulatedScheduler::State {
 public:
  struct Queue {
    std::deque<Task> tasks;
    bool running = false;
    bool gone = false;
  };

  explicit State(uint64_t seed) : engine_(seed) {}

  void Post(const std::shared_ptr<Queue>& queue, Task task) {
    // A dropped task may own something that posts here as it ends.
    if (queue->gone) return;
    queue->tasks.push_back(std::move(task));
    if (queue->tasks.size() == 1 && !queue->running) ready_.push_back(queue);
  }

  void PostAfter(absl::Duration delay, std::shared_ptr<Queue> queue, Task task) {
    if (queue->gone) return;
    if (delay <= absl::ZeroDuration()) return Post(queue, std::move(task));
    const absl::Duration due = now_ + delay;
    // The number keeps timers of one moment in the order of their setting.
    timers_.emplace(std::make_pair(due, next_timer_++), Timer{std::move(queue), std::move(task)});
  }

  // Drops what waits. Tasks die after the bookkeeping is done: what they own may post, or destroy
  // queues, in turn.
  void Remove(const std::shared_ptr<Queue>& queue) {
    CHECK(!queue->running);
    queue->gone = true;
    std::deque<Task> dropped = std::move(queue->tasks);
    queue->tasks.clear();
    ready_.erase(std::remove(ready_.begin(), ready_.end(), queue), ready_.end());
    std::vector<Timer> dropped_timers;
    for (auto it = timers_.begin(); it != timers_.end();) {
      if (it->second.queue == queue) {
        dropped_timers.push_back(std::move(it->second));
        it = timers_.erase(it);
      } else {
        ++it;
      }
    }
  }

  bool RunOne() {
    if (ready_.empty()) return false;
    const size_t drawn = static_cast<size_t>(engine_() % ready_.size());
    const std::shared_ptr<Queue> queue = ready_[drawn];
    ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(drawn));
    {
      Task task = std::move(queue->tasks.front());
      queue->tasks.pop_front();
      queue->running = true;
      task();
    }
    queue->running = false;
    if (!queue->tasks.empty()) ready_.push_back(queue);
    return true;
  }

  // Jumps to the next timer when it is due at `latest` or before, and hands every timer of that
  // moment to its queue.
  bool Jump(absl::Duration latest) {
    if (timers_.empty()) return false;
    const absl::Duration due = timers_.begin()->first.first;
    if (due > latest || due == absl::InfiniteDuration()) return false;
    now_ = std::max(now_, due);
    while (!timers_.empty() && timers_.begin()->first.first <= now_) {
      Timer timer = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      Post(timer.queue, std::move(timer.task));
    }
    return true;
  }

  absl::Duration now() const { return now_; }
  // Time never steps backwards, also where a task took longer than whoever ran it wanted to wait.
  void set_now(absl::Duration now) { now_ = std::max(now_, now); }

 private:
  struct Timer {
    std::shared_ptr<Queue> queue;
    Task task;
  };

  std::mt19937_64 engine_;
  absl::Duration now_;
  uint64_t next_timer_ = 0;
  std::vector<std::shared_ptr<Queue>> ready_;
  std::map<std::pair<absl::Duration, uint64_t>, Timer> timers_;
};

namespace {

using State = SimulatedScheduler::State;

class SimulatedMailbox final : public Mailbox {
 public:
  SimulatedMailbox(std::shared_ptr<State> state, std::shared_ptr<State::Queue> queue)
      : state_(std::move(state)), queue_(std::move(queue)) {}
  void Post(Task task) override { state_->Post(queue_, std::move(task)); }
  // Another task may come first, as on a busy machine.
  void PostOrRun(Task task) override { Post(std::move(task)); }

 private:
  const std::shared_ptr<State> state_;
  const std::shared_ptr<State::Queue> queue_;
};

class SimulatedQueue final : public TaskQueue {
 public:
  explicit SimulatedQueue(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~SimulatedQueue() override { state_->Remove(queue_); }

  void Post(Task task) override { state_->Post(queue_, std::move(task)); }
  void PostAfter(absl::Duration delay, Task task) override {
    state_->PostAfter(delay, queue_, std::move(task));
  }
  std::shared_ptr<Mailbox> mailbox() override {
    return std::make_shared<SimulatedMailbox>(state_, queue_);
  }

 private:
  const std::shared_ptr<State> state_;
  const std::shared_ptr<State::Queue> queue_ = std::make_shared<State::Queue>();
};

}  // namespace

SimulatedScheduler::SimulatedScheduler(uint64_t seed) : state_(std::make_shared<State>(seed)) {}
SimulatedScheduler::~SimulatedScheduler() = default;

std::unique_ptr<TaskQueue> SimulatedScheduler::NewQueue(std::string_view, QueueKind) {
  return std::make_unique<SimulatedQueue>(state_);
}

absl::Duration SimulatedScheduler::Now() { return state_->now(); }

bool SimulatedScheduler::RunOne() { return state_->RunOne(); }

void SimulatedScheduler::RunFor(absl::Duration within) {
  const absl::Duration end = state_->now() + within;
  do {
    RunUntilIdle();
  } while (state_->Jump(end));
  state_->set_now(end);
}

void SimulatedScheduler::RunUntilIdle() {
  while (state_->RunOne()) {
  }
}

bool SimulatedScheduler::RunUntil(absl::AnyInvocable<bool()> done) {
  while (!done()) {
    if (!state_->RunOne() && !state_->Jump(absl::InfiniteDuration())) return false;
  }
  return true;
}

void SimulatedScheduler::PassTime(absl::Duration time) { state_->set_now(state_->now() + time); }

}  // namespace buurtlog
