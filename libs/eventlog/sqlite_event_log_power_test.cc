// What the sqlite engine still has when the power went, on a simulated disk whose syncs may fail.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libs/eventlog/head_file.h"
#include "libs/eventlog/log_mover.h"
#include "libs/eventlog/testing/sqlite_log_fixture.h"
#include "libs/sqlite/testing/simulated_disk.h"

namespace buurtlog::eventlog::testing {
namespace {

using sqlite::testing::AfterCrash;
using sqlite::testing::SimulatedDisk;

// A log with an owner on a disk of its own. What a failed sync leaves is drawn from the seed.
class LogOnDisk {
 public:
  explicit LogOnDisk(uint64_t seed, uint64_t journal_bytes_wanted = 8 << 20) : disk_("disk", seed) {
    options_.folder = "/disk/log";
    options_.journal_bytes_wanted = journal_bytes_wanted;
    options_.journal_chunk_bytes = 4096;
    EXPECT_EQ(SqliteEventLog::Create(identity_, options_, disk_.files()), absl::OkStatus());
    EXPECT_EQ(Open(), absl::OkStatus());
    absl::StatusOr<FoldState> begun = absl::UnknownError("no answer");
    log_->BeginEpoch(1, "owner", [&](absl::StatusOr<FoldState> state) { begun = state; });
    scheduler_.RunUntilIdle();
    EXPECT_EQ(begun.status(), absl::OkStatus());
    state_ = *begun;
  }

  SimulatedDisk& disk() { return disk_; }
  const SqliteLogOptions& options() const { return options_; }
  SqliteEventLog& log() { return *log_; }
  SimulatedScheduler& scheduler() { return scheduler_; }
  Sequence acknowledged() const { return state_.next - 1; }

  absl::Status Open() {
    auto log = SqliteEventLog::Open(options_, disk_.files(), scheduler_);
    if (log.ok()) log_ = *std::move(log);
    return log.status();
  }

  // As an owner that goes on only from what it knows to be there.
  absl::Status Append(int count) {
    FoldState ahead = state_;
    absl::Status result = absl::UnknownError("no answer");
    log_->Append(1, ahead.epoch, MakeEntries(ahead, 1, count),
                 [&](absl::Status status) { result = std::move(status); });
    scheduler_.RunUntilIdle();
    if (result.ok()) state_ = ahead;
    return result;
  }

  // In log.db, and in its WAL, which is synced with the first move of a generation of the journal
  // only.
  void AppendAndMove() {
    for (int round = 0; round < 3; ++round) {
      ASSERT_EQ(Append(60), absl::OkStatus());
      scheduler_.RunFor(2 * kMoveDelay);
    }
  }

  // What was of unknown outcome is there, for a log that has settled it.
  void TakeOn() { state_ = *log_->Head(1); }

  // Of partition 1, in the head file.
  Sequence KnownSequence() {
    const auto heads = ReadHeadFile(disk_.files(), options_.folder, identity_);
    EXPECT_EQ(heads.status(), absl::OkStatus());
    return heads.ok() ? (*heads)[1].sequence : 0;
  }

  void Crash(AfterCrash after) {
    disk_.Crash();
    log_ = nullptr;
    disk_.Restart(after);
  }

  // The last entry that a log opened now has, having read all.
  absl::StatusOr<Sequence> ReadAnew() {
    if (absl::Status opened = Open(); !opened.ok()) return opened;
    FoldState at = InitialFoldState(identity_, 1);
    if (absl::Status read = ReadOn(*log_, 1, at); !read.ok()) return read;
    return at.next - 1;
  }

 private:
  const LogIdentity identity_ = TestIdentity();
  SimulatedScheduler scheduler_{1};
  SimulatedDisk disk_;
  SqliteLogOptions options_;
  std::unique_ptr<SqliteEventLog> log_;
  FoldState state_;
};

constexpr uint64_t kSeeds = 20;

// What was acknowledged is there, and nothing else.
void LoseThePowerAndCompare(LogOnDisk& log, uint64_t seed) {
  log.Crash(AfterCrash::kNothing);
  const absl::StatusOr<Sequence> last = log.ReadAnew();
  ASSERT_EQ(last.status(), absl::OkStatus()) << seed;
  EXPECT_EQ(*last, log.acknowledged()) << seed;
}

TEST(SqliteLogPowerTest, ASyncThatFailedWhileOpeningIsNotBelievedTheNextTime) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    LogOnDisk log(seed);
    log.AppendAndMove();
    log.Crash(AfterCrash::kAll);
    log.disk().FailSyncs(1);
    EXPECT_TRUE(absl::IsUnavailable(log.Open())) << seed;
    ASSERT_EQ(log.Open(), absl::OkStatus());
    // Into the journal, where the entries stood until now.
    for (int i = 0; i < 20; ++i) ASSERT_EQ(log.Append(10), absl::OkStatus());
    LoseThePowerAndCompare(log, seed);
  }
}

TEST(SqliteLogPowerTest, ASyncOfTheWalThatFailedIsNotBelievedWhenItIsTriedAgain) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    LogOnDisk log(seed);
    log.AppendAndMove();
    // That of the journal, then that of the WAL which should take its place.
    log.disk().FailSyncs(2);
    EXPECT_TRUE(absl::IsUnavailable(log.Append(10)));
    EXPECT_TRUE(absl::IsUnavailable(log.Append(10)));
    log.Append(1).IgnoreError();  // settles it, and does not follow from it
    log.TakeOn();
    for (int i = 0; i < 20; ++i) ASSERT_EQ(log.Append(10), absl::OkStatus());
    LoseThePowerAndCompare(log, seed);
  }
}

TEST(SqliteLogPowerTest, ABatchThatWasMadeVoidDoesNotComeBackWithAPowerCut) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    // Each batch goes into the other file than the one before, so the void one stands in either.
    LogOnDisk log(seed, 1);
    for (uint64_t batch = 0; batch < 2 + seed % 2; ++batch) {
      ASSERT_EQ(log.Append(1), absl::OkStatus());
      log.scheduler().RunFor(2 * kMoveDelay);
    }
    log.disk().FailSyncs(1);
    EXPECT_TRUE(absl::IsUnavailable(log.Append(2)));
    log.Crash(AfterCrash::kAll);
    ASSERT_EQ(log.Open(), absl::OkStatus());
    ASSERT_EQ(log.Append(1), absl::OkStatus());
    LoseThePowerAndCompare(log, seed);
  }
}

TEST(SqliteLogPowerTest, ASyncThatFailedWhileMovingIsToldAndTriedAgainWithoutAnotherAppend) {
  LogOnDisk log(1);
  ASSERT_EQ(log.Append(3), absl::OkStatus());
  log.disk().FailSyncs(1);
  log.scheduler().RunFor(kMoveDelay);
  EXPECT_TRUE(absl::IsUnavailable(log.log().health())) << log.log().health();
  log.scheduler().RunFor(2 * kMoveRetryDelay);
  EXPECT_EQ(log.log().health(), absl::OkStatus());
}

TEST(SqliteLogPowerTest, AHeadFileThatCouldNotBeWrittenIsTriedAgainWithoutAnotherAppend) {
  LogOnDisk log(1);
  ASSERT_EQ(log.Append(3), absl::OkStatus());
  log.disk().SetRoom(0);
  log.scheduler().RunFor(absl::Seconds(3));
  EXPECT_EQ(log.KnownSequence(), 0u);
  log.disk().SetRoom(INT64_MAX);
  log.scheduler().RunFor(absl::Seconds(3));
  EXPECT_EQ(log.KnownSequence(), log.acknowledged());
}

}  // namespace
}  // namespace buurtlog::eventlog::testing
