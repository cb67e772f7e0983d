// What the sqlite engine does when the disk is full or fails, and when its process is killed.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "libs/eventlog/testing/faulty_vfs.h"
#include "libs/eventlog/testing/sqlite_log_fixture.h"

namespace buurtlog::eventlog::testing {
namespace {

class SqliteDiskFaultTest : public SqliteEventLogTest {
 protected:
  SqliteDiskFaultTest() {
    options_.vfs = vfs_.name();
    options_.journal_chunk_bytes = 4096;  // so that little room is made ahead
  }
  ~SqliteDiskFaultTest() override { log_.reset(); }

  FaultyVfs vfs_{"faulty"};
};

TEST_F(SqliteDiskFaultTest, AFullDiskFailsTheAppendAndTheLogGoesOnWhenThereIsRoom) {
  CreateAndFill(10);
  FoldState state = *log_->Head(1);
  vfs_.SetRoom(10'000);
  FoldState ahead = state;
  const std::vector<std::string> entries = MakeEntries(ahead, 1, 1000);
  EXPECT_TRUE(absl::IsResourceExhausted(Append(1, state.epoch, entries)));
  EXPECT_TRUE(absl::IsResourceExhausted(Append(1, state.epoch, entries)));
  EXPECT_EQ(*log_->Head(1), state);
  vfs_.SetRoom(1 << 30);
  EXPECT_EQ(Append(1, state.epoch, entries), absl::OkStatus());
  ASSERT_EQ(Open(), absl::OkStatus());
  FoldState at = Start(1);
  EXPECT_EQ(ReadOn(*log_, 1, at), absl::OkStatus());
  EXPECT_EQ(at, ahead);
}

TEST_F(SqliteDiskFaultTest, CallsBehindOneThatFoundTheDiskFullAreNotStoredEither) {
  CreateAndFill(10);
  FoldState state = *log_->Head(1);
  FoldState ahead = state;
  vfs_.SetRoom(0);
  EXPECT_TRUE(absl::IsResourceExhausted(Append(1, state.epoch, MakeEntries(ahead, 1, 100))));
  vfs_.SetRoom(1 << 30);
  EXPECT_TRUE(absl::IsAborted(Append(1, state.epoch, MakeEntries(ahead, 1, 1))));
  Fill(1, state, 3);
}

TEST_F(SqliteDiskFaultTest, AFailedSyncIsUnknownAndTheFileSaysWhatCounts) {
  CreateAndFill(10);
  FoldState state = *log_->Head(1);
  FoldState ahead = state;
  vfs_.FailSyncs(1);
  EXPECT_TRUE(absl::IsUnavailable(Append(1, state.epoch, MakeEntries(ahead, 1, 3))));
  // Behind the next epoch it is known, and this engine makes it count.
  absl::StatusOr<FoldState> begun = Begin(1);
  ASSERT_EQ(begun.status(), absl::OkStatus());
  EXPECT_EQ(begun->next, ahead.next + 1);
  Fill(1, *begun, 3);
  ASSERT_EQ(Open(), absl::OkStatus());
  FoldState at = Start(1);
  EXPECT_EQ(ReadOn(*log_, 1, at), absl::OkStatus());
  EXPECT_EQ(at, *begun);
}

TEST_F(SqliteDiskFaultTest, NobodySeesWhatIsNotKnownToBeDurable) {
  FoldState state = CreateAndFill(3);
  // So that a reader at the start reads from the database, not from memory.
  ASSERT_EQ(Open(), absl::OkStatus());
  Fill(1, state, 1);
  scheduler_.RunFor(absl::Seconds(1));
  FoldState ahead = state;
  vfs_.FailSyncs(1);
  EXPECT_TRUE(absl::IsUnavailable(Append(1, state.epoch, MakeEntries(ahead, 1, 1))));
  // Settling it fails too, when it stands in the database already.
  vfs_.FailSyncs(1);
  EXPECT_TRUE(absl::IsUnavailable(Append(1, state.epoch, MakeEntries(ahead, 1, 1))));
  FoldState at = Start(1);
  EXPECT_EQ(ReadOn(*log_, 1, at), absl::OkStatus());
  EXPECT_EQ(at, state);
  EXPECT_TRUE(absl::IsOutOfRange(log_->Seek(1, state.next).status()));
}

TEST_F(SqliteDiskFaultTest, WhatCannotBeBroughtIntoTheDatabaseIsTold) {
  FoldState state = CreateAndFill(3);
  scheduler_.RunFor(absl::Seconds(1));
  EXPECT_EQ(log_->health(), absl::OkStatus());
  Fill(1, state, 200);
  vfs_.SetRoom(0);
  scheduler_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(absl::IsResourceExhausted(log_->health())) << log_->health();
  vfs_.SetRoom(1 << 30);
  scheduler_.RunFor(absl::Seconds(1));
  EXPECT_EQ(log_->health(), absl::OkStatus());
}

TEST_F(SqliteDiskFaultTest, AReaderBesideTheWriterSeesNothingThatIsNotKnownToBeDurable) {
  FoldState state = CreateAndFill(3);
  scheduler_.RunFor(absl::Seconds(1));
  auto reader = SqliteEventLog::OpenReader(options_, files_, scheduler_);
  ASSERT_EQ(reader.status(), absl::OkStatus());
  FoldState ahead = state;
  vfs_.FailSyncs(1);
  EXPECT_TRUE(absl::IsUnavailable(Append(1, state.epoch, MakeEntries(ahead, 1, 1))));
  FoldState at = Start(1);
  EXPECT_EQ(ReadOn(**reader, 1, at), absl::OkStatus());
  EXPECT_EQ(at, state);
  // Settling it fails too, on its way into the database.
  vfs_.FailSyncs(1);
  EXPECT_TRUE(absl::IsUnavailable(Append(1, state.epoch, MakeEntries(ahead, 1, 1))));
  EXPECT_EQ(ReadOn(**reader, 1, at), absl::OkStatus());
  EXPECT_EQ(at, state);
  ASSERT_EQ(Begin(1).status(), absl::OkStatus());
  EXPECT_EQ(ReadOn(**reader, 1, at), absl::OkStatus());
  EXPECT_EQ(at.next, log_->Head(1)->next);
}

TEST_F(SqliteDiskFaultTest, AReaderWaitsForTheDiskBeforeItShowsWhatTheJournalHas) {
  FoldState state = CreateAndFill(3);
  scheduler_.RunFor(absl::Seconds(1));
  const FoldState before = state;
  auto reader = SqliteEventLog::OpenReader(options_, files_, scheduler_);
  ASSERT_EQ(reader.status(), absl::OkStatus());
  Fill(1, state, 1);
  vfs_.FailSyncs(1);
  FoldState at = before;
  EXPECT_TRUE(absl::IsUnavailable(ReadOn(**reader, 1, at)));
  // Another sync would prove nothing.
  EXPECT_TRUE(absl::IsUnavailable(ReadOn(**reader, 1, at)));
  EXPECT_EQ(at, before);
}

using SqliteKilledWriterTest = SqliteEventLogTest;

// One answered append, as the writing process tells it.
struct Ack {
  Partition partition = 0;
  Sequence last = 0;
};

// Writes to all partitions, a few calls under way in each, and tells every answer to `pipe`; until
// it is killed.
[[noreturn]] void WriteUntilKilled(const SqliteLogOptions& options, int pipe) {
  std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler(1);
  auto log = SqliteEventLog::Open(options, SystemFiles(), *scheduler);
  if (!log.ok()) _exit(1);
  std::map<Partition, FoldState> states;
  for (Partition partition = 0; partition < kPartitions; ++partition) {
    absl::Notification begun;
    (*log)->BeginEpoch(partition, "child", [&](absl::StatusOr<FoldState> state) {
      if (!state.ok()) _exit(2);
      states[partition] = *state;
      begun.Notify();
    });
    begun.WaitForNotification();
  }
  while (true) {
    absl::Notification last;
    for (int i = 0; i < 8; ++i) {
      for (auto& [partition, state] : states) {
        std::vector<std::string> entries = MakeEntries(state, partition, 1 + i % 3);
        const bool is_last = i == 7 && partition == kPartitions - 1;
        const Ack ack{partition, state.next - 1};
        (*log)->Append(partition, state.epoch, std::move(entries), [=, &last](absl::Status status) {
          if (!status.ok() || write(pipe, &ack, sizeof(ack)) != sizeof(ack)) _exit(3);
          if (is_last) last.Notify();
        });
      }
    }
    last.WaitForNotification();
  }
}

struct Child {
  pid_t pid = 0;
  int pipe = -1;
};

Child StartWriter(const SqliteLogOptions& options) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    WriteUntilKilled(options, ends[1]);
  }
  close(ends[1]);
  return {pid, ends[0]};
}

// Reads answers until there are `wanted`, kills the writer, and reads what it had told before.
// Returns how many there were.
int KillAfter(const Child& child, int wanted, std::map<Partition, Sequence>& answered) {
  int answers = 0;
  Ack ack;
  while (read(child.pipe, &ack, sizeof(ack)) == sizeof(ack)) {
    answered[ack.partition] = std::max(answered[ack.partition], ack.last);
    if (++answers == wanted) kill(child.pid, SIGKILL);
  }
  close(child.pipe);
  int status = 0;
  EXPECT_EQ(waitpid(child.pid, &status, 0), child.pid);
  EXPECT_TRUE(WIFSIGNALED(status));
  return answers;
}

TEST_F(SqliteKilledWriterTest, WhatWasAnsweredIsThereAfterTheWriterWasKilled) {
  Create();
  std::map<Partition, Sequence> answered;
  for (const int wanted : {1, 90, 300}) {
    EXPECT_GE(KillAfter(StartWriter(options_), wanted, answered), wanted);
    ASSERT_EQ(Open(), absl::OkStatus());
    for (Partition partition = 0; partition < kPartitions; ++partition) {
      FoldState at = Start(partition);
      EXPECT_EQ(ReadOn(*log_, partition, at), absl::OkStatus());
      EXPECT_GE(at.next, answered[partition] + 1);
    }
    log_.reset();
  }
}

TEST_F(SqliteKilledWriterTest, AReaderSeesWhatAWriterInAnotherProcessAnswered) {
  Create();
  const Child child = StartWriter(options_);
  Ack ack;
  ASSERT_EQ(read(child.pipe, &ack, sizeof(ack)), static_cast<ssize_t>(sizeof(ack)));
  auto reader = SqliteEventLog::OpenReader(options_, files_, scheduler_);
  ASSERT_EQ(reader.status(), absl::OkStatus());
  int calls = 0;
  auto subscription = (*reader)->Watch([&](Partition) { ++calls; });
  std::map<Partition, FoldState> at;
  for (Partition partition = 0; partition < kPartitions; ++partition) {
    at[partition] = Start(partition);
  }
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(read(child.pipe, &ack, sizeof(ack)), static_cast<ssize_t>(sizeof(ack)));
    FoldState& state = at[ack.partition];
    const Sequence before = state.next;
    ASSERT_EQ(ReadOn(**reader, ack.partition, state), absl::OkStatus());
    EXPECT_GT(state.next, std::max(ack.last, before - 1));
  }
  // What was answered until now the reader may have found when it opened; the writer goes on, so
  // sooner or later there is something new to tell.
  while (calls == 0) {
    ASSERT_EQ(read(child.pipe, &ack, sizeof(ack)), static_cast<ssize_t>(sizeof(ack)));
    scheduler_.RunFor(absl::Milliseconds(20));
  }
  std::map<Partition, Sequence> answered;
  KillAfter(child, 1, answered);
}

}  // namespace
}  // namespace buurtlog::eventlog::testing
