// What the executor does when the log, the store or the machine fails: nothing acknowledged is
// lost, nothing happens twice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libs/eventsourcing/command_executor.h"
#include "libs/eventsourcing/testing/executor_world.h"

namespace buurtlog::eventsourcing {
namespace {

using eventlog::MemoryFault;
using testing::Answer;
using ::testing::ElementsAre;
using testing::EvolveList;
using testing::ExecutorWorld;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ListType;
using ::testing::UnorderedElementsAre;

using Sent = std::shared_ptr<std::optional<Answer>>;

class ExecutorFaultsTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(world_.Start().ok()); }

  // Three commands in three appends, all under way at once.
  std::vector<Sent> SendThreePipelined() {
    world_.log.SetDiskDelay(absl::Milliseconds(10));
    std::vector<Sent> sent;
    for (const char* text : {"a", "b", "c"}) {
      sent.push_back(world_.Send(world_.Append(list_, {text})));
      world_.scheduler.RunFor(absl::Milliseconds(1));
    }
    return sent;
  }

  ExecutorWorld world_;
  const Uuid list_ = world_.NewId();
};

TEST_F(ExecutorFaultsTest, ALostAnswerIsFoundInTheLog) {
  world_.log.InjectFault(MemoryFault::kLostAnswer);
  const Answer answer = world_.Run(world_.Append(list_, {"a"}));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->version(), 1u);
  EXPECT_EQ(world_.AllRecords().size(), 1u);
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a"));
}

// Found by the simulation: what only carries answers is known, but the log takes nothing more until
// an epoch is begun.
TEST_F(ExecutorFaultsTest, AnEpochIsBegunAlsoBehindWhatOnlyCarriesAnswers) {
  Command rehearsal = world_.Append(list_, {"a"});
  rehearsal.validate_only = true;
  world_.log.InjectFault(MemoryFault::kLostAnswer);
  const Answer answer = world_.Run(rehearsal);
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_F(ExecutorFaultsTest, ALostEntryIsDecidedAnew) {
  world_.log.InjectFault(MemoryFault::kLostEntry);
  const Answer answer = world_.Run(world_.Append(list_, {"a"}));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(world_.AllRecords().size(), 1u);
}

TEST_F(ExecutorFaultsTest, ALateEntryIsVoidOnceTheCommandIsDecidedAnew) {
  world_.log.InjectFault(MemoryFault::kLateEntry);
  const Answer answer = world_.Run(world_.Append(list_, {"a"}));
  ASSERT_TRUE(answer.ok()) << answer.status();
  world_.log.ReleaseLate();
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"b"})).ok());
  EXPECT_EQ(world_.AllRecords().size(), 2u);
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a", "b"));
}

TEST_F(ExecutorFaultsTest, ADoubledEntryCountsOnce) {
  world_.log.InjectFault(MemoryFault::kDoubledEntry);
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"b"})).ok());
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a", "b"));
  EXPECT_EQ(world_.AllRecords().size(), 2u);
}

TEST_F(ExecutorFaultsTest, AFencedWriterBeginsAnEpochAndDecidesAnew) {
  world_.log.InjectFault(MemoryFault::kFencedWriter);
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  EXPECT_EQ(world_.AllRecords().size(), 1u);
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a"));
}

TEST_F(ExecutorFaultsTest, AnOwnerThatWasFencedWithoutKnowingItGivesNoVerdictOnWhatItKnew) {
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  auto store = StateStore::Open(world_.store_path() + ".second", {&ListType()},
                                world_.log.identity().partitions, world_.scheduler);
  ASSERT_TRUE(store.ok()) << store.status();
  prometheus::Registry metrics;
  CommandExecutor second(
      {world_.log, **store, world_.scheduler, world_.clock, world_.random, metrics}, {&ListType()},
      world_.options);
  std::optional<absl::Status> ready;
  second.Start([&](absl::Status status) { ready = std::move(status); });
  world_.scheduler.RunUntil([&] { return ready.has_value(); });
  ASSERT_EQ(ready, absl::OkStatus());
  const auto run_on_second = [&](const Command& command) {
    std::optional<Answer> answer;
    second.Execute(command, [&](Answer a) { answer = std::move(a); });
    world_.scheduler.RunUntil([&] { return answer.has_value(); });
    return answer.value_or(absl::InternalError("never answered"));
  };
  ASSERT_TRUE(run_on_second(world_.Append(list_, {"b"})).ok());
  Command command = world_.Append(list_, {"c"});
  command.expected_version = 2;
  const Answer answer = run_on_second(command);
  ASSERT_TRUE(answer.ok()) << answer.status();

  // The first one still believes in version 1, on which it would say VERSION_MISMATCH.
  const Answer again = world_.Run(command);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->SerializeAsString(), answer->SerializeAsString());
}

TEST_F(ExecutorFaultsTest, WritersWhoFenceEachOtherForEverAreToldInTheEnd) {
  for (int i = 0; i < 50; ++i) world_.log.InjectFault(MemoryFault::kFencedWriter);
  const Answer answer = world_.Run(world_.Append(list_, {"a"}));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ExecutorFaultsTest, ATornBatchIsCompletedWithoutDoublingItsFirstRecord) {
  world_.log.InjectFault(MemoryFault::kTornBatch);
  std::vector<Sent> sent;
  for (const char* text : {"a", "b", "c"})
    sent.push_back(world_.Send(world_.Append(list_, {text})));
  world_.scheduler.RunUntil([&] { return sent.back()->has_value(); });
  for (const Sent& answer : sent) EXPECT_TRUE((*answer)->ok()) << (*answer)->status();
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a", "b", "c"));
  EXPECT_EQ(world_.AllRecords().size(), 3u);
}

TEST_F(ExecutorFaultsTest, EveryFaultInAPipelineEndsWithEachRecordOnceAndInOrder) {
  for (MemoryFault fault :
       {MemoryFault::kLostAnswer, MemoryFault::kLostEntry, MemoryFault::kLateEntry,
        MemoryFault::kDoubledEntry, MemoryFault::kFencedWriter, MemoryFault::kTornBatch}) {
    ExecutorWorld world(7);
    ASSERT_TRUE(world.Start().ok());
    world.log.SetDiskDelay(absl::Milliseconds(10));
    world.log.InjectFault(fault);
    const Uuid list = world.NewId();
    std::vector<Sent> sent;
    for (const char* text : {"a", "b", "c"}) {
      sent.push_back(world.Send(world.Append(list, {text})));
      world.scheduler.RunFor(absl::Milliseconds(1));
    }
    world.scheduler.RunFor(absl::Minutes(1));
    world.log.ReleaseLate();
    for (const Sent& answer : sent) {
      ASSERT_TRUE(answer->has_value()) << "fault " << static_cast<int>(fault);
      EXPECT_TRUE((*answer)->ok()) << (*answer)->status() << " fault " << static_cast<int>(fault);
    }
    EXPECT_THAT(world.Texts(list), ElementsAre("a", "b", "c"))
        << "fault " << static_cast<int>(fault);
    EXPECT_EQ(world.AllRecords().size(), 3u);
  }
}

TEST_F(ExecutorFaultsTest, AFullDiskFailsItsCommandsOnlyAndTheOthersGoOn) {
  world_.log.InjectFault(MemoryFault::kDiskFull);
  const std::vector<Sent> sent = SendThreePipelined();
  world_.scheduler.RunFor(absl::Seconds(1));
  EXPECT_EQ((*sent[0])->status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE((*sent[1])->ok()) << (*sent[1])->status();
  EXPECT_TRUE((*sent[2])->ok()) << (*sent[2])->status();
  EXPECT_THAT(world_.Texts(list_), ElementsAre("b", "c"));
}

TEST_F(ExecutorFaultsTest, AnswersThatStandOnWhatFailedAreDecidedAnew) {
  world_.log.SetDiskDelay(absl::Milliseconds(10));
  world_.log.InjectFault(MemoryFault::kDiskFull);
  auto fails = world_.Send(world_.Append(list_, {"a"}));
  world_.scheduler.RunFor(absl::Milliseconds(1));
  Command on_version_1 = world_.Append(list_, {"b"});
  on_version_1.expected_version = 0;
  auto mismatch = world_.Send(on_version_1);
  Command dry = world_.Append(list_, {"c"});
  dry.validate_only = true;
  auto validated = world_.Send(dry);
  world_.scheduler.RunFor(absl::Milliseconds(1));
  EXPECT_FALSE(mismatch->has_value());
  EXPECT_FALSE(validated->has_value());
  world_.scheduler.RunFor(absl::Seconds(1));
  EXPECT_EQ((*fails)->status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE((*mismatch)->ok()) << (*mismatch)->status();
  EXPECT_EQ((**validated)->version(), 2u);
  EXPECT_THAT(world_.Texts(list_), ElementsAre("b"));
}

TEST_F(ExecutorFaultsTest, ABulkCallOfWhichHalfWasLostIsCompletedByARepeat) {
  std::vector<Command> commands;
  for (int i = 0; i < 8; ++i) commands.push_back(world_.Append(list_, {absl::StrCat(i)}));
  const auto run = [&] {
    std::optional<std::vector<Answer>> answers;
    world_.executor->ExecuteAll(commands, [&](std::vector<Answer> a) { answers = std::move(a); });
    world_.scheduler.RunUntil([&] { return answers.has_value(); });
    return *answers;
  };
  world_.Stop();
  world_.options.batch_max = 4;
  world_.options.batches_in_flight_max = 1;
  ASSERT_TRUE(world_.Start().ok());
  world_.log.InjectFault(MemoryFault::kDiskFull);
  const std::vector<Answer> first = run();
  EXPECT_EQ(first[3].status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(first[4].ok());
  const std::vector<Answer> again = run();
  for (const Answer& answer : again) EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(again[4]->SerializeAsString(), first[4]->SerializeAsString());
  EXPECT_THAT(world_.Texts(list_), ElementsAre("4", "5", "6", "7", "0", "1", "2", "3"));
}

TEST_F(ExecutorFaultsTest, ARestartFindsEverythingWithItsStoreAndWithoutIt) {
  const Command command = world_.Append(list_, {"a", "b"});
  const Answer first = world_.Run(command);
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"c"})).ok());
  for (bool with_store : {true, false}) {
    world_.Stop();
    if (!with_store) world_.DeleteStore();
    ASSERT_TRUE(world_.Start().ok());
    EXPECT_THAT(world_.Texts(list_), ElementsAre("a", "b", "c"));
    EXPECT_EQ(world_.Run(command)->SerializeAsString(), first->SerializeAsString());
  }
  EXPECT_EQ(world_.AllRecords().size(), 2u);
}

TEST_F(ExecutorFaultsTest, AStoreThatIsOlderThanTheLogIsCaughtUp) {
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  world_.Stop();
  const std::string old = world_.store_path() + ".old";
  std::filesystem::copy_file(world_.store_path(), old);
  ASSERT_TRUE(world_.Start().ok());
  const Command command = world_.Append(list_, {"b"});
  ASSERT_TRUE(world_.Run(command).ok());
  world_.Stop();
  world_.DeleteStore();
  std::filesystem::rename(old, world_.store_path());
  ASSERT_TRUE(world_.Start().ok());
  EXPECT_TRUE(world_.Run(command).ok());
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a", "b"));
}

TEST_F(ExecutorFaultsTest, AStoreThatCannotBeOpenedForAWhileIsWaitedFor) {
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  ASSERT_TRUE(world_.store->Flush().ok());
  world_.Stop();
  std::filesystem::copy_file(world_.store_path(), world_.store_path() + ".old");
  ASSERT_TRUE(world_.Start().ok());
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"b"})).ok());
  world_.Stop();
  world_.DeleteStore();
  std::filesystem::rename(world_.store_path() + ".old", world_.store_path());
  // There when it is opened; then, until later, not for those who read it.
  world_.SetBeforeStart([&] {
    std::filesystem::rename(world_.store_path(), world_.store_path() + ".away");
    world_.WhenTimeHasPassed(absl::Minutes(1), [&] {
      std::filesystem::rename(world_.store_path() + ".away", world_.store_path());
    });
  });
  EXPECT_EQ(world_.Start(), absl::OkStatus());
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a", "b"));
}

TEST_F(ExecutorFaultsTest, ACommandWhoseStateCannotBeReadMayBeRepeated) {
  world_.Stop();
  world_.SetBeforeStart(
      [&] { std::filesystem::rename(world_.store_path(), world_.store_path() + ".away"); });
  ASSERT_TRUE(world_.Start().ok());
  const Command command = world_.Append(list_, {"a"});
  EXPECT_TRUE(absl::IsUnavailable(world_.Run(command).status()));
  std::filesystem::rename(world_.store_path() + ".away", world_.store_path());
  EXPECT_TRUE(world_.Run(command).ok());
}

TEST_F(ExecutorFaultsTest, AStoreThatHasSeenMoreThanTheLogHoldsIsDataLoss) {
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  world_.Stop();
  // The same log, on another day: it went further, and elsewhere.
  ExecutorWorld other(99);
  ASSERT_TRUE(other.Start().ok());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(other.Run(other.Append(list_, {"x"})).ok());
  other.Stop();
  world_.DeleteStore();
  std::filesystem::copy_file(other.store_path(), world_.store_path());
  const absl::Status status = world_.Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("the state store: partition"));
  EXPECT_THAT(status.message(), HasSubstr("missing; the log was known to go to"));
  world_.Stop();
  // Once an operator has accepted it, it is folded from what there is.
  world_.DeleteStore();
  ASSERT_TRUE(world_.Start().ok());
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a"));
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"b"})).ok());
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a", "b"));
}

TEST_F(ExecutorFaultsTest, AStoreOfAnotherSchemaIsFoldedAgainAndSaidSo) {
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  world_.Stop();
  const AggregateType raised =
      MakeAggregateType<testing::ListValue, testing::Value, EvolveList>("list", 2, {});
  { ASSERT_TRUE(StateStore::Open(world_.store_path(), {&raised}, 2, world_.scheduler).ok()); }
  ASSERT_TRUE(world_.Start().ok());
  EXPECT_THAT(world_.store->discarded(), HasSubstr("another schema"));
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a"));
}

TEST_F(ExecutorFaultsTest, ADamagedRecordStopsTheStartAndIsNamed) {
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  const auto partition =
      eventlog::PartitionOf(eventlog::ShardOf(list_), world_.log.identity().partitions);
  world_.Stop();
  world_.DeleteStore();
  world_.log.FlipByte(partition, 2, 100);
  const absl::Status status = world_.Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr(absl::StrCat("partition ", partition, ", sequence 2")));
  EXPECT_EQ(world_.executor->health(), status);
  EXPECT_EQ(world_.Run(world_.Append(list_, {"b"})).status().code(),
            absl::StatusCode::kUnavailable);
}

// Random commands, faults and restarts; every key is repeated until it is answered for good.
// Afterwards each acknowledged command stands in the log exactly once, and the states are what the
// log says.
class ExecutorPropertyTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  struct Wish {
    Command command;
    std::string text;
    Sent sent;
    std::optional<Answer> first;
  };

  ExecutorPropertyTest() : world_(GetParam()), dice_(GetParam() + 1'000) {
    world_.options.batch_max = 1 + Draw(6);
    world_.log.SetDiskDelay(absl::Milliseconds(static_cast<int64_t>(Draw(5))));
    for (int i = 0; i < 4; ++i) lists_.push_back(world_.NewId());
  }

  uint64_t Draw(uint64_t below) { return RandomBelow(dice_, below); }

  void TakeAStep() {
    switch (Draw(12)) {
      case 0: world_.log.InjectFault(static_cast<MemoryFault>(Draw(7))); break;
      case 1: world_.log.ReleaseLate(); break;
      case 2:
        if (Draw(4) == 0) {
          world_.Stop();
          if (Draw(2) == 0) world_.DeleteStore();
          ASSERT_TRUE(world_.Start().ok());
        }
        break;
      case 3:
        if (!wishes_.empty()) {  // a repeat while the first may be under way
          Wish& wish = wishes_[Draw(wishes_.size())];
          wish.sent = world_.Send(wish.command);
        }
        break;
      default: {
        Wish& wish = wishes_.emplace_back();
        wish.text = Draw(8) == 0 ? "refuse" : absl::StrCat("w", wishes_.size());
        wish.command = world_.Append(lists_[Draw(lists_.size())], {wish.text});
        wish.sent = world_.Send(wish.command);
      }
    }
    if (Draw(3) == 0) world_.scheduler.RunFor(absl::Milliseconds(static_cast<int64_t>(Draw(8))));
    for (Wish& wish : wishes_) {
      if (wish.sent->has_value() && (*wish.sent)->ok() && !wish.first.has_value())
        wish.first = **wish.sent;
    }
  }

  // Repeats every wish until it is answered: as it was at first, where it was.
  void RepeatAll() {
    for (Wish& wish : wishes_) {
      Answer answer = world_.Run(wish.command);
      for (int i = 0; i < 20 && (absl::IsUnavailable(answer.status()) ||
                                 absl::IsResourceExhausted(answer.status()));
           ++i) {
        answer = world_.Run(wish.command);
      }
      if (wish.text != "refuse") {
        ASSERT_TRUE(answer.ok()) << answer.status();
        if (wish.first.has_value()) {
          EXPECT_EQ(answer->SerializeAsString(), (*wish.first)->SerializeAsString());
        }
      } else {
        EXPECT_EQ(RefusalReason(answer.status()), "NOT_TODAY");
      }
    }
  }

  // Each text once, versions without gaps; and so are the states.
  void CheckTheLog() {
    std::map<std::string, std::vector<std::string>> texts;
    std::map<std::string, int> keys;
    for (const log::v1::Record& record : world_.AllRecords()) {
      EXPECT_EQ(++keys[record.idempotency_key()], 1);
      EXPECT_EQ(record.first_version(), texts[record.stream_id()].size());
      for (const log::v1::StoredEvent& event : record.events()) {
        testing::Value value;
        ASSERT_TRUE(value.ParseFromString(event.payload()));
        texts[record.stream_id()].push_back(value.string_value());
      }
    }
    size_t written = 0;
    for (const Uuid& list : lists_) {
      EXPECT_EQ(world_.Texts(list), texts[list.ToBytes()]);
      written += texts[list.ToBytes()].size();
    }
    const auto wished = static_cast<size_t>(std::count_if(
        wishes_.begin(), wishes_.end(), [](const Wish& w) { return w.text != "refuse"; }));
    EXPECT_EQ(written, wished);
  }

  ExecutorWorld world_;
  SeededRandom dice_;
  std::vector<Uuid> lists_;
  std::vector<Wish> wishes_;
};

TEST_P(ExecutorPropertyTest, NothingAcknowledgedIsLostAndNothingHappensTwice) {
  SCOPED_TRACE(absl::StrCat("seed ", GetParam()));
  ASSERT_TRUE(world_.Start().ok());
  for (int step = 0; step < 120 && !HasFatalFailure(); ++step) TakeAStep();
  world_.scheduler.RunFor(absl::Minutes(2));
  RepeatAll();
  CheckTheLog();
}

INSTANTIATE_TEST_SUITE_P(Seeds, ExecutorPropertyTest, ::testing::Range<uint64_t>(1, 41));

TEST(ExecutorDeterminismTest, TheSameSeedGivesTheSameLog) {
  const auto run = [](uint64_t seed) {
    ExecutorWorld world(seed);
    world.random.Fill({});
    EXPECT_TRUE(world.Start().ok());
    const Uuid list = *ParseUuid("01890000-0000-7000-8000-0000000000aa");
    std::vector<Sent> sent;
    for (int i = 0; i < 20; ++i) {
      sent.push_back(world.Send(world.Append(list, {absl::StrCat(i)})));
      if (i % 3 == 0) world.scheduler.RunOne();
    }
    world.scheduler.RunFor(absl::Seconds(1));
    std::string bytes;
    for (const auto& record : world.AllRecords()) bytes += record.SerializeAsString();
    return bytes;
  };
  EXPECT_EQ(run(5), run(5));
}

}  // namespace
}  // namespace buurtlog::eventsourcing
