#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/check.h"
#include "libs/base/scheduler.h"

namespace buurtlog {
namespace {

// A queue gives its thread back after so many tasks, so that a busy one does not starve the others.
constexpr size_t kTasksPerTurnMax = 64;
constexpr size_t kThreadNameCharactersMax = 15;  // of Linux

class QueueCore;

// The queue whose task this thread runs, to notice one that destroys its own queue.
thread_local const QueueCore* running_queue = nullptr;

absl::Duration MonotonicNow() {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

void NameThread(std::string_view name) {
  pthread_setname_np(pthread_self(), std::string(name.substr(0, kThreadNameCharactersMax)).c_str());
}

// Who runs the tasks of a queue: the pool, or a thread that belongs to the queue.
class Runner {
 public:
  virtual ~Runner() = default;
  // `queue` has work and nobody runs it. Called once until it has had its turn.
  virtual void Ready(QueueCore& queue) = 0;
  // True when `queue` waited for its turn, which it then does not get.
  virtual bool Withdraw(QueueCore& queue) = 0;
};

// The tasks of one queue, and whose turn it is. Two vectors swap places, so that posting allocates
// nothing in the long run. Owned by its TaskQueue and by the thread that runs a turn of it.
class QueueCore final : public Mailbox, public std::enable_shared_from_this<QueueCore> {
 public:
  explicit QueueCore(Runner& runner) : runner_(runner) {}

  // Drops `task` when the queue ends.
  void Post(Task task) override { Take(task); }

  // Takes `task`; or leaves it with the caller, and gives false, when the queue ends.
  bool Take(Task& task) {
    {
      absl::MutexLock lock(&mutex_);
      // A task that ends, or is dropped, may post to its own queue while the destructor waits.
      if (stopping_.load(std::memory_order_relaxed)) return false;
      waiting_.push_back(std::move(task));
      if (turn_ != Turn::kNone) return true;
      turn_ = Turn::kReady;
    }
    runner_.Ready(*this);
    return true;
  }

  // Runs `task` here when nobody has the turn and nothing waits.
  void PostOrRun(Task task) override {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_.load(std::memory_order_relaxed)) return;
      if (turn_ != Turn::kNone) {
        waiting_.push_back(std::move(task));  // whoever has the turn comes to it
        return;
      }
      turn_ = Turn::kReady;
    }
    const QueueCore* const outer = std::exchange(running_queue, this);
    {
      Task mine = std::move(task);
      mine();
    }
    running_queue = outer;
    EndTurn();
  }

  // Runs waiting tasks, up to the limit of a turn.
  void TakeTurn() {
    {
      absl::MutexLock lock(&mutex_);
      if (next_ == running_.size()) {
        running_.clear();
        next_ = 0;
        running_.swap(waiting_);
      }
    }
    running_queue = this;
    for (size_t ran = 0; ran < kTasksPerTurnMax && next_ < running_.size(); ++ran) {
      if (stopping_.load(std::memory_order_acquire)) break;
      // What the task owns ends with it, before the destructor of the queue goes on.
      Task task = std::move(running_[next_++]);
      task();
    }
    running_queue = nullptr;
    EndTurn();
  }

  // Waits for the task that runs, and drops the others.
  void Stop() {
    CHECK(running_queue != this);
    stopping_.store(true, std::memory_order_release);
    const bool withdrawn = runner_.Withdraw(*this);
    std::vector<Task> dropped_running;
    std::vector<Task> dropped_waiting;
    {
      absl::MutexLock lock(&mutex_);
      if (withdrawn) turn_ = Turn::kNone;
      mutex_.Await(absl::Condition(
          +[](Turn* turn) { return *turn == Turn::kNone; }, &turn_));
      dropped_running.swap(running_);
      dropped_waiting.swap(waiting_);
    }
  }

  // Links of the pool's list of ready queues, guarded by the pool.
  QueueCore* previous_ready = nullptr;
  QueueCore* next_ready = nullptr;
  bool listed = false;

 private:
  enum class Turn { kNone, kReady };  // kReady: listed, or running

  void EndTurn() {
    {
      absl::MutexLock lock(&mutex_);
      const bool more = next_ < running_.size() || !waiting_.empty();
      if (!more || stopping_.load(std::memory_order_relaxed)) {
        turn_ = Turn::kNone;
        return;
      }
      turn_ = Turn::kReady;
    }
    runner_.Ready(*this);
  }

  Runner& runner_;
  std::atomic<bool> stopping_ = false;
  absl::Mutex mutex_;
  std::vector<Task> waiting_ ABSL_GUARDED_BY(mutex_);
  Turn turn_ ABSL_GUARDED_BY(mutex_) = Turn::kNone;
  // Of whoever has the turn.
  std::vector<Task> running_;
  size_t next_ = 0;
};

// The threads of all compute queues, and the list of queues that have work.
class ComputePool final : public Runner {
 public:
  explicit ComputePool(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~ComputePool() override {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
      woken_.SignalAll();
    }
    for (std::thread& thread : threads_) thread.join();
  }

  void Ready(QueueCore& queue) override {
    absl::MutexLock lock(&mutex_);
    queue.previous_ready = last_;
    queue.next_ready = nullptr;
    (last_ == nullptr ? first_ : last_->next_ready) = &queue;
    last_ = &queue;
    queue.listed = true;
    if (asleep_ > 0) {
      // Counted by whoever wakes, so that two posts in a row wake two threads and a third wakes
      // nobody in vain.
      --asleep_;
      woken_.Signal();
    }
  }

  bool Withdraw(QueueCore& queue) override {
    absl::MutexLock lock(&mutex_);
    if (!queue.listed) return false;
    Unlink(queue);
    return true;
  }

 private:
  void Unlink(QueueCore& queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    (queue.previous_ready == nullptr ? first_ : queue.previous_ready->next_ready) =
        queue.next_ready;
    (queue.next_ready == nullptr ? last_ : queue.next_ready->previous_ready) = queue.previous_ready;
    queue.listed = false;
  }

  std::shared_ptr<QueueCore> Next() {
    absl::MutexLock lock(&mutex_);
    while (first_ == nullptr && !stopping_) {
      ++asleep_;
      woken_.Wait(&mutex_);
    }
    if (first_ == nullptr) return nullptr;
    // Taken while the queue is listed and so cannot end: from here on it may end at any time.
    std::shared_ptr<QueueCore> queue = first_->shared_from_this();
    Unlink(*queue);
    return queue;
  }

  void Work() {
    NameThread("compute");
    while (const std::shared_ptr<QueueCore> queue = Next()) queue->TakeTurn();
  }

  absl::Mutex mutex_;
  absl::CondVar woken_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int asleep_ ABSL_GUARDED_BY(mutex_) = 0;
  QueueCore* first_ ABSL_GUARDED_BY(mutex_) = nullptr;
  QueueCore* last_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::vector<std::thread> threads_;
};

// The thread of one blocking queue.
class OwnThread final : public Runner {
 public:
  explicit OwnThread(std::string_view name)
      : thread_([this, name = std::string(name)] { Work(name); }) {}
  ~OwnThread() override {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
      woken_.Signal();
    }
    thread_.join();
  }

  void Ready(QueueCore& queue) override {
    absl::MutexLock lock(&mutex_);
    ready_ = queue.shared_from_this();
    if (asleep_) woken_.Signal();
  }

  bool Withdraw(QueueCore&) override {
    absl::MutexLock lock(&mutex_);
    return std::exchange(ready_, nullptr) != nullptr;
  }

 private:
  std::shared_ptr<QueueCore> Next() {
    absl::MutexLock lock(&mutex_);
    asleep_ = true;
    while (ready_ == nullptr && !stopping_) woken_.Wait(&mutex_);
    asleep_ = false;
    return std::exchange(ready_, nullptr);
  }

  void Work(std::string_view name) {
    NameThread(name);
    while (const std::shared_ptr<QueueCore> queue = Next()) queue->TakeTurn();
  }

  absl::Mutex mutex_;
  absl::CondVar woken_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool asleep_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<QueueCore> ready_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

// One thread that hands tasks to their queues when they are due. It sleeps in poll, whose timeout
// is monotonic: a step of the machine's clock moves no timer.
class Timers {
 public:
  Timers() : wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    CHECK(wake_ >= 0);
    thread_ = std::thread([this] { Work(); });
  }
  ~Timers() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    Wake();
    thread_.join();
    close(wake_);
  }

  void Add(absl::Duration delay, QueueCore& queue, Task task) {
    const absl::Duration due = MonotonicNow() + delay;
    bool first = false;
    {
      absl::MutexLock lock(&mutex_);
      first = timers_.empty() || due < timers_.front().due;
      timers_.push_back(Timer{due, next_number_++, &queue, std::move(task)});
      std::push_heap(timers_.begin(), timers_.end());
    }
    if (first) Wake();
  }

  // Forgets the timers of a queue; afterwards none of them is handed over.
  void Remove(const QueueCore& queue) {
    std::vector<Timer> dropped;
    absl::MutexLock lock(&mutex_);
    const auto end = std::partition(timers_.begin(), timers_.end(),
                                    [&](const Timer& timer) { return timer.queue != &queue; });
    std::move(end, timers_.end(), std::back_inserter(dropped));
    timers_.erase(end, timers_.end());
    std::make_heap(timers_.begin(), timers_.end());
    // `dropped` ends after the lock is released: it was made before.
  }

 private:
  struct Timer {
    absl::Duration due;
    uint64_t number = 0;  // keeps timers of one moment in the order of their setting
    QueueCore* queue = nullptr;
    Task task;
    // The heap has its greatest in front, which must be the one due first.
    bool operator<(const Timer& other) const {
      return std::make_pair(other.due, other.number) < std::make_pair(due, number);
    }
  };

  void Wake() {
    const uint64_t one = 1;
    // A full counter is a wake-up that has not been seen yet.
    CHECK(write(wake_, &one, sizeof one) == sizeof one || errno == EAGAIN);
  }

  // Hands over what is due, and gives the time to the next timer. Nothing when the thread is to
  // end.
  std::optional<absl::Duration> Fire() {
    absl::MutexLock lock(&mutex_);
    const absl::Duration now = MonotonicNow();
    while (!timers_.empty() && timers_.front().due <= now) {
      std::pop_heap(timers_.begin(), timers_.end());
      Timer& fired = timers_.back();
      // Under the lock, so that the queue cannot end meanwhile.
      if (fired.queue->Take(fired.task)) {
        timers_.pop_back();
      } else {
        // The queue is ending. It removes the timer itself, so that the task ends before the queue.
        fired.due = absl::InfiniteDuration();
        std::push_heap(timers_.begin(), timers_.end());
      }
    }
    if (stopping_) return std::nullopt;
    return timers_.empty() ? absl::InfiniteDuration() : timers_.front().due - now;
  }

  void Work() {
    NameThread("timers");
    while (const std::optional<absl::Duration> wait = Fire()) {
      pollfd woken = {wake_, POLLIN, 0};
      const timespec timeout = absl::ToTimespec(std::min(*wait, absl::Hours(1)));
      ppoll(&woken, 1, &timeout, nullptr);
      uint64_t count = 0;
      // Empty when it was the time that ended the wait.
      CHECK(read(wake_, &count, sizeof count) == sizeof count || errno == EAGAIN);
    }
  }

  const int wake_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t next_number_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Timer> timers_ ABSL_GUARDED_BY(mutex_);  // a heap
  std::thread thread_;
};

class PooledQueue final : public TaskQueue {
 public:
  // `own` is nothing for a queue of the pool.
  PooledQueue(Runner& pool, std::unique_ptr<Runner> own, Timers& timers, std::atomic<int>& queues)
      : own_(std::move(own)),
        core_(std::make_shared<QueueCore>(own_ == nullptr ? pool : *own_)),
        timers_(timers),
        queues_(queues) {
    ++queues_;
  }
  ~PooledQueue() override {
    if (timed_.load(std::memory_order_relaxed)) timers_.Remove(*core_);
    core_->Stop();
    // The task that ran last may have set a timer.
    if (timed_.load(std::memory_order_relaxed)) timers_.Remove(*core_);
    --queues_;
  }

  void Post(Task task) override { core_->Post(std::move(task)); }
  std::shared_ptr<Mailbox> mailbox() override { return core_; }
  void PostAfter(absl::Duration delay, Task task) override {
    if (delay <= absl::ZeroDuration()) return Post(std::move(task));
    timed_.store(true, std::memory_order_relaxed);
    timers_.Add(delay, *core_, std::move(task));
  }

 private:
  const std::unique_ptr<Runner> own_;
  const std::shared_ptr<QueueCore> core_;
  Timers& timers_;
  std::atomic<int>& queues_;
  std::atomic<bool> timed_ = false;
};

class ThreadPoolScheduler final : public Scheduler {
 public:
  explicit ThreadPoolScheduler(int threads) : pool_(threads) {
#ifdef NDEBUG
    // Debian's Abseil looks for lock cycles at every lock, behind one lock of the whole process.
    // That is for tests.
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
  }
  ~ThreadPoolScheduler() override { CHECK(queues_ == 0); }

  std::unique_ptr<TaskQueue> NewQueue(std::string_view name, QueueKind kind) override {
    std::unique_ptr<Runner> own;
    if (kind == QueueKind::kBlocking) own = std::make_unique<OwnThread>(name);
    return std::make_unique<PooledQueue>(pool_, std::move(own), timers_, queues_);
  }
  absl::Duration Now() override { return MonotonicNow(); }

 private:
  std::atomic<int> queues_ = 0;
  ComputePool pool_;
  Timers timers_;
};

}  // namespace

void YieldProcessor() { std::this_thread::yield(); }

std::unique_ptr<Scheduler> NewThreadPoolScheduler(int compute_threads) {
  CHECK(compute_threads >= 0);
  if (compute_threads == 0) compute_threads = static_cast<int>(std::thread::hardware_concurrency());
  return std::make_unique<ThreadPoolScheduler>(std::max(compute_threads, 1));
}

}  // namespace buurtlog
