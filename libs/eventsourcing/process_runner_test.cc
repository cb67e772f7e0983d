#include "libs/eventsourcing/process_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/eventsourcing/testing/distant_log.h"
#include "libs/eventsourcing/testing/executor_world.h"

namespace buurtlog::eventsourcing {
namespace {

using eventlog::MemoryFault;
using testing::DistantLog;
using ::testing::ElementsAre;
using testing::ExecutorWorld;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ListType;
using testing::ListValue;
using testing::Value;

// A text "to <list>: x,y" is answered with one command for each of x and y, to that list; the word
// `newer` is of a later release.
class Forward final : public Process {
 public:
  std::string_view name() const override { return "forward"; }
  std::vector<std::string> services() const override { return {"lists"}; }
  std::vector<Command> React(const EventEnvelope&,
                             const google::protobuf::Message& event) const override {
    const std::string text = static_cast<const Value&>(event).string_value();
    const std::vector<std::string> parts = absl::StrSplit(text, ": ");
    std::vector<Command> commands;
    if (parts.size() != 2) return commands;
    const Uuid list = *ParseUuid(std::string(absl::StripPrefix(parts[0], "to ")));
    for (const auto& word : absl::StrSplit(parts[1], ',')) {
      commands.push_back(
          MakeCommand(ListType(), list, list, testing::RequestFor({std::string(word)})));
      if (word == "newer") commands.back().since = kEventRelease + 1;
    }
    return commands;
  }
};

class ProcessRunnerTest : public ::testing::Test {
 protected:
  ProcessRunnerTest() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = absl::StrCat(::testing::TempDir(), "/process_", test->name(), "_", getpid());
    std::filesystem::remove_all(folder_);
    codec_.Register("list", &Value::default_instance());
  }
  ~ProcessRunnerTest() override {
    runner_.reset();
    std::filesystem::remove_all(folder_);
  }
  void SetUp() override { ASSERT_TRUE(world_.Start().ok()); }

  void Follow() {
    runner_.reset();
    auto runner =
        ProcessRunner::Open(folder_, std::make_unique<Forward>(), {{&distant_, &codec_}},
                            {*world_.executor, world_.scheduler, world_.clock, world_.metrics});
    ASSERT_TRUE(runner.ok()) << runner.status();
    runner_ = *std::move(runner);
    runner_->Start();
  }
  void Settle() { world_.scheduler.RunFor(absl::Minutes(1)); }
  // A list in the given partition.
  Uuid ListIn(eventlog::Partition partition) {
    while (true) {
      const Uuid list = world_.NewId();
      if (eventlog::PartitionOf(eventlog::ShardOf(list), 2) == partition) return list;
    }
  }
  Command Cause(const Uuid& from, const Uuid& to, const std::string& words) {
    return world_.Append(from, {absl::StrCat("to ", to.ToString(), ": ", words)});
  }
  size_t Retry() {
    absl::StatusOr<size_t> going_on = absl::UnknownError("not answered");
    runner_->RetryParked([&](absl::StatusOr<size_t> result) { going_on = result; });
    Settle();
    EXPECT_TRUE(going_on.ok()) << going_on.status();
    return going_on.value_or(0);
  }
  std::string Metrics() { return prometheus::TextSerializer().Serialize(world_.metrics.Collect()); }

  std::string folder_;
  ExecutorWorld world_;
  DistantLog distant_{world_.log};
  EventCodec codec_{"lists"};
  const Uuid from_ = ListIn(0);
  const Uuid to_ = ListIn(1);
  std::unique_ptr<ProcessRunner> runner_;
};

TEST_F(ProcessRunnerTest, EventsBecomeCommandsThatNameTheirCause) {
  const auto cause = world_.Run(Cause(from_, to_, "x,y"));
  ASSERT_TRUE(cause.ok()) << cause.status();
  Follow();
  Settle();
  EXPECT_TRUE(runner_->health().ok()) << runner_->health();
  EXPECT_TRUE(runner_->caught_up());
  EXPECT_THAT(world_.Texts(to_), ElementsAre("x", "y"));
  const log::v1::Record caused = world_.Records(0).front();
  const std::vector<log::v1::Record> records = world_.Records(1);
  ASSERT_EQ(records.size(), 2u);
  const Uuid event = *UuidFromBytes(caused.events(0).event_id());
  for (size_t i = 0; i < records.size(); ++i) {
    const log::v1::Record& record = records[i];
    EXPECT_EQ(record.idempotency_key(), DerivedUuid(event, absl::StrCat("forward/", i)).ToBytes());
    EXPECT_EQ(record.causation_id(), event.ToBytes());
    EXPECT_EQ(record.correlation_id(), caused.idempotency_key());
    EXPECT_EQ(record.actor().role(), access::v1::ROLE_SERVICE);
    EXPECT_EQ(record.actor().access_point(), "forward");
    EXPECT_TRUE(UuidFromBytes(record.actor().person_id())->IsNil());
    EXPECT_EQ(OccurredAt(record).seconds(), OccurredAt(caused).seconds());
  }
}

TEST_F(ProcessRunnerTest, EventsThatComeLaterAreAnsweredInTheirOrder) {
  Follow();
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(world_.Run(Cause(from_, to_, absl::StrCat(i, "a,", i, "b"))).ok());
  }
  Settle();
  EXPECT_THAT(world_.Texts(to_),
              ElementsAre("0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b", "4a", "4b"));
}

TEST_F(ProcessRunnerTest, EndingAtAnyMomentLosesNothingAndDoublesNothing) {
  const uint64_t seed = 20261122;
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  world_.log.SetDiskDelay(absl::Milliseconds(1));
  std::vector<std::string> expected;
  Follow();
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(world_.Run(Cause(from_, to_, absl::StrCat(i, "a,", i, "b"))).ok());
    expected.push_back(absl::StrCat(i, "a"));
    expected.push_back(absl::StrCat(i, "b"));
    for (uint64_t steps = random() % 12; steps > 0; --steps) world_.scheduler.RunOne();
    if (random() % 3 == 0) {
      runner_.reset();
      // With the executor too, or with everything the process knew.
      if (random() % 2 == 0) {
        ASSERT_TRUE(world_.Restart().ok());
      }
      if (random() % 4 == 0) std::filesystem::remove_all(folder_);
      Follow();
    }
  }
  Settle();
  EXPECT_EQ(world_.Texts(to_), expected);
}

TEST_F(ProcessRunnerTest, ARefusalIsAnAnswerAndIsCounted) {
  ASSERT_TRUE(world_.Run(Cause(from_, to_, "x")).ok());
  ASSERT_TRUE(world_.Run(Cause(from_, to_, "refuse,y")).ok());
  Follow();
  Settle();
  EXPECT_TRUE(runner_->caught_up());
  EXPECT_TRUE(runner_->Parked()->empty());
  EXPECT_THAT(world_.Texts(to_), ElementsAre("x", "y"));
  EXPECT_THAT(Metrics(), HasSubstr("buurtlog_process_refusals_total{process=\"forward\"} 1"));
}

TEST_F(ProcessRunnerTest, WhatTheRegionDoesNotWriteYetWaitsUntilItDoes) {
  world_.options.write_release = kEventRelease;
  ASSERT_TRUE(world_.Restart().ok());
  ASSERT_TRUE(world_.Run(Cause(from_, to_, "newer,y")).ok());
  Follow();
  Settle();
  EXPECT_FALSE(runner_->caught_up());
  EXPECT_THAT(world_.Texts(to_), IsEmpty());
  runner_.reset();
  world_.options.write_release = kEventRelease + 1;
  ASSERT_TRUE(world_.Restart().ok());
  Follow();
  Settle();
  EXPECT_TRUE(runner_->caught_up());
  EXPECT_THAT(world_.Texts(to_), ElementsAre("newer", "y"));
}

TEST_F(ProcessRunnerTest, TroubleOfTheLogIsTriedAgainUntilItIsOver) {
  for (const MemoryFault fault :
       {MemoryFault::kLostAnswer, MemoryFault::kLostEntry, MemoryFault::kDiskFull}) {
    SCOPED_TRACE(static_cast<int>(fault));
    const Uuid to = ListIn(1);
    ASSERT_TRUE(world_.Run(Cause(from_, to, "x,y")).ok());
    world_.log.InjectFault(fault);
    world_.log.InjectFault(fault);
    Follow();
    Settle();
    EXPECT_TRUE(runner_->health().ok()) << runner_->health();
    EXPECT_TRUE(runner_->caught_up());
    EXPECT_THAT(world_.Texts(to), ElementsAre("x", "y"));
  }
}

TEST_F(ProcessRunnerTest, TroubleInOnePartitionIsNotHiddenByAnotherThatIsWell) {
  Follow();
  Settle();
  EXPECT_EQ(runner_->health(), absl::OkStatus());
  distant_.SetOutOfReach({0});
  const Uuid to = ListIn(1);
  for (const Uuid& from : {ListIn(0), ListIn(1), ListIn(1)}) {
    ASSERT_TRUE(world_.Run(Cause(from, to, "x")).ok());
    world_.scheduler.RunUntilIdle();
    EXPECT_TRUE(absl::IsUnavailable(runner_->health())) << runner_->health();
  }
  EXPECT_THAT(world_.Texts(to), ElementsAre("x", "x"));
  distant_.SetOutOfReach({});
  Settle();
  EXPECT_EQ(runner_->health(), absl::OkStatus());
  EXPECT_THAT(world_.Texts(to), ElementsAre("x", "x", "x"));
}

TEST_F(ProcessRunnerTest, PartitionsAreUnderWayAtTheSameTime) {
  for (eventlog::Partition partition : {0u, 1u}) {
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(world_.Run(Cause(ListIn(partition), ListIn(partition), "x")).ok());
    }
  }
  world_.log.SetDiskDelay(absl::Milliseconds(10));
  Follow();
  const absl::Duration begin = world_.scheduler.Now();
  ASSERT_TRUE(world_.scheduler.RunUntil([&] { return runner_->caught_up(); }));
  EXPECT_LT(world_.scheduler.Now() - begin, absl::Milliseconds(55)) << "not six of 10 ms in a row";
}

TEST_F(ProcessRunnerTest, AStreamWhoseCommandCannotSucceedWaitsInOrderAndGoesOnAfterTheMend) {
  const Uuid other = ListIn(0);
  const Uuid missing = ListIn(1);
  ASSERT_TRUE(world_.Run(Cause(from_, missing, "missing")).ok());
  ASSERT_TRUE(world_.Run(Cause(from_, missing, "second,third")).ok());
  ASSERT_TRUE(world_.Run(Cause(other, to_, "x")).ok());
  Follow();
  Settle();
  EXPECT_TRUE(runner_->caught_up());
  EXPECT_THAT(world_.Texts(to_), ElementsAre("x")) << "other streams go on";
  EXPECT_THAT(world_.Texts(missing), IsEmpty());
  const auto parked = runner_->Parked();
  ASSERT_TRUE(parked.ok()) << parked.status();
  ASSERT_EQ(parked->size(), 1u);
  EXPECT_EQ(parked->front().stream, (StreamId{"list", from_}));
  EXPECT_EQ(parked->front().waiting, 2u);
  EXPECT_THAT(parked->front().reason, HasSubstr("no such list"));
  EXPECT_EQ(Retry(), 0u);

  Follow();
  ASSERT_TRUE(world_.Run(Cause(from_, missing, "fourth")).ok());
  Settle();
  EXPECT_EQ(runner_->Parked()->front().waiting, 3u) << "also after a start";
  ASSERT_TRUE(world_.Run(world_.Append(missing, {"first"})).ok());
  EXPECT_EQ(Retry(), 1u);
  EXPECT_TRUE(runner_->Parked()->empty());
  ASSERT_TRUE(world_.Run(Cause(from_, missing, "fifth")).ok());
  Settle();
  EXPECT_THAT(world_.Texts(missing),
              ElementsAre("first", "missing", "second", "third", "fourth", "fifth"));
}

TEST_F(ProcessRunnerTest, AnEventOfANewerReleaseStopsTheProcess) {
  ASSERT_TRUE(world_.Run(Cause(from_, to_, "x")).ok());
  const EventCodec older("lists");
  auto runner =
      ProcessRunner::Open(folder_, std::make_unique<Forward>(), {{&world_.log, &older}},
                          {*world_.executor, world_.scheduler, world_.clock, world_.metrics});
  ASSERT_TRUE(runner.ok()) << runner.status();
  (*runner)->Start();
  Settle();
  EXPECT_TRUE(absl::IsUnimplemented((*runner)->health())) << (*runner)->health();
  EXPECT_FALSE((*runner)->caught_up());
  EXPECT_THAT(world_.Texts(to_), IsEmpty());
}

}  // namespace
}  // namespace buurtlog::eventsourcing
