// Rebuilds, changes of schema, digests and comparisons of read models.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/follower_file.h"
#include "libs/eventsourcing/projection_runner.h"
#include "libs/eventsourcing/projection_runner_impl.h"
#include "libs/eventsourcing/testing/distant_log.h"
#include "libs/eventsourcing/testing/tally.h"

namespace buurtlog::eventsourcing {
namespace {

using testing::DistantLog;
using testing::FlagEvent;
using testing::NumberEvent;
using testing::Tally;
using testing::TextEvent;

class ProjectionRebuildTest : public testing::ProjectionRunnerTest {
 protected:
  // So many that the first fold goes into a new file; a few of them are flags.
  void AddMany() {
    for (int i = 0; i < static_cast<int>(kFirstFoldMin); ++i) {
      visits_.Add(static_cast<uint32_t>(i % 4), absl::StrCat("s", i % 8),
                  {i % 1000 == 7 ? FlagEvent(true) : NumberEvent(i)});
    }
  }
  std::string UnfinishedFile() const { return FilePath() + ".rebuild-unfinished"; }
  // Until the new file is there, and some of it is folded.
  void FollowIntoTheMiddle() {
    Open();
    runner_->Start();
    for (int i = 0; i < 1000 && !std::filesystem::exists(UnfinishedFile()); ++i)
      scheduler_.RunOne();
    scheduler_.RunOne();
    ASSERT_TRUE(std::filesystem::exists(UnfinishedFile()));
    ASSERT_FALSE(runner_->caught_up());
  }
  bool HasIndex() {
    bool found = false;
    const absl::Status status = runner_->Read([&](sqlite::Connection& rows) -> absl::Status {
      ABSL_ASSIGN_OR_RETURN(
          sqlite::Statement select,
          rows.Prepare("SELECT 1 FROM sqlite_master WHERE name = 'tally_by_events'"));
      ABSL_ASSIGN_OR_RETURN(found, select.Step());
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    return found;
  }
};

TEST_F(ProjectionRebuildTest, AFirstFoldOfManyEntriesIsMadeBesideTheLiveFile) {
  AddMany();
  FollowIntoTheMiddle();
  EXPECT_EQ(Events("s0"), 0) << "what is not whole is shown to nobody";
  EXPECT_GT(runner_->lag(), 0u);
  EXPECT_TRUE(runner_->Checkpoints()->begin()->second.next == 1);
  const Position newer = visits_.Add(0, "s0", {NumberEvent(1)});
  EXPECT_TRUE(Reached({newer}, absl::Minutes(1)).ok());
  EXPECT_TRUE(runner_->caught_up());
  EXPECT_EQ(runner_->lag(), 0u);
  EXPECT_EQ(Events("s0"), 1251);
  EXPECT_TRUE(HasIndex());
  EXPECT_FALSE(std::filesystem::exists(UnfinishedFile()));
  EXPECT_FALSE(std::filesystem::exists(FilePath() + ".rebuild"));
  EXPECT_TRUE(Verify()->equal());
  const Digests folded = DigestsOf(*runner_);
  OpenAndFollow();
  EXPECT_EQ(runner_->discarded(), "");
  EXPECT_EQ(DigestsOf(*runner_), folded);
}

TEST_F(ProjectionRebuildTest, AFirstFoldParksWhatFollowingParks) {
  behaviour_.broken = true;
  visits_.Add(0, "bad", {FlagEvent(true)});
  OpenAndFollow();
  EXPECT_TRUE(HasIndex());
  AddMany();
  scheduler_.RunUntilIdle();
  const Digests followed = DigestsOf(*runner_);
  const size_t parked = runner_->Parked()->size();
  EXPECT_GT(parked, 1u);
  runner_.reset();
  std::filesystem::remove(FilePath());
  FollowIntoTheMiddle();
  scheduler_.RunUntilIdle();
  EXPECT_EQ(DigestsOf(*runner_), followed);
  EXPECT_EQ(runner_->Parked()->size(), parked);
  behaviour_.broken = false;
  EXPECT_EQ(Retry(), parked);
  EXPECT_TRUE(Verify()->equal());
}

TEST_F(ProjectionRebuildTest, AFirstFoldThatWasInterruptedBeginsAnew) {
  AddMany();
  FollowIntoTheMiddle();
  // As a killed process leaves it.
  std::filesystem::copy(UnfinishedFile(), folder_ + "/copy");
  runner_.reset();
  std::filesystem::rename(folder_ + "/copy", UnfinishedFile());
  OpenAndFollow();
  EXPECT_EQ(Events("s0"), 1250);
  EXPECT_TRUE(Verify()->equal());
  EXPECT_FALSE(std::filesystem::exists(UnfinishedFile()));
}

TEST_F(ProjectionRebuildTest, AFirstFoldWaitsForNoLogThatIsOutOfReach) {
  AddMany();
  clients_.Add(1, "far", {NumberEvent(1)});
  DistantLog distant(clients_.log());
  auto runner = ProjectionRunner::Open(folder_, std::make_unique<Tally>(behaviour_),
                                       {visits_.source(), {&distant, clients_.source().codec}},
                                       {scheduler_, clock_, metrics_});
  ASSERT_TRUE(runner.ok()) << runner.status();
  runner_ = *std::move(runner);
  runner_->Start();
  for (int i = 0; i < 1000 && !std::filesystem::exists(UnfinishedFile()); ++i) scheduler_.RunOne();
  ASSERT_TRUE(std::filesystem::exists(UnfinishedFile()));
  distant.SetOutOfReach({0, 1, 2, 3});
  scheduler_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Events("s0"), 1250);
  EXPECT_EQ(Events("far"), 0);
  EXPECT_TRUE(absl::IsUnavailable(runner_->health())) << runner_->health();
  distant.SetOutOfReach({});
  scheduler_.RunFor(absl::Seconds(10));
  EXPECT_EQ(Events("far"), 1);
  EXPECT_EQ(runner_->health(), absl::OkStatus());
  runner_.reset();
}

TEST_F(ProjectionRebuildTest, ALogThatCannotBeReadStopsAFirstFoldWhereItStopsFollowing) {
  AddMany();
  visits_.Add(3, "n", {NumberEvent(1)}, "novelty");
  FollowIntoTheMiddle();
  scheduler_.RunUntilIdle();
  EXPECT_TRUE(absl::IsUnimplemented(runner_->health())) << runner_->health();
  EXPECT_EQ(Events("s0"), 1250) << "what is before it is shown";
  EXPECT_FALSE(std::filesystem::exists(UnfinishedFile()));
}

TEST_F(ProjectionRebuildTest, AFullDiskEndsARebuildAndTheLiveFileGoesOn) {
  for (int i = 0; i < 20; ++i)
    visits_.Add(0, absl::StrCat("s", i), {TextEvent(std::string(4000, 'x'))});
  OpenAndFollow();
  behaviour_.pages_max = 5;
  absl::Status told;
  runner_->Rebuild([&](absl::StatusOr<RebuildProgress> progress) { told = progress.status(); });
  scheduler_.RunUntilIdle();
  EXPECT_TRUE(absl::IsResourceExhausted(told)) << told;
  EXPECT_FALSE(std::filesystem::exists(UnfinishedFile()));
  behaviour_.pages_max = 0;
  visits_.Add(0, "s0", {NumberEvent(1)});
  scheduler_.RunUntilIdle();
  EXPECT_EQ(Events("s0"), 2);
  EXPECT_TRUE(Rebuild().back().done);
  EXPECT_TRUE(Verify()->equal());
}

TEST_F(ProjectionRebuildTest, ARebuildBesideTheLiveFileShowsProgressAndEndsWithTheSameRows) {
  for (int i = 0; i < 50; ++i)
    visits_.Add(static_cast<uint32_t>(i % 4), absl::StrCat("s", i % 4), {NumberEvent(i)});
  OpenAndFollow();
  const Digests before = DigestsOf(*runner_);
  const std::vector<RebuildProgress> told = Rebuild();
  ASSERT_GE(told.size(), 2u);
  EXPECT_EQ(told.front().events, 0u);
  EXPECT_EQ(told.front().events_total, 54u) << "50 records and 4 epochs";
  EXPECT_TRUE(told.back().done);
  EXPECT_EQ(told.back().events, 54u);
  EXPECT_EQ(DigestsOf(*runner_), before);
  visits_.Add(0, "s0", {NumberEvent(1)});
  scheduler_.RunUntilIdle();
  EXPECT_EQ(Events("s0"), 14);
  EXPECT_TRUE(Verify()->equal());
  EXPECT_FALSE(std::filesystem::exists(FilePath() + ".rebuild"));
}

TEST_F(ProjectionRebuildTest, ARebuildMendsRowsThatSomebodyChanged) {
  visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  const Digests right = DigestsOf(*runner_);
  Change("UPDATE tally SET events = 7");
  EXPECT_NE(DigestsOf(*runner_), right);
  Rebuild();
  EXPECT_EQ(DigestsOf(*runner_), right);
}

TEST_F(ProjectionRebuildTest, ReadersGoOnThroughTheSwitchOfARebuild) {
  visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  bool done = false;
  const absl::Status status = runner_->Read([&](sqlite::Connection& rows) {
    EXPECT_EQ(CountIn(rows, "a"), 1);
    EXPECT_TRUE(Rebuild().back().done);
    visits_.Add(0, "a", {NumberEvent(2)});
    scheduler_.RunUntilIdle();
    EXPECT_EQ(Events("a"), 2) << "a reader that begins now sees the new file";
    EXPECT_EQ(CountIn(rows, "a"), 1) << "one that began before sees what it saw";
    done = true;
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(done);
  EXPECT_EQ(Events("a"), 2);
  OpenAndFollow();
  EXPECT_EQ(Events("a"), 2);
}

TEST_F(ProjectionRebuildTest, WritesDuringARebuildAreInTheRebuiltFile) {
  for (int i = 0; i < 20; ++i) visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  bool done = false;
  runner_->Rebuild(
      [&](absl::StatusOr<RebuildProgress> progress) { done = progress.ok() && progress->done; });
  absl::Status second;
  runner_->Rebuild([&](absl::StatusOr<RebuildProgress> progress) { second = progress.status(); });
  for (int i = 0; i < 20; ++i) {
    visits_.Add(1, "b", {NumberEvent(1)});
    scheduler_.RunOne();
  }
  scheduler_.RunUntilIdle();
  EXPECT_TRUE(done);
  EXPECT_TRUE(absl::IsUnavailable(second)) << second;
  EXPECT_EQ(Events("a"), 20);
  EXPECT_EQ(Events("b"), 20);
}

TEST_F(ProjectionRebuildTest, ASwitchThatWasCutShortIsFinishedAtTheNextStart) {
  visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  runner_.reset();
  std::filesystem::rename(FilePath(), FilePath() + ".rebuild");
  Open();
  EXPECT_EQ(Events("a"), 1) << "taken over, not folded again";
  EXPECT_FALSE(std::filesystem::exists(FilePath() + ".rebuild"));
}

TEST_F(ProjectionRebuildTest, ASwitchThatWasCutShortAndLeftADamagedFileIsFoldedAnew) {
  visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  runner_.reset();
  std::filesystem::remove(FilePath());
  std::ofstream(FilePath() + ".rebuild", std::ios::binary) << std::string(3000, 'x');
  OpenAndFollow();
  EXPECT_EQ(Events("a"), 1);
  EXPECT_FALSE(std::filesystem::exists(FilePath() + ".rebuild"));
}

TEST_F(ProjectionRebuildTest, VerifyFindsARowThatWasChangedByHand) {
  visits_.Add(0, "a", {NumberEvent(1), TextEvent("first")});
  visits_.Add(1, "b", {NumberEvent(1)});
  OpenAndFollow();
  visits_.Add(1, "b",
              {NumberEvent(2)});  // not folded yet: the comparison stops where the live file is
  auto verified = Verify();
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_TRUE(verified->equal());
  EXPECT_EQ(verified->live.rows, 2u);
  EXPECT_EQ(verified->records, 4u) << "two records and two epochs";
  Change("UPDATE tally SET note = 'other' WHERE note IS NOT NULL");
  verified = Verify();
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_FALSE(verified->equal());
  EXPECT_EQ(verified->live.structure, verified->replayed.structure)
      << "only a personal column differs";
  Change("UPDATE tally SET events = events + 1");
  verified = Verify();
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_NE(verified->live.structure, verified->replayed.structure);
}

TEST_F(ProjectionRebuildTest, VerifyOfAFileThatWasEmptiedIsDataLoss) {
  visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  runner_.reset();
  std::filesystem::resize_file(FilePath(), 0);
  EXPECT_TRUE(absl::IsDataLoss(Verify().status()));
}

TEST_F(ProjectionRebuildTest, VerifyOfAFileThatHasLostItsTablesIsDataLoss) {
  visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  runner_.reset();
  {
    auto file = sqlite::Connection::Open(FilePath(), FollowerOptions());
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE(file->Execute("DROP TABLE tally").ok());
  }
  EXPECT_TRUE(absl::IsDataLoss(Verify().status())) << Verify().status();
}

TEST_F(ProjectionRebuildTest, VerifyWithoutAFileIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(Verify().status()));
}

TEST_F(ProjectionRebuildTest, AnotherSchemaVersionIsFoldedAnewAndTheOldFileGoesWhenItHasCaughtUp) {
  visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  Open(std::make_unique<Tally>(behaviour_, std::vector<std::string>{"visits", "clients"}, 2));
  EXPECT_TRUE(std::filesystem::exists(FilePath(1)));
  EXPECT_EQ(Events("a"), 0);
  runner_->Start();
  scheduler_.RunUntilIdle();
  EXPECT_EQ(Events("a"), 1);
  EXPECT_FALSE(std::filesystem::exists(FilePath(1)));
  EXPECT_TRUE(std::filesystem::exists(FilePath(2)));
}

TEST_F(ProjectionRebuildTest, AFileMadeFromOtherTablesOfTheSameVersionIsFoldedAnew) {
  visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  Open(std::make_unique<Tally>(behaviour_, std::vector<std::string>{"visits", "clients"}, 1,
                               "CREATE INDEX by_sum ON tally(sum);"));
  EXPECT_EQ(Events("a"), 0);
  runner_->Start();
  scheduler_.RunUntilIdle();
  EXPECT_EQ(Events("a"), 1);
}

TEST_F(ProjectionRebuildTest, AFileThatIsNoDatabaseAnyMoreIsThrownAwayAndFoldedAnew) {
  visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  EXPECT_EQ(runner_->discarded(), "");
  runner_.reset();
  std::filesystem::remove(FilePath() + "-wal");
  std::filesystem::remove(FilePath() + "-shm");
  std::ofstream(FilePath(), std::ios::binary | std::ios::trunc) << std::string(3000, 'x');
  OpenAndFollow();
  EXPECT_EQ(runner_->discarded(), "the file is damaged");
  EXPECT_EQ(Events("a"), 1);
  EXPECT_TRUE(runner_->health().ok()) << runner_->health();
}

TEST_F(ProjectionRebuildTest, ADamagedPageIsShownToNobodyAndTheFileIsFoldedAnew) {
  for (int i = 0; i < 20; ++i) visits_.Add(0, absl::StrCat("s", i), {NumberEvent(1)});
  OpenAndFollow();
  const Digests right = DigestsOf(*runner_);
  runner_.reset();
  const auto pages = std::filesystem::file_size(FilePath()) / 4096;
  ASSERT_GE(pages, 4u);
  for (size_t page = 0; page < pages; ++page) {
    {
      std::fstream file(FilePath(), std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(page * 4096 + 4000));
      file.put('\x5a');
    }
    OpenAndFollow();
    const bool at_open = !runner_->discarded().empty();
    absl::StatusOr<Digests> shown = absl::InternalError("not read");
    const absl::Status read = runner_->Read([&](sqlite::Connection& rows) {
      shown = DigestOf(rows, runner_->spec());
      return shown.status();
    });
    EXPECT_TRUE(read.ok() || absl::IsDataLoss(read)) << "page " << page << ": " << read;
    if (read.ok()) {
      EXPECT_EQ(*shown, right) << "page " << page;
    }
    EXPECT_TRUE(at_open || !read.ok() || page > 0) << "page " << page;
    scheduler_.RunUntilIdle();
    EXPECT_EQ(DigestsOf(*runner_), right) << "page " << page;
    EXPECT_TRUE(runner_->health().ok()) << "page " << page << ": " << runner_->health();
    runner_.reset();
  }
}

TEST_F(ProjectionRebuildTest, ADamagedFileThatFindsTheDiskFullIsFoldedAnewWhenThereIsRoom) {
  for (int i = 0; i < 20; ++i) {
    visits_.Add(0, absl::StrCat("s", i), {TextEvent(std::string(3000, 'x'))});
  }
  OpenAndFollow();
  const Digests right = DigestsOf(*runner_);
  runner_.reset();
  {
    std::fstream file(FilePath(), std::ios::in | std::ios::out | std::ios::binary);
    const auto pages = std::filesystem::file_size(FilePath()) / 4096;
    file.seekp(static_cast<std::streamoff>((pages - 1) * 4096 + 2000));
    file.put('\x5a');
  }
  OpenAndFollow();
  ASSERT_EQ(runner_->discarded(), "");
  behaviour_.pages_max = 1;
  const absl::Status read = runner_->Read(
      [&](sqlite::Connection& rows) { return DigestOf(rows, runner_->spec()).status(); });
  EXPECT_TRUE(absl::IsDataLoss(read)) << read;
  scheduler_.RunUntilIdle();
  EXPECT_TRUE(absl::IsDataLoss(runner_->health())) << runner_->health();
  behaviour_.pages_max = 0;
  scheduler_.RunFor(absl::Minutes(1));
  EXPECT_TRUE(runner_->health().ok()) << runner_->health();
  EXPECT_EQ(DigestsOf(*runner_), right);
}

TEST_F(ProjectionRebuildTest, AFileWithADamagedWalIsThrownAwayAndFoldedAnew) {
  visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  visits_.Add(0, "a", {NumberEvent(2)});
  scheduler_.RunUntilIdle();
  // As a killed process leaves it.
  std::filesystem::copy(FilePath(), FilePath() + ".copy");
  std::filesystem::copy(FilePath() + "-wal", FilePath() + ".copy-wal");
  runner_.reset();
  std::filesystem::rename(FilePath() + ".copy", FilePath());
  std::filesystem::rename(FilePath() + ".copy-wal", FilePath() + "-wal");
  {
    std::fstream file(FilePath() + "-wal", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(32 + 24 + 100);
    file.put('\x5a');
  }
  OpenAndFollow();
  EXPECT_EQ(runner_->discarded(), "the file is damaged");
  EXPECT_EQ(Events("a"), 2);
}

TEST(DigestTest, TheCanonicalFormDependsOnValuesAndTypesOnly) {
  ReadModelSpec spec;
  spec.tables = {{"t", {"k", "v"}, {}, "k"}};
  const auto digest = [&](const std::string& rows) {
    auto file = sqlite::Connection::Open(":memory:");
    EXPECT_TRUE(file->Execute("CREATE TABLE t(k INTEGER, v); " + rows).ok());
    return DigestOf(*file, spec)->structure;
  };
  // Fixed for ever: digests are compared between releases and machines.
  EXPECT_EQ(digest("INSERT INTO t VALUES(1, 'a'), (2, x'00ff'), (3, NULL), (4, -5), (5, 1.5)"),
            digest("INSERT INTO t VALUES(5, 1.5), (4, -5), (3, NULL), (2, x'00ff'), (1, 'a')"));
  EXPECT_EQ(digest(""), "d85d9187fd79173e9e23c14e517689f1a7cf822f5de54e145704aa606cc7ce49");
  EXPECT_EQ(digest("INSERT INTO t VALUES(1, 'a'), (2, x'00ff'), (3, NULL), (4, -5), (5, 1.5)"),
            "e88c2f2ae89d987058eeff82a0db28e072bf284072948b68368b4d6392e5bb30");
  EXPECT_NE(digest("INSERT INTO t VALUES(1, 'a')"), digest("INSERT INTO t VALUES(1, x'61')"));
  EXPECT_NE(digest("INSERT INTO t VALUES(1, NULL)"), digest("INSERT INTO t VALUES(1, '')"));
  EXPECT_NE(digest("INSERT INTO t VALUES(1, 1)"), digest("INSERT INTO t VALUES(1, 1.0)"));
}

}  // namespace
}  // namespace buurtlog::eventsourcing
