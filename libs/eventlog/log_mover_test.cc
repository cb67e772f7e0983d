#include "libs/eventlog/log_mover.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libs/eventlog/testing/sqlite_log_fixture.h"

namespace buurtlog::eventlog::testing {
namespace {

// A queue that is always in the middle of a task when it goes: its destructor waits for that one,
// as every queue does, and drops the others.
class BusyScheduler final : public Scheduler {
 public:
  std::unique_ptr<TaskQueue> NewQueue(std::string_view, QueueKind) override {
    return std::make_unique<Queue>();
  }
  absl::Duration Now() override { return absl::ZeroDuration(); }

 private:
  class Queue final : public TaskQueue {
   public:
    ~Queue() override {
      if (tasks_.empty()) return;
      Task running = std::move(tasks_.front());
      tasks_.pop_front();
      running();
    }
    void Post(Task task) override { tasks_.push_back(std::move(task)); }
    void PostAfter(absl::Duration, Task task) override { tasks_.push_back(std::move(task)); }
    std::shared_ptr<Mailbox> mailbox() override { return nullptr; }

   private:
    std::deque<Task> tasks_;
  };
};

using LogMoverTest = SqliteEventLogTest;

TEST_F(LogMoverTest, AMoveThatIsUnderWayWhenItGoesMayLeaveSomethingForLater) {
  Create();
  auto writer = LogFileWriter::Open(options_, kPartitions);
  ASSERT_EQ(writer.status(), absl::OkStatus());
  std::vector<FoldState> heads;
  for (Partition partition = 0; partition < kPartitions; ++partition) {
    heads.push_back(Start(partition));
  }
  LogTail tail(std::move(heads));
  BusyScheduler scheduler;
  std::vector<CommittedEntryPtr> entries;
  // More than one transaction takes.
  for (size_t bytes = 0; bytes < 2 * kMoveBytesMax; bytes += entries.back()->bytes.size()) {
    auto entry = std::make_shared<CommittedEntry>();
    entry->view.header.partition = 1;
    entry->view.header.sequence = entries.size() + 1;
    entry->bytes = std::string(512 << 10, 'b');
    entries.push_back(std::move(entry));
  }
  const size_t count = entries.size();
  FoldState head = Start(1);
  head.next += count;
  tail.Publish(1, entries, head);
  {
    LogMover mover(*std::move(writer), tail, scheduler);
    mover.Add(std::move(entries), 1);
  }
  EXPECT_GT(tail.MovedEnd(1), 1u);
  EXPECT_LT(tail.MovedEnd(1), head.next);
}

}  // namespace
}  // namespace buurtlog::eventlog::testing
