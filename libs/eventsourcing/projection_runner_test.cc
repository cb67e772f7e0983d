#include "libs/eventsourcing/projection_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/refusal.h"
#include "libs/eventsourcing/testing/distant_log.h"
#include "libs/eventsourcing/testing/tally.h"

namespace buurtlog::eventsourcing {
namespace {

using ::testing::AllOf;
using testing::DistantLog;
using testing::FlagEvent;
using ::testing::HasSubstr;
using testing::LogWriter;
using testing::NumberEvent;
using testing::ProjectionRunnerTest;
using testing::Tally;
using testing::TestUuid;
using testing::TextEvent;
using testing::Value;

TEST_F(ProjectionRunnerTest, EventsOfAllServicesAndPartitionsBecomeRows) {
  visits_.Add(0, "a", {NumberEvent(1), NumberEvent(2)});
  visits_.Add(3, "b", {NumberEvent(3)});
  clients_.Add(1, "c", {TextEvent("x")});
  OpenAndFollow();
  EXPECT_TRUE(runner_->health().ok()) << runner_->health();
  EXPECT_TRUE(runner_->caught_up());
  EXPECT_EQ(runner_->lag(), 0u);
  EXPECT_EQ(Events("a"), 2);
  EXPECT_EQ(Events("b"), 1);
  EXPECT_EQ(Events("c"), 1);
  visits_.Add(0, "a", {NumberEvent(4)});
  scheduler_.RunUntilIdle();
  EXPECT_EQ(Events("a"), 3);
}

TEST_F(ProjectionRunnerTest, EndingAtAnyMomentAppliesNothingTwiceAndLosesNothing) {
  const uint64_t seed = 20261122;
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  std::map<std::string, int64_t> expected;
  Open();
  runner_->Start();
  for (int i = 0; i < 120; ++i) {
    const std::string stream(1, static_cast<char>('a' + random() % 8));
    visits_.Add(static_cast<uint32_t>(stream[0] % 4), stream, {NumberEvent(1), NumberEvent(2)});
    expected[stream] += 2;
    for (uint64_t steps = random() % 4; steps > 0; --steps) scheduler_.RunOne();
    if (random() % 3 == 0) {
      Open();
      runner_->Start();
    }
  }
  scheduler_.RunUntilIdle();
  for (const auto& [stream, events] : expected) EXPECT_EQ(Events(stream), events) << stream;
  const auto verified = Verify();
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_TRUE(verified->equal());
}

TEST_F(ProjectionRunnerTest,
       FilesAsAKilledProcessLeavesThemHoldRowsAndCheckpointThatBelongTogether) {
  OpenAndFollow();
  for (int i = 0; i < 30; ++i) {
    visits_.Add(static_cast<uint32_t>(i % 4), absl::StrCat("s", i % 4), {NumberEvent(1)});
    if (i % 3 == 0) scheduler_.RunUntilIdle();
    if (i == 20) {
      // Main file and write-ahead log, with the connection still open.
      for (const char* part : {"", "-wal"}) {
        std::filesystem::create_directories(folder_ + "/killed");
        std::filesystem::copy_file(FilePath() + part,
                                   absl::StrCat(folder_, "/killed/tally-1.db", part));
      }
    }
  }
  scheduler_.RunUntilIdle();
  const Digests expected = DigestsOf(*runner_);
  auto killed = ProjectionRunner::Open(folder_ + "/killed", std::make_unique<Tally>(behaviour_),
                                       Sources(), {scheduler_, clock_, metrics_});
  ASSERT_TRUE(killed.ok()) << killed.status();
  (*killed)->Start();
  scheduler_.RunUntilIdle();
  EXPECT_EQ(DigestsOf(**killed), expected);
}

TEST_F(ProjectionRunnerTest, AnyInterleavingOfPartitionsAndServicesGivesTheSameRows) {
  std::optional<Digests> expected;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    std::mt19937_64 random(seed);
    SimulatedScheduler scheduler(seed);
    LogWriter visits("visits", 4, scheduler);
    LogWriter clients("clients", 2, scheduler);
    std::vector<std::string> services = {"visits", "clients"};
    if (seed % 2 == 0) std::swap(services[0], services[1]);
    auto runner = ProjectionRunner::Open(
        absl::StrCat(folder_, "/", seed), std::make_unique<Tally>(behaviour_, services),
        {visits.source(), clients.source()}, {scheduler, clock_, metrics_});
    ASSERT_TRUE(runner.ok()) << runner.status();
    (*runner)->Start();
    // Six partitions with 20 records each, begun in any order; within a partition the order is
    // fixed.
    std::vector<int> written(6, 0);
    for (int left = 120; left > 0;) {
      const auto lane = static_cast<uint32_t>(random() % 6);
      if (written[lane] == 20) continue;
      const std::string stream = absl::StrCat("s", lane, "-", written[lane] % 3);
      const Value event = NumberEvent(++written[lane]);
      lane < 4 ? visits.Add(lane, stream, {event}) : clients.Add(lane - 4, stream, {event});
      --left;
      for (uint64_t steps = random() % 3; steps > 0; --steps) scheduler.RunOne();
    }
    scheduler.RunUntilIdle();
    const Digests digests = DigestsOf(**runner);
    EXPECT_EQ(digests.rows, 18u);
    if (!expected.has_value()) expected = digests;
    EXPECT_EQ(digests, *expected);
  }
}

TEST_F(ProjectionRunnerTest, ACallerReadsItsOwnWrites) {
  OpenAndFollow();
  const Position written = visits_.Add(2, "a", {NumberEvent(1)});
  absl::StatusOr<int64_t> answer = absl::UnknownError("not answered");
  runner_->Query<int64_t>(
      {written}, clock_.Now() + absl::Seconds(1),
      [](sqlite::Connection& rows) -> absl::StatusOr<int64_t> { return CountIn(rows, "a"); },
      [&](absl::StatusOr<int64_t> response) { answer = std::move(response); });
  scheduler_.RunUntilIdle();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, 1);
}

TEST_F(ProjectionRunnerTest, WaitingForAPositionEndsAtTheDeadline) {
  const Position there = visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  EXPECT_TRUE(Reached({there}, absl::ZeroDuration()).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      Reached({{"visits", 0, there.sequence + 1}}, absl::Milliseconds(50))));
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(Reached({{"visits", 0, there.sequence + 1}}, absl::ZeroDuration())));
}

TEST_F(ProjectionRunnerTest, WaitingForAPartitionThatIsNotFollowedIsRefused) {
  OpenAndFollow();
  for (const Position& position : {Position{"visits", 9, 1}, Position{"billing", 0, 1}}) {
    const absl::Status status = Reached({position}, absl::Seconds(1));
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_EQ(StatusField(status), "min_position");
  }
}

TEST_F(ProjectionRunnerTest, WhoStillWaitsAtTheEndIsToldSo) {
  OpenAndFollow();
  absl::Status waited;
  runner_->WhenReached({{"visits", 0, 99}}, absl::InfiniteFuture(),
                       [&](absl::Status status) { waited = status; });
  absl::StatusOr<size_t> retried = 0;
  runner_->RetryParked([&](absl::StatusOr<size_t> result) { retried = result; });
  runner_.reset();
  EXPECT_TRUE(absl::IsUnavailable(waited)) << waited;
  EXPECT_TRUE(absl::IsUnavailable(retried.status())) << retried.status();
}

TEST_F(ProjectionRunnerTest, AStreamThatCannotBeAppliedWaitsAndTheOthersGoOn) {
  behaviour_.broken = true;
  visits_.Add(0, "good", {NumberEvent(1)});
  visits_.Add(0, "bad", {NumberEvent(1)});
  const Position failed = visits_.Add(0, "bad", {NumberEvent(2), FlagEvent(true)});
  visits_.Add(0, "good", {NumberEvent(2)});
  visits_.Add(0, "bad", {NumberEvent(3)});
  OpenAndFollow();
  visits_.Add(0, "bad", {NumberEvent(4)});
  visits_.Add(0, "good", {NumberEvent(3)});
  scheduler_.RunUntilIdle();
  EXPECT_TRUE(runner_->health().ok()) << runner_->health();
  EXPECT_TRUE(runner_->caught_up());
  EXPECT_EQ(Events("good"), 3);
  EXPECT_EQ(Events("bad"), 1) << "of the record that failed, nothing may stay";
  const auto parked = runner_->Parked();
  ASSERT_TRUE(parked.ok()) << parked.status();
  ASSERT_EQ(parked->size(), 1u);
  EXPECT_EQ(parked->front().stream, (StreamId{"visit", TestUuid("bad")}));
  EXPECT_EQ(parked->front().position, failed);
  EXPECT_EQ(parked->front().waiting, 3u);
  EXPECT_THAT(parked->front().reason, HasSubstr("no place for a flag"));
  EXPECT_EQ(ReadParked(folder_, runner_->spec())->size(), 1u);
  const auto verified = Verify();
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_TRUE(verified->equal()) << "a fresh fold parks the same";
}

TEST_F(ProjectionRunnerTest, AfterTheMendAParkedStreamGoesOnInOrder) {
  behaviour_.broken = true;
  for (int i = 1; i <= 3; ++i) {
    visits_.Add(0, "bad", {i == 1 ? FlagEvent(true) : NumberEvent(i)});
    visits_.Add(1, "other", {NumberEvent(i), FlagEvent(true)});
  }
  OpenAndFollow();
  EXPECT_EQ(Retry(), 0u);
  EXPECT_EQ(runner_->Parked()->size(), 2u);
  // Also when the mend is in a process that was started anew.
  OpenAndFollow();
  EXPECT_EQ(Events("bad"), 0);
  behaviour_.broken = false;
  EXPECT_EQ(Retry(), 2u);
  EXPECT_TRUE(runner_->Parked()->empty());
  visits_.Add(0, "bad", {NumberEvent(4)});
  scheduler_.RunUntilIdle();
  EXPECT_EQ(Events("bad"), 4);
  const auto verified = Verify();
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_TRUE(verified->equal()) << "the sum depends on the order within a stream";
}

TEST_F(ProjectionRunnerTest, AnEventOfANewerReleaseStopsTheReaderBehindWhatItKnows) {
  visits_.Add(0, "a", {NumberEvent(1)});
  const Position newer = visits_.Add(0, "n", {NumberEvent(1)}, "novelty");
  visits_.Add(0, "a", {NumberEvent(2)});
  OpenAndFollow();
  EXPECT_TRUE(absl::IsUnimplemented(runner_->health())) << runner_->health();
  EXPECT_THAT(std::string(runner_->health().message()),
              AllOf(HasSubstr("visits"), HasSubstr(absl::StrCat(newer.sequence))));
  EXPECT_FALSE(runner_->caught_up());
  EXPECT_EQ(Events("a"), 1);
  EXPECT_TRUE(runner_->Parked()->empty());

  EventCodec newer_codec("visits");
  newer_codec.Register("visit", &Value::default_instance());
  newer_codec.Register("novelty", &Value::default_instance());
  runner_.reset();
  auto runner = ProjectionRunner::Open(folder_, std::make_unique<Tally>(behaviour_),
                                       {{&visits_.log(), &newer_codec}, clients_.source()},
                                       {scheduler_, clock_, metrics_});
  ASSERT_TRUE(runner.ok()) << runner.status();
  (*runner)->Start();
  scheduler_.RunUntilIdle();
  EXPECT_TRUE((*runner)->caught_up());
  EXPECT_EQ(EventsIn(**runner, "a"), 2);
}

TEST_F(ProjectionRunnerTest, ADamagedRecordStopsTheReaderAndIsNamed) {
  visits_.Add(2, "a", {NumberEvent(1)});
  const Position damaged = visits_.Add(2, "a", {TextEvent("two")});
  visits_.Add(2, "a", {NumberEvent(3)});
  visits_.log().FlipByte(2, damaged.sequence, eventlog::kHeaderBytes + 5);
  OpenAndFollow();
  EXPECT_TRUE(absl::IsDataLoss(runner_->health())) << runner_->health();
  EXPECT_THAT(std::string(runner_->health().message()),
              AllOf(HasSubstr("visits"), HasSubstr("partition 2"),
                    HasSubstr(absl::StrCat("sequence ", damaged.sequence))));
  EXPECT_EQ(Events("a"), 1);
}

TEST_F(ProjectionRunnerTest, ACheckpointThatIsNotOnTheChainIsDataLossAndStays) {
  visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  runner_.reset();
  // The same log by name, with another history.
  LogWriter other("visits", 4, scheduler_);
  other.Add(0, "b", {NumberEvent(2)});
  other.Add(0, "b", {NumberEvent(3)});
  auto runner =
      ProjectionRunner::Open(folder_, std::make_unique<Tally>(behaviour_),
                             {other.source(), clients_.source()}, {scheduler_, clock_, metrics_});
  ASSERT_TRUE(runner.ok()) << runner.status();
  (*runner)->Start();
  scheduler_.RunUntilIdle();
  EXPECT_TRUE(absl::IsDataLoss((*runner)->health())) << (*runner)->health();
  EXPECT_FALSE((*runner)->caught_up());
  EXPECT_EQ(EventsIn(**runner, "a"), 1) << "nothing is reset in silence";
  EXPECT_EQ(EventsIn(**runner, "b"), 0);
}

TEST_F(ProjectionRunnerTest, ALogThatEndsBeforeTheCheckpointIsDataLoss) {
  visits_.Add(0, "a", {NumberEvent(1)});
  OpenAndFollow();
  runner_.reset();
  LogWriter empty("visits", 4, scheduler_);
  auto runner =
      ProjectionRunner::Open(folder_, std::make_unique<Tally>(behaviour_),
                             {empty.source(), clients_.source()}, {scheduler_, clock_, metrics_});
  ASSERT_TRUE(runner.ok()) << runner.status();
  (*runner)->Start();
  scheduler_.RunUntilIdle();
  EXPECT_TRUE(absl::IsDataLoss((*runner)->health())) << (*runner)->health();
}

TEST_F(ProjectionRunnerTest, AFullDiskStopsTheReaderUntilThereIsRoomAgain) {
  OpenAndFollow();
  behaviour_.pages_max = 1;  // SQLite takes the size that the file has
  for (int i = 0; i < 20; ++i)
    visits_.Add(0, absl::StrCat("s", i), {TextEvent(std::string(4000, 'x'))});
  scheduler_.RunUntilIdle();
  EXPECT_TRUE(absl::IsResourceExhausted(runner_->health())) << runner_->health();
  EXPECT_TRUE(runner_->Parked()->empty());
  behaviour_.pages_max = 0;
  scheduler_.RunFor(absl::Minutes(1));
  EXPECT_TRUE(runner_->health().ok()) << runner_->health();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Events(absl::StrCat("s", i)), 1) << i;
}

TEST_F(ProjectionRunnerTest, EndingWhileItsOwnThreadsWorkIsSafe) {
  for (int i = 0; i < 20; ++i) {
    visits_.Add(static_cast<uint32_t>(i % 4), absl::StrCat("s", i % 4), {NumberEvent(i)});
  }
  const std::unique_ptr<Scheduler> threads = NewThreadPoolScheduler(1);
  int told = 0;
  constexpr int kRounds = 20;
  for (int round = 0; round < kRounds; ++round) {
    auto runner = ProjectionRunner::Open(folder_, std::make_unique<Tally>(behaviour_), Sources(),
                                         {*threads, clock_, metrics_});
    ASSERT_TRUE(runner.ok()) << runner.status();
    (*runner)->Start();
    (*runner)->Rebuild([&](absl::StatusOr<RebuildProgress> progress) {
      if (!progress.ok() || progress->done) ++told;
    });
  }
  EXPECT_EQ(told, kRounds) << "finished or cut short, each caller was told once";
  OpenAndFollow();
  EXPECT_EQ(Events("s0"), 5);
  EXPECT_TRUE(Verify()->equal());
}

TEST_F(ProjectionRunnerTest, WhileOneLogIsOutOfReachTheOthersAreFollowedAtOnce) {
  DistantLog distant(visits_.log());
  auto runner = ProjectionRunner::Open(folder_, std::make_unique<Tally>(behaviour_),
                                       {{&distant, visits_.source().codec}, clients_.source()},
                                       {scheduler_, clock_, metrics_});
  ASSERT_TRUE(runner.ok()) << runner.status();
  runner_ = *std::move(runner);
  runner_->Start();
  scheduler_.RunUntilIdle();
  distant.SetOutOfReach({0, 1, 2, 3});
  visits_.Add(0, "far", {NumberEvent(1)});
  for (int i = 1; i <= 10; ++i) {
    // Not only when it is time to ask for the other log again.
    const Position written = clients_.Add(1, "near", {NumberEvent(1)});
    EXPECT_EQ(Reached({written}, absl::Milliseconds(10)), absl::OkStatus());
    EXPECT_TRUE(absl::IsUnavailable(runner_->health())) << runner_->health();
  }
  EXPECT_EQ(Events("near"), 10);
  EXPECT_EQ(Events("far"), 0);
  distant.SetOutOfReach({});
  scheduler_.RunFor(absl::Seconds(10));
  EXPECT_EQ(Events("far"), 1);
  EXPECT_EQ(runner_->health(), absl::OkStatus());
  EXPECT_EQ(runner_->lag(), 0u);
  runner_.reset();
}

TEST_F(ProjectionRunnerTest, AFileThatCannotBeOpenedIsNotAThingThatDoesNotExist) {
  OpenAndFollow();
  std::filesystem::rename(FilePath(), FilePath() + ".away");
  const absl::Status status = runner_->Read([](sqlite::Connection&) { return absl::OkStatus(); });
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  std::filesystem::rename(FilePath() + ".away", FilePath());
  EXPECT_EQ(Events("a"), 0);
}

TEST_F(ProjectionRunnerTest, AServiceWithoutALogIsRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      TryOpen(std::make_unique<Tally>(behaviour_, std::vector<std::string>{"billing"})).status()));
}

}  // namespace
}  // namespace buurtlog::eventsourcing
