// One bug, on purpose, named by the argument: sanitizers_test shows that it is seen, so that the
// silence of the sanitizers about everything else means something. `none` does the same things as
// they should be done.
#include <climits>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/scheduler.h"

namespace {

using buurtlog::NewThreadPoolScheduler;
using buurtlog::QueueKind;
using buurtlog::Scheduler;
using buurtlog::TaskQueue;

// Out of the compiler's sight, which warns of some of these bugs by itself.
template <typename T>
T Unforeseen(T value) {
  volatile T hidden = value;
  return hidden;
}

void RunAsTask(buurtlog::Task task) {
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler(1);
  const std::unique_ptr<TaskQueue> queue = scheduler->NewQueue("seeded", QueueKind::kCompute);
  absl::BlockingCounter left(1);
  queue->Post([&] {
    task();
    left.DecrementCount();
  });
  left.Wait();
}

// Runs `first` and `second` on two threads.
template <typename First, typename Second>
void RunBeside(First first, Second second) {
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler(1);
  const std::unique_ptr<TaskQueue> one = scheduler->NewQueue("one", QueueKind::kBlocking);
  const std::unique_ptr<TaskQueue> other = scheduler->NewQueue("other", QueueKind::kBlocking);
  absl::BlockingCounter left(2);
  one->Post([&] {
    first();
    left.DecrementCount();
  });
  other->Post([&] {
    second();
    left.DecrementCount();
  });
  left.Wait();
}

// A task that outlives what it works on.
void UseAfterFree() {
  auto owned = std::make_unique<int>(1);
  int* const gone = Unforeseen(owned.get());
  owned.reset();
  RunAsTask([gone] { *gone = 2; });
}

[[gnu::noinline]] int* AddressOfLocal() {
  int local = Unforeseen(1);
  return Unforeseen(&local);
}
// A task that keeps a reference to what its poster had on the stack.
void UseAfterReturn() {
  int* const gone = AddressOfLocal();
  RunAsTask([gone] { *gone = 2; });
}

void ReadPastTheEnd() {
  const auto text = std::make_unique<char[]>(16);
  std::cout << static_cast<int>(text[Unforeseen<size_t>(16)]);
}

// Many, as one may still be named by what is left on the stack.
void Leak() {
  for (int i = 0; i < 100; ++i) Unforeseen(new int(i));
}

void Overflow() { std::cout << Unforeseen(INT_MAX) + Unforeseen(1); }

// What one queue's tasks keep without a lock, touched by another's.
void Race() {
  int shared = 0;
  RunBeside([&] { ++shared; }, [&] { ++shared; });
}

// Locked, but not for everybody.
void RaceBesideALock() {
  absl::Mutex mutex;
  int shared = 0;
  RunBeside(
      [&] {
        absl::MutexLock lock(&mutex);
        ++shared;
      },
      [&] { ++shared; });
}

// Two locks, in two orders.
void LockOrder() {
  absl::Mutex first;
  absl::Mutex second;
  RunAsTask([&] {
    absl::MutexLock outer(&first);
    absl::MutexLock inner(&second);
  });
  RunAsTask([&] {
    absl::MutexLock outer(&second);
    absl::MutexLock inner(&first);
  });
}

void None() {
  absl::Mutex mutex;
  int shared = 0;
  const auto add = [&] {
    absl::MutexLock lock(&mutex);
    ++shared;
  };
  RunBeside(add, add);
  RunAsTask([&] { ++shared; });
  std::cout << shared << "\n";
}

const std::map<std::string, void (*)()> kBugs = {
    {"none", None},
    {"use_after_free", UseAfterFree},
    {"use_after_return", UseAfterReturn},
    {"read_past_the_end", ReadPastTheEnd},
    {"leak", Leak},
    {"overflow", Overflow},
    {"race", Race},
    {"race_beside_a_lock", RaceBesideALock},
    {"lock_order", LockOrder},
};

}  // namespace

int main(int argc, char** argv) {
  const auto bug = kBugs.find(argc == 2 ? argv[1] : "");
  if (bug == kBugs.end()) {
    std::cerr << "usage: seeded_bugs BUG\n";
    return 2;
  }
  bug->second();
  return 0;
}
