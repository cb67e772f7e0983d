#include "libs/base/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"

namespace buurtlog {
namespace {

using ::testing::ElementsAre;

TEST(SimulatedSchedulerTest, TasksOfAQueueRunInOrder) {
  SimulatedScheduler scheduler(1);
  const auto queue = scheduler.NewQueue("q", QueueKind::kCompute);
  std::vector<int> ran;
  for (int i = 0; i < 3; ++i) queue->Post([&ran, i] { ran.push_back(i); });
  EXPECT_TRUE(ran.empty());
  scheduler.RunUntilIdle();
  EXPECT_THAT(ran, ElementsAre(0, 1, 2));
}

// Runs three queues of tasks and gives the order in which they ran.
std::string Interleaving(uint64_t seed) {
  SimulatedScheduler scheduler(seed);
  std::vector<std::unique_ptr<TaskQueue>> queues;
  std::string ran;
  for (char name : {'a', 'b', 'c'}) {
    queues.push_back(scheduler.NewQueue("q", QueueKind::kCompute));
    for (int i = 0; i < 5; ++i) queues.back()->Post([&ran, name] { ran.push_back(name); });
  }
  scheduler.RunUntilIdle();
  return ran;
}

TEST(SimulatedSchedulerTest, TheSeedDecidesWhichQueueRunsNext) {
  EXPECT_EQ(Interleaving(1), Interleaving(1));
  EXPECT_NE(Interleaving(1), Interleaving(2));
}

TEST(SimulatedSchedulerTest, TimeJumpsToTimersInTheOrderTheyAreDue) {
  SimulatedScheduler scheduler(1);
  const auto queue = scheduler.NewQueue("q", QueueKind::kCompute);
  std::vector<int> ran;
  queue->PostAfter(absl::Seconds(2), [&] { ran.push_back(2); });
  queue->PostAfter(absl::Seconds(1), [&] { ran.push_back(1); });
  queue->PostAfter(absl::Seconds(2), [&] { ran.push_back(3); });
  scheduler.RunUntilIdle();
  EXPECT_TRUE(ran.empty());
  scheduler.RunFor(absl::Seconds(1));
  EXPECT_THAT(ran, ElementsAre(1));
  EXPECT_EQ(scheduler.Now(), absl::Seconds(1));
  scheduler.RunFor(absl::Seconds(10));
  EXPECT_THAT(ran, ElementsAre(1, 2, 3));
  EXPECT_EQ(scheduler.Now(), absl::Seconds(11));
}

TEST(SimulatedSchedulerTest, ATimerWithoutDelayIsReadyAtOnce) {
  SimulatedScheduler scheduler(1);
  const auto queue = scheduler.NewQueue("q", QueueKind::kCompute);
  std::vector<int> ran;
  queue->PostAfter(absl::ZeroDuration(), [&] { ran.push_back(1); });
  queue->Post([&] { ran.push_back(2); });
  scheduler.RunUntilIdle();
  EXPECT_THAT(ran, ElementsAre(1, 2));
}

TEST(SimulatedSchedulerTest, TimeThatPassesInATaskMakesTimersLate) {
  SimulatedScheduler scheduler(1);
  const auto queue = scheduler.NewQueue("q", QueueKind::kCompute);
  std::vector<absl::Duration> ran;
  queue->PostAfter(absl::Seconds(1), [&] { ran.push_back(scheduler.Now()); });
  queue->Post([&] { scheduler.PassTime(absl::Seconds(5)); });
  scheduler.RunFor(absl::Seconds(2));
  EXPECT_EQ(scheduler.Now(), absl::Seconds(5));
  scheduler.RunUntilIdle();
  scheduler.RunFor(absl::Seconds(1));
  EXPECT_EQ(ran, std::vector<absl::Duration>{absl::Seconds(5)});
}

TEST(SimulatedSchedulerTest, RunUntilStopsAsSoonAsItIsDoneOrNothingIsLeft) {
  SimulatedScheduler scheduler(1);
  const auto queue = scheduler.NewQueue("q", QueueKind::kCompute);
  int ran = 0;
  for (int i = 0; i < 3; ++i) queue->PostAfter(absl::Hours(i), [&] { ++ran; });
  EXPECT_TRUE(scheduler.RunUntil([&] { return ran == 2; }));
  EXPECT_EQ(scheduler.Now(), absl::Hours(1));
  EXPECT_FALSE(scheduler.RunUntil([&] { return ran == 9; }));
  EXPECT_EQ(ran, 3);
  EXPECT_FALSE(scheduler.RunOne());
}

TEST(SimulatedSchedulerTest, ADestroyedQueueDropsTasksAndTimers) {
  SimulatedScheduler scheduler(1);
  const auto other = scheduler.NewQueue("other", QueueKind::kCompute);
  auto queue = scheduler.NewQueue("q", QueueKind::kCompute);
  const auto owned = std::make_shared<int>();
  queue->Post([owned] { FAIL(); });
  queue->PostAfter(absl::Seconds(1), [owned] { FAIL(); });
  queue.reset();
  EXPECT_EQ(owned.use_count(), 1);
  scheduler.RunFor(absl::Seconds(5));
}

// What holds on the machine's scheduler for both kinds of queue.
class ThreadPoolTest : public ::testing::TestWithParam<QueueKind> {
 protected:
  std::unique_ptr<TaskQueue> NewQueue() { return scheduler_->NewQueue("queue", GetParam()); }

  std::unique_ptr<Scheduler> scheduler_ = NewThreadPoolScheduler(2);
};

TEST_P(ThreadPoolTest, TasksOfManyPostersRunOneAtATimeAndInOrder) {
  const auto queue = NewQueue();
  constexpr int kPosters = 3;
  constexpr int kTasks = 2000;
  std::atomic<bool> busy = false;
  std::vector<int> last(kPosters, -1);
  absl::Notification done;
  int left = kPosters * kTasks;
  std::vector<std::thread> posters;
  for (int p = 0; p < kPosters; ++p) {
    posters.emplace_back([&, p] {
      for (int i = 0; i < kTasks; ++i) {
        queue->Post([&, p, i] {
          EXPECT_FALSE(busy.exchange(true));
          EXPECT_EQ(last[p], i - 1);
          last[p] = i;
          busy = false;
          if (--left == 0) done.Notify();
        });
      }
    });
  }
  for (std::thread& poster : posters) poster.join();
  done.WaitForNotification();
}

TEST_P(ThreadPoolTest, TheDestructorWaitsForTheTaskThatRunsAndDropsTheOthers) {
  TaskQueue* const queue = NewQueue().release();
  absl::Notification started;
  bool ended = false;
  const auto owned = std::make_shared<int>();
  queue->Post([&] {
    queue->PostAfter(absl::Hours(1), [owned] { FAIL(); });
    started.Notify();
    // Runs until what it posts is dropped at once: then the destructor has begun and waits.
    std::shared_ptr<int> probe;
    do {
      probe = std::make_shared<int>();
      queue->Post([owned, probe] { FAIL(); });
      std::this_thread::yield();
    } while (probe.use_count() > 1);
    queue->PostAfter(absl::Nanoseconds(1), [owned] { FAIL(); });
    ended = true;
  });
  queue->Post([owned] { FAIL(); });
  started.WaitForNotification();
  delete queue;
  EXPECT_TRUE(ended);
  EXPECT_EQ(owned.use_count(), 1);
}

TEST_P(ThreadPoolTest, WhatATimerHoldsEndsBeforeItsQueueAlsoWhenItIsDueMeanwhile) {
  for (int round = 0; round < 50; ++round) {
    TaskQueue* const queue = NewQueue().release();
    absl::Notification started;
    const auto owned = std::make_shared<int>();
    queue->Post([&] {
      started.Notify();
      // Until the destructor has begun, as above.
      std::shared_ptr<int> probe;
      do {
        probe = std::make_shared<int>();
        queue->Post([probe] { FAIL(); });
        std::this_thread::yield();
      } while (probe.use_count() > 1);
      queue->PostAfter(absl::Nanoseconds(1), [owned] { FAIL(); });
    });
    started.WaitForNotification();
    delete queue;
    ASSERT_EQ(owned.use_count(), 1);
  }
}

TEST_P(ThreadPoolTest, AQueueMayBeDestroyedFromATaskOfAnotherQueue) {
  const std::unique_ptr<Scheduler> one_thread = NewThreadPoolScheduler(1);
  const auto destroyer = one_thread->NewQueue("destroyer", QueueKind::kCompute);
  for (int i = 0; i < 50; ++i) {
    auto victim = one_thread->NewQueue("victim", GetParam());
    absl::Notification done;
    destroyer->Post([&] {
      victim->Post([] {});
      victim->PostAfter(absl::Microseconds(1), [] {});
      victim.reset();
      done.Notify();
    });
    done.WaitForNotification();
  }
}

TEST_P(ThreadPoolTest, TimersRunWhenTheyAreDueAndNotBefore) {
  const auto queue = NewQueue();
  const absl::Duration start = scheduler_->Now();
  std::vector<int> order;
  absl::Duration first_ran;
  absl::Notification done;
  queue->PostAfter(absl::Milliseconds(12), [&] {
    order.push_back(2);
    done.Notify();
  });
  queue->PostAfter(absl::Milliseconds(5), [&] {
    order.push_back(1);
    first_ran = scheduler_->Now();
  });
  queue->PostAfter(absl::ZeroDuration(), [&] { order.push_back(0); });
  done.WaitForNotification();
  EXPECT_THAT(order, ElementsAre(0, 1, 2));
  EXPECT_GE(first_ran - start, absl::Milliseconds(5));
}

TEST_P(ThreadPoolTest, ABusyQueueDoesNotStarveAnother) {
  const std::unique_ptr<Scheduler> one_thread = NewThreadPoolScheduler(1);
  std::atomic<bool> stop = false;
  absl::Notification ran;
  // Ends after the queue whose tasks use it.
  absl::AnyInvocable<void()> again;
  const auto busy = one_thread->NewQueue("busy", GetParam());
  const auto other = one_thread->NewQueue("other", QueueKind::kCompute);
  again = [&] {
    if (!stop) busy->Post([&] { again(); });
  };
  busy->Post([&] { again(); });
  other->Post([&] { ran.Notify(); });
  ran.WaitForNotification();
  stop = true;
}

TEST_P(ThreadPoolTest, QueuesComeAndGoWhileTasksArePosted) {
  for (int round = 0; round < 200; ++round) {
    int ran = 0;
    auto queue = NewQueue();
    for (int i = 0; i < 5; ++i) queue->Post([&] { ++ran; });
    queue.reset();
    EXPECT_LE(ran, 5);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, ThreadPoolTest,
                         ::testing::Values(QueueKind::kCompute, QueueKind::kBlocking),
                         [](const auto& param_info) {
                           return param_info.param == QueueKind::kCompute ? "Compute" : "Blocking";
                         });

}  // namespace
}  // namespace buurtlog
