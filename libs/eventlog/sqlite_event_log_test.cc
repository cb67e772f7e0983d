#include "libs/eventlog/sqlite_event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "libs/base/refusal.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/bytes.h"
#include "libs/eventlog/chain_check.h"
#include "libs/eventlog/sqlite_log_file.h"
#include "libs/eventlog/sqlite_log_flusher.h"
#include "libs/eventlog/testing/sqlite_log_fixture.h"

namespace buurtlog::eventlog::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

TEST_F(SqliteEventLogTest, WhatWasAppendedIsThereAfterReopening) {
  const FoldState state = CreateAndFill(200);
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_EQ(log_->identity(), identity_);
  FoldState at = Start(1);
  int records = 0;
  EXPECT_EQ(ReadOn(*log_, 1, at, &records), absl::OkStatus());
  EXPECT_EQ(records, 200);
  EXPECT_EQ(at, state);
  // The epoch record lies before the verified tail, so the head does not know who the owner is.
  EXPECT_EQ(log_->Head(1)->head_hash, state.head_hash);
  EXPECT_EQ(log_->Head(1)->epoch, state.epoch);
}

TEST_F(SqliteEventLogTest, TheOwnerIsKnownAfterReopeningWhenItsEpochIsInTheTail) {
  const FoldState state = CreateAndFill(5);
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_EQ(*log_->Head(1), state);
  EXPECT_EQ(log_->Head(1)->owner, "owner-1:7000");
}

TEST_F(SqliteEventLogTest, AReopenedLogGoesOnWhereItStood) {
  FoldState state = CreateAndFill(5);
  ASSERT_EQ(Open(), absl::OkStatus());
  Fill(1, state, 5);
  FoldState at = Start(1);
  EXPECT_EQ(ReadOn(*log_, 1, at), absl::OkStatus());
  EXPECT_EQ(at, state);
}

TEST_F(SqliteEventLogTest, NoSecondLogIsMadeInAFolder) {
  Create();
  EXPECT_TRUE(absl::IsAlreadyExists(SqliteEventLog::Create(identity_, options_, files_)));
}

TEST_F(SqliteEventLogTest, AFolderWithoutALogIsNotFound) { EXPECT_TRUE(absl::IsNotFound(Open())); }

TEST_F(SqliteEventLogTest, ASecondWriterIsRefused) {
  CreateAndOpen();
  const absl::Status second = SqliteEventLog::Open(options_, files_, scheduler_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(second));
  EXPECT_EQ(StatusReason(second), "DATA_FOLDER_IN_USE");
}

TEST_F(SqliteEventLogTest, ALogOfANewerReleaseIsRefused) {
  Create();
  std::string text = Load(Path("identity"));
  text.replace(text.find("format 2"), 8, "format 3");
  Save(Path("identity"), text);
  EXPECT_TRUE(absl::IsFailedPrecondition(Open()));
  EXPECT_EQ(StatusReason(Open()), "NEWER_RELEASE");
}

TEST_F(SqliteEventLogTest, ALogOfAnEarlierReleaseIsRefused) {
  Create();
  std::string text = Load(Path("identity"));
  text.replace(text.find("format 2"), 8, "format 1");
  text.resize(text.find("crc32"));
  absl::StrAppend(&text, "crc32 ", absl::Hex(Crc32(0, text), absl::kZeroPad8), "\n");
  Save(Path("identity"), text);
  EXPECT_TRUE(absl::IsFailedPrecondition(Open()));
  EXPECT_EQ(StatusReason(Open()), "EARLIER_RELEASE");
}

TEST_F(SqliteEventLogTest, AnEntryThatIsMissingWhereTheVerifiedOnesBeginIsDataLoss) {
  CreateAndFill(200);  // behind the epoch record
  log_.reset();
  Execute(absl::StrCat("DELETE FROM entry_1 WHERE sequence = ", 201 - kVerifiedAtOpenMin + 1));
  EXPECT_TRUE(absl::IsDataLoss(Open())) << Open();
}

TEST_F(SqliteEventLogTest, AHeaderThatSqliteDoesNotUnderstandIsDataLoss) {
  Create();
  std::string bytes = Load(Path("log.db"));
  bytes[47] = static_cast<char>(bytes[47] ^ 0x20);  // the number of the schema's format
  Save(Path("log.db"), bytes);
  EXPECT_TRUE(absl::IsDataLoss(Open())) << Open();
}

TEST_F(SqliteEventLogTest, AHeaderThatForbidsWritingIsDataLoss) {
  Create();
  std::string bytes = Load(Path("log.db"));
  bytes[18] = static_cast<char>(bytes[18] ^ 0x20);  // the version that a writer must know
  Save(Path("log.db"), bytes);
  EXPECT_TRUE(absl::IsDataLoss(Open())) << Open();
}

TEST_F(SqliteEventLogTest, AFormatThatWasDamagedIsNoEarlierRelease) {
  Create();
  std::string text = Load(Path("identity"));
  text.replace(text.find("format 2"), 8, "format 0");
  Save(Path("identity"), text);
  EXPECT_TRUE(absl::IsDataLoss(Open()));
}

TEST_F(SqliteEventLogTest, ALogThatIsNotMarkedSyntheticIsRefused) {
  identity_.synthetic = false;
  Create();
  EXPECT_TRUE(absl::IsFailedPrecondition(Open()));
  EXPECT_EQ(StatusReason(Open()), "NOT_SYNTHETIC");
}

TEST_F(SqliteEventLogTest, ADamagedIdentityIsDataLoss) {
  Create();
  std::string text = Load(Path("identity"));
  text[text.find("visits")] = 'w';
  Save(Path("identity"), text);
  EXPECT_TRUE(absl::IsDataLoss(Open()));
}

TEST_F(SqliteEventLogTest, ADamagedEntryIsFoundAndNamedByTheReader) {
  CreateAndFill(200);
  log_.reset();
  Damage(1, 20);
  ASSERT_EQ(Open(), absl::OkStatus());
  FoldState at = Start(1);
  const absl::Status status = ReadOn(*log_, 1, at);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence 20:"));
  EXPECT_EQ(at.next, 20u);
}

TEST_F(SqliteEventLogTest, ADamagedEntryInTheTailIsFoundAndNamedAtOpening) {
  CreateAndFill(200);
  log_.reset();
  Damage(1, 180);
  const absl::Status status = Open();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence 180:"));
}

TEST_F(SqliteEventLogTest, AMissingEntryIsFoundAndNamedByTheReader) {
  CreateAndFill(200);
  log_.reset();
  Execute("DELETE FROM entry_1 WHERE sequence = 20");
  ASSERT_EQ(Open(), absl::OkStatus());
  FoldState at = Start(1);
  const absl::Status status = ReadOn(*log_, 1, at);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence 20: missing"));
  EXPECT_EQ(at.next, 20u);
}

TEST_F(SqliteEventLogTest, ADamagedPageIsDataLossThatNamesThePartition) {
  CreateAndFill(400);
  log_.reset();
  std::string bytes = Load(Path("log.db"));
  const size_t page = bytes.find(Body(1, 40)) / 8192 * 8192;
  bytes.replace(page, 64, std::string(64, '\x55'));
  Save(Path("log.db"), bytes);
  ASSERT_EQ(Open(), absl::OkStatus());
  FoldState at = Start(1);
  const absl::Status status = ReadOn(*log_, 1, at);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence "));
  EXPECT_LE(at.next, 40u);
}

TEST_F(SqliteEventLogTest, ALogThatLostItsEndIsDataLossAtOpening) {
  CreateAndFill(200);
  log_.reset();
  CutEnd();
  const absl::Status status = Open();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence 201: missing"));
}

TEST_F(SqliteEventLogTest, AHeadFileOfAnotherChainIsDataLossAtOpening) {
  CreateAndFill(200);
  const std::string heads = Load(Path("heads"));
  SqliteLogOptions other = options_;
  other.folder = Path("other");
  ASSERT_EQ(SqliteEventLog::Create(identity_, other, files_), absl::OkStatus());
  const SqliteLogOptions first = std::exchange(options_, other);
  // The same log id and length, but another history.
  ASSERT_EQ(Open(), absl::OkStatus());
  absl::StatusOr<FoldState> state = Begin(1, "owner-2:7000");
  ASSERT_EQ(state.status(), absl::OkStatus());
  Fill(1, *state, 200);
  log_.reset();
  ASSERT_EQ(SqliteEventLog::Open(first, files_, scheduler_).status(), absl::OkStatus());
  std::filesystem::copy(absl::StrCat(first.folder, "/heads"), Path("heads"),
                        std::filesystem::copy_options::overwrite_existing);
  const absl::Status status = Open();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence 201"));
  options_ = first;
}

TEST_F(SqliteEventLogTest, ADamagedHeadFileIsDataLoss) {
  CreateAndFill(2);
  log_.reset();
  std::string heads = Load(Path("heads"));
  heads[40] ^= 1;
  Save(Path("heads"), heads);
  EXPECT_TRUE(absl::IsDataLoss(Open()));
}

TEST_F(SqliteEventLogTest, AMissingHeadFileIsDataLoss) {
  CreateAndFill(2);
  log_.reset();
  std::filesystem::remove(Path("heads"));
  const absl::Status status = Open();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("heads is missing"));
}

TEST_F(SqliteEventLogTest, AShortenedLogOpensOnceItIsAcceptedAndGoesOn) {
  const FoldState whole = CreateAndFill(200);
  log_.reset();
  const std::string heads = Load(Path("heads"));
  CutEnd();
  EXPECT_TRUE(absl::IsDataLoss(Open()));
  options_.accept_shortened = true;
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_LT(log_->Head(1)->next, whole.next);
  EXPECT_TRUE(absl::IsDataLoss(CheckOnChain(*log_, 1, whole)));
  options_.accept_shortened = false;
  ASSERT_EQ(Open(), absl::OkStatus());
  FoldState state = *Begin(1, "owner-2:7000");
  Fill(1, state, 300);
  EXPECT_EQ(CheckOnChain(*log_, 1, state), absl::OkStatus());
  // It is another chain now, whatever its length.
  EXPECT_TRUE(absl::IsDataLoss(CheckOnChain(*log_, 1, whole)));
  log_.reset();
  Save(Path("heads"), heads);
  EXPECT_TRUE(absl::IsDataLoss(Open()));
}

TEST_F(SqliteEventLogTest, TheHeadFileIsWrittenAPeriodAfterAChange) {
  CreateAndFill(2);
  const std::string before = Load(Path("heads"));
  scheduler_.RunFor(options_.head_file_period);
  EXPECT_NE(Load(Path("heads")), before);
}

TEST_F(SqliteEventLogTest, OneBatchTakesTheWaitingCallsOfAllPartitions) {
  CreateAndOpen();
  std::vector<LogProgress> flushes;
  log_->OnProgress([&](const LogProgress& stats) { flushes.push_back(stats); });
  int answers = 0;
  for (Partition partition = 0; partition < kPartitions; ++partition) {
    FoldState state = Start(partition);
    log_->BeginEpoch(partition, "owner-1:7000", [&](absl::StatusOr<FoldState> begun) {
      EXPECT_EQ(begun.status(), absl::OkStatus());
      ++answers;
    });
  }
  scheduler_.RunUntilIdle();
  EXPECT_EQ(answers, 4);
  ASSERT_EQ(flushes.size(), 1u);
  EXPECT_EQ(flushes[0].calls, 4u);
  EXPECT_EQ(flushes[0].entries, 4u);
}

TEST_F(SqliteEventLogTest, MoreCallsThanMayWaitAreRefused) {
  CreateAndOpen();
  FoldState state = *Begin(1);
  size_t taken = 0;
  absl::Status last;
  for (size_t i = 0; i <= kWaitingCallsMax; ++i) {
    log_->Append(1, state.epoch, {}, [&](absl::Status status) {
      taken += status.ok() ? 1 : 0;
      last = std::move(status);
    });
  }
  scheduler_.RunUntilIdle();
  EXPECT_EQ(taken, kWaitingCallsMax);
  EXPECT_TRUE(absl::IsResourceExhausted(last));
  Fill(1, state, 1);
}

TEST_F(SqliteEventLogTest, AReaderFarBehindReadsFromTheDiskAndThenFromMemory) {
  CreateAndOpen();
  FoldState state = *Begin(2);
  // More than is kept in memory.
  for (int i = 0; i < 40; ++i) Fill(2, state, 1000);
  FoldState at = Start(2);
  int records = 0;
  EXPECT_EQ(ReadOn(*log_, 2, at, &records), absl::OkStatus());
  EXPECT_EQ(records, 40000);
  EXPECT_EQ(at, state);
}

TEST_F(SqliteEventLogTest, EntriesAreReadByTheirPlacesFromTheDiskAndFromMemory) {
  CreateAndOpen();
  FoldState state = *Begin(2);
  // More than is kept in memory, the last of it not moved to log.db yet.
  for (int i = 0; i < 40; ++i) Fill(2, state, 1000);
  std::vector<Sequence> places;
  for (Sequence place = 2; place < state.next; place += 1000) places.push_back(place);
  places.push_back(state.next - 1);
  std::vector<Sequence> seen;
  const auto keep = [&](const EntryView& entry) {
    EXPECT_EQ(std::string(entry.body), Body(2, entry.header.sequence));
    seen.push_back(entry.header.sequence);
    return absl::OkStatus();
  };
  ASSERT_EQ(log_->ReadEntries(2, places, {}, keep), absl::OkStatus());
  EXPECT_EQ(seen, places);
  seen.clear();
  ASSERT_EQ(log_->ReadEntries(2, places, {.entries_max = 3}, keep), absl::OkStatus());
  EXPECT_EQ(seen, std::vector<Sequence>(places.begin(), places.begin() + 3));
  seen.clear();
  ASSERT_EQ(Open(), absl::OkStatus());
  ASSERT_EQ(log_->ReadEntries(2, places, {}, keep), absl::OkStatus());
  EXPECT_EQ(seen, places);
}

TEST_F(SqliteEventLogTest, AnEntryReadByItsPlaceThatIsDamagedOrMissingIsDataLoss) {
  CreateAndFill(200);
  log_.reset();
  Damage(1, 20);
  Execute("DELETE FROM entry_1 WHERE sequence = 30");
  Execute(
      "UPDATE entry_1 SET bytes = (SELECT bytes FROM entry_1 WHERE sequence = 41) "
      "WHERE sequence = 40");
  ASSERT_EQ(Open(), absl::OkStatus());
  const auto ignore = [](const EntryView&) { return absl::OkStatus(); };
  for (const Sequence place : {20, 30, 40}) {
    const absl::Status status = log_->ReadEntries(1, {place - 1, place}, {}, ignore);
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat("partition 1, sequence ", place, ":")));
  }
  EXPECT_EQ(log_->ReadEntries(1, {19, 21, 31, 41}, {}, ignore), absl::OkStatus());
}

TEST_F(SqliteEventLogTest, MoreReadersThanConnectionsAreKeptReadAtOnce) {
  constexpr size_t kReaders = 3 * kIdleReadersMax;
  constexpr int kTimes = 100;
  CreateAndFill(200);
  ASSERT_EQ(Open(), absl::OkStatus());
  std::vector<absl::Status> outcomes(kReaders);
  std::vector<int> records(kReaders);
  {
    const std::unique_ptr<Scheduler> threads = NewThreadPoolScheduler();
    std::vector<std::unique_ptr<TaskQueue>> queues;
    absl::BlockingCounter left(kReaders);
    for (size_t reader = 0; reader < kReaders; ++reader) {
      queues.push_back(threads->NewQueue("reader", QueueKind::kBlocking));
      queues.back()->Post([&, reader] {
        for (int i = 0; i < kTimes; ++i) {
          FoldState at = Start(1);
          outcomes[reader].Update(ReadOn(*log_, 1, at, &records[reader]));
        }
        left.DecrementCount();
      });
    }
    left.Wait();
  }
  EXPECT_THAT(outcomes, Each(absl::OkStatus()));
  EXPECT_THAT(records, Each(200 * kTimes));
}

TEST_F(SqliteEventLogTest, AReaderBesideTheWriterSeesEntriesAndIsWoken) {
  CreateAndOpen();
  FoldState state = *Begin(3);
  auto reader = SqliteEventLog::OpenReader(options_, files_, scheduler_);
  ASSERT_EQ(reader.status(), absl::OkStatus());
  std::vector<Partition> grown;
  auto subscription = (*reader)->Watch([&](Partition partition) { grown.push_back(partition); });
  scheduler_.RunFor(absl::Milliseconds(100));
  EXPECT_THAT(grown, ::testing::IsEmpty());
  Fill(3, state, 5);
  scheduler_.RunFor(absl::Milliseconds(100));
  EXPECT_THAT(grown, ::testing::ElementsAre(3));
  FoldState at = Start(3);
  EXPECT_EQ(ReadOn(**reader, 3, at), absl::OkStatus());
  EXPECT_EQ(at, state);
  EXPECT_EQ(*(*reader)->Head(3), state);
  subscription.reset();
  Fill(3, state, 5);
  scheduler_.RunFor(absl::Milliseconds(100));
  EXPECT_EQ(grown.size(), 1u);
}

TEST_F(SqliteEventLogTest, DamageInOnePartitionKeepsNoWatcherFromHearingOfAnother) {
  CreateAndOpen();
  FoldState healthy = *Begin(1);
  FoldState damaged = *Begin(3);
  Fill(1, healthy, 200);
  Fill(3, damaged, 200);
  ASSERT_EQ(Open(), absl::OkStatus());  // everything is in log.db now
  auto reader = SqliteEventLog::OpenReader(options_, files_, scheduler_);
  ASSERT_EQ(reader.status(), absl::OkStatus());
  std::vector<Partition> grown;
  auto subscription = (*reader)->Watch([&](Partition partition) { grown.push_back(partition); });
  scheduler_.RunFor(absl::Milliseconds(100));
  {
    // The kind of the page that holds the end of partition 3.
    constexpr size_t kPageBytes = 8192;
    std::string bytes = Load(Path("log.db"));
    const size_t at = bytes.rfind(Body(3, damaged.next - 1));
    ASSERT_NE(at, std::string::npos);
    std::fstream file(Path("log.db"), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at / kPageBytes * kPageBytes)).put('\x7f');
  }
  Fill(1, healthy, 1);
  scheduler_.RunFor(absl::Seconds(1));  // a commit to log.db, so that readers look at it anew
  EXPECT_THAT(grown, ::testing::Contains(1u));
  FoldState at = Start(3);
  EXPECT_TRUE(absl::IsDataLoss(ReadOn(**reader, 3, at)));

  // The connection that met the damage is gone, so this needs a new one.
  std::filesystem::rename(Path("log.db"), Path("log.db.away"));
  at = Start(1);
  EXPECT_TRUE(absl::IsUnavailable(ReadOn(**reader, 1, at))) << "out of reach, not missing";
  std::filesystem::rename(Path("log.db.away"), Path("log.db"));
  EXPECT_EQ(ReadOn(**reader, 1, at), absl::OkStatus());
}

}  // namespace
}  // namespace buurtlog::eventlog::testing
