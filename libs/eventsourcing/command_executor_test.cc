#include "libs/eventsourcing/command_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include "libs/eventsourcing/testing/executor_world.h"

namespace buurtlog::eventsourcing {
namespace {

using testing::Answer;
using ::testing::ElementsAre;
using testing::ExecutorWorld;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ListType;
using testing::ListValue;

class CommandExecutorTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(world_.Start().ok()); }
  ExecutorWorld world_;
  const Uuid list_ = world_.NewId();
};

TEST_F(CommandExecutorTest, ACommandBecomesOneRecordAndItsReceiptNamesIt) {
  const Command command = world_.Append(list_, {"a", "b"});
  const Answer answer = world_.Run(command);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->position().service(), "lists");
  EXPECT_EQ(answer->stream(), StreamId({"list", list_}).ToString());
  EXPECT_EQ(answer->version(), 2u);
  EXPECT_EQ(answer->event_ids_size(), 2);
  const auto records = world_.AllRecords();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].first_version(), 0u);
  EXPECT_EQ(records[0].idempotency_key(), command.idempotency_key.ToBytes());
  EXPECT_EQ(records[0].recorded_at().seconds(), 1'760'000'000);
  EXPECT_EQ(records[0].command_hash().size(), 16u);
  EXPECT_EQ(UuidFromBytes(records[0].events(0).event_id())->Timestamp(), world_.clock.Now());
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a", "b"));
}

TEST_F(CommandExecutorTest, WhenItHappenedIsWrittenUnlessItIsWhenTheLogTookIt) {
  Command earlier = world_.Append(list_, {"a"});
  earlier.occurred_at = world_.clock.Now() - absl::Seconds(60);
  Command at_once = world_.Append(list_, {"b"});
  at_once.occurred_at = world_.clock.Now();
  for (const Command& command : {earlier, at_once, world_.Append(list_, {"c"})}) {
    ASSERT_TRUE(world_.Run(command).ok());
  }
  const auto records = world_.AllRecords();
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].occurred_at().seconds(), 1'760'000'000 - 60);
  EXPECT_FALSE(records[1].has_occurred_at());
  EXPECT_FALSE(records[2].has_occurred_at());
}

TEST_F(CommandExecutorTest, ARepeatGetsTheFirstAnswerAndWritesNothing) {
  Command command = world_.Append(list_, {"a"});
  const Answer first = world_.Run(command);
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"b"})).ok());
  // What is header and not command may differ in a repeat.
  command.expected_version = 0;
  command.device_time = world_.clock.Now();
  const Answer again = world_.Run(command);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->SerializeAsString(), first->SerializeAsString());
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a", "b"));
}

TEST_F(CommandExecutorTest, TheSameKeyForAnotherCommandIsRefused) {
  const Command command = world_.Append(list_, {"a"});
  ASSERT_TRUE(world_.Run(command).ok());
  Command other = world_.Append(list_, {"b"});
  other.idempotency_key = command.idempotency_key;
  EXPECT_EQ(world_.Run(other).status().code(), absl::StatusCode::kAlreadyExists);
  // The key is the actor's own: somebody else may use the same.
  other.actor.set_person_id(world_.NewId().ToBytes());
  EXPECT_TRUE(world_.Run(other).ok());
}

TEST_F(CommandExecutorTest, RepeatsThatComeWhileTheFirstIsUnderWayWaitForIt) {
  const Command command = world_.Append(list_, {"a"});
  Command other = world_.Append(list_, {"b"});
  other.idempotency_key = command.idempotency_key;
  auto first = world_.Send(command);
  auto same = world_.Send(command);
  auto another = world_.Send(other);
  world_.scheduler.RunUntil([&] { return another->has_value() && same->has_value(); });
  ASSERT_TRUE((*first)->ok());
  ASSERT_TRUE((*same)->ok());
  EXPECT_EQ((**same)->SerializeAsString(), (**first)->SerializeAsString());
  EXPECT_EQ((*another)->status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(world_.AllRecords().size(), 1u);
}

TEST_F(CommandExecutorTest, RequestsWithTheSameFieldsAreStillDifferentCommands) {
  google::protobuf::Value text;
  text.set_string_value("x");
  google::protobuf::Struct other;
  EXPECT_NE(CanonicalBytes(ListValue()), CanonicalBytes(other));
  EXPECT_EQ(CanonicalBytes(text), CanonicalBytes(text));
}

TEST_F(CommandExecutorTest, OfManyWhoExpectOneVersionExactlyOneWins) {
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  std::vector<std::shared_ptr<std::optional<Answer>>> answers;
  for (int i = 0; i < 20; ++i) {
    Command command = world_.Append(list_, {"b"});
    command.expected_version = 1;
    answers.push_back(world_.Send(command));
    world_.scheduler.RunOne();
  }
  world_.scheduler.RunFor(absl::Seconds(1));
  int won = 0;
  for (const auto& answer : answers) {
    ASSERT_TRUE(answer->has_value());
    if ((*answer)->ok()) {
      ++won;
      continue;
    }
    EXPECT_EQ((*answer)->status().code(), absl::StatusCode::kAborted);
    EXPECT_EQ(StatusReason((*answer)->status()), "VERSION_MISMATCH");
    EXPECT_THAT((*answer)->status().message(), HasSubstr("expected version 1, the stream is at 2"));
  }
  EXPECT_EQ(won, 1);
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a", "b"));
}

TEST_F(CommandExecutorTest, BatchesAreDecidedWhileEarlierOnesAreBeingWritten) {
  world_.log.SetDiskDelay(absl::Milliseconds(10));
  const absl::Duration start = world_.scheduler.Now();
  std::vector<std::shared_ptr<std::optional<Answer>>> answers;
  for (int i = 0; i < 4; ++i) {
    answers.push_back(world_.Send(world_.Append(list_, {absl::StrCat(i)})));
    world_.scheduler.RunFor(absl::Milliseconds(1));
  }
  // Four appends of 10 ms each began 1 ms apart; none waited for the one before it.
  EXPECT_THAT(world_.Texts(list_), IsEmpty());
  world_.scheduler.RunUntil([&] { return answers.back()->has_value(); });
  EXPECT_LE(world_.scheduler.Now() - start, absl::Milliseconds(25));
  EXPECT_THAT(world_.Texts(list_), ElementsAre("0", "1", "2", "3"));
}

TEST_F(CommandExecutorTest, ARefusalIsRecordedAndRepeatedTheSameAfterRestart) {
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  const Command refused = world_.Append(list_, {"refuse"});
  const absl::Status first = world_.Run(refused).status();
  EXPECT_EQ(RefusalReason(first), "NOT_TODAY");
  EXPECT_EQ(first.message(), "no, with 1 texts");
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"b"})).ok());
  ASSERT_TRUE(world_.Restart().ok());
  EXPECT_EQ(world_.Run(refused).status(), first);
  EXPECT_EQ(world_.AllRecords().size(), 3u);
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a", "b"));
}

TEST_F(CommandExecutorTest, NothingIsRecordedAboutAStreamThatDoesNotExist) {
  EXPECT_EQ(RefusalReason(world_.Run(world_.Append(list_, {"refuse"})).status()), "NOT_TODAY");
  const Command missing = world_.Append(list_, {"missing"});
  EXPECT_EQ(world_.Run(missing).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(world_.AllRecords(), IsEmpty());
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  EXPECT_TRUE(world_.Run(missing).ok());
}

TEST_F(CommandExecutorTest, RecordedRefusalsAreLimitedForEachActorAndMinute) {
  world_.Stop();
  world_.options.recorded_refusals_per_minute_max = 2;
  ASSERT_TRUE(world_.Start().ok());
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  const auto refuse = [&] { return world_.Run(world_.Append(list_, {"refuse"})).status().code(); };
  EXPECT_EQ(refuse(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(refuse(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(refuse(), absl::StatusCode::kResourceExhausted);
  world_.actor = world_.NewId();
  EXPECT_EQ(refuse(), absl::StatusCode::kFailedPrecondition);
  world_.clock.Advance(absl::Minutes(1));
  EXPECT_EQ(refuse(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(world_.AllRecords().size(), 5u);
}

TEST_F(CommandExecutorTest, TheMinuteOfRefusalsGoesOnWhenTheClockWasSetBack) {
  world_.Stop();
  world_.options.recorded_refusals_per_minute_max = 1;
  ASSERT_TRUE(world_.Start().ok());
  const absl::Time right = world_.clock.Now();
  world_.clock.Advance(absl::Hours(5));
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  world_.clock.Set(right);
  const auto refuse = [&] { return world_.Run(world_.Append(list_, {"refuse"})).status().code(); };
  EXPECT_EQ(refuse(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(refuse(), absl::StatusCode::kResourceExhausted);
  // Long before the log's newest time comes again.
  world_.clock.Advance(absl::Minutes(1));
  EXPECT_EQ(refuse(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(CommandExecutorTest, AnEventThatNobodyCouldReadAgainIsNotWritten) {
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  const Answer answer = world_.Run(world_.Append(list_, {"half a character: \xc3"}));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInternal) << answer.status();
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"b"})).ok());
  world_.DeleteStore();
  ASSERT_TRUE(world_.Restart().ok());
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a", "b"));
}

TEST_F(CommandExecutorTest, ADecisionWithoutEventsIsRememberedUnderItsKey) {
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  const Command nothing = world_.Append(list_, {"nothing"});
  const Answer first = world_.Run(nothing);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->version(), 1u);
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"b"})).ok());
  EXPECT_EQ(world_.Run(nothing)->SerializeAsString(), first->SerializeAsString());
}

TEST_F(CommandExecutorTest, ValidateOnlyAnswersAndWritesNothing) {
  Command command = world_.Append(list_, {"a", "b"});
  command.validate_only = true;
  const Answer answer = world_.Run(command);
  ASSERT_TRUE(answer.ok());
  EXPECT_FALSE(answer->has_position());
  EXPECT_EQ(answer->version(), 2u);
  EXPECT_THAT(world_.AllRecords(), IsEmpty());
  EXPECT_THAT(world_.Texts(list_), IsEmpty());
  command.validate_only = false;
  ASSERT_TRUE(world_.Run(command).ok());
  Command refused = world_.Append(list_, {"refuse"});
  refused.validate_only = true;
  EXPECT_EQ(RefusalReason(world_.Run(refused).status()), "NOT_TODAY");
  EXPECT_EQ(world_.AllRecords().size(), 1u);
}

TEST_F(CommandExecutorTest, KeysAndTimesOutsideTheirRangeAreNamed) {
  const auto field = [&](auto change) {
    Command command = world_.Append(list_, {"a"});
    change(command);
    return StatusField(world_.Run(command).status()).value_or("none");
  };
  const auto key_at = [&](absl::Duration from_now) {
    return NewUuid(world_.clock.Now() + from_now, world_.random);
  };
  EXPECT_EQ(field([&](Command& c) { c.idempotency_key = key_at(-kKeyAgeMax - absl::Minutes(1)); }),
            "header.idempotency_key");
  EXPECT_EQ(field([&](Command& c) { c.idempotency_key = key_at(kFutureMax + absl::Minutes(1)); }),
            "header.idempotency_key");
  EXPECT_EQ(field([&](Command& c) { c.occurred_at = world_.clock.Now() + absl::Minutes(6); }),
            "header.occurred_at");
  EXPECT_EQ(field([&](Command& c) { c.idempotency_key = key_at(-kKeyAgeMax + absl::Minutes(1)); }),
            "none");
  EXPECT_EQ(field([&](Command& c) {
              c.idempotency_key = key_at(-kKeyAgeMax * 3);
              c.key_has_age = false;
            }),
            "none");
  // The event that a process answers was taken by a machine whose clock is ahead.
  EXPECT_EQ(field([&](Command& c) {
              c.occurred_at = world_.clock.Now() + absl::Minutes(6);
              c.key_has_age = false;
            }),
            "none");
}

TEST_F(CommandExecutorTest, ACommandWhoseDeadlineHasPassedIsNotBegun) {
  Command command = world_.Append(list_, {"a"});
  command.deadline = world_.clock.Now() - absl::Milliseconds(1);
  EXPECT_EQ(world_.Run(command).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(world_.AllRecords(), IsEmpty());
}

TEST_F(CommandExecutorTest, ARecordOverTheLimitIsRefusedAndTheNextOneGoesThrough) {
  EXPECT_EQ(world_.Run(world_.Append(list_, {std::string(eventlog::kRecordBytesMax, 'x')}))
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(world_.Run(world_.Append(list_, std::vector<std::string>(kEventsPerRecordMax + 1, "x")))
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  EXPECT_THAT(world_.Texts(list_), ElementsAre("a"));
}

TEST_F(CommandExecutorTest, AFullQueueSaysSo) {
  world_.Stop();
  world_.options.queue_max = 3;
  ASSERT_TRUE(world_.Start().ok());
  std::vector<std::shared_ptr<std::optional<Answer>>> answers;
  for (int i = 0; i < 4; ++i) answers.push_back(world_.Send(world_.Append(list_, {"a"})));
  ASSERT_TRUE(answers[3]->has_value());
  EXPECT_EQ((*answers[3])->status().code(), absl::StatusCode::kResourceExhausted);
  world_.scheduler.RunFor(absl::Seconds(1));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE((*answers[i])->ok());
}

TEST_F(CommandExecutorTest, CommandsThatWaitWhenItEndsAreAnsweredUnavailable) {
  world_.log.SetDiskDelay(absl::Seconds(1));
  auto under_way = world_.Send(world_.Append(list_, {"a"}));
  world_.scheduler.RunFor(absl::Milliseconds(1));
  auto waits = world_.Send(world_.Append(list_, {"b"}));
  world_.Stop();
  EXPECT_EQ((*under_way)->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ((*waits)->status().code(), absl::StatusCode::kUnavailable);
  world_.scheduler.RunFor(absl::Seconds(5));
}

TEST_F(CommandExecutorTest, ABulkCallHasOneAnswerForEachCommandInOrder) {
  std::vector<Command> commands;
  std::vector<Uuid> lists;
  for (int i = 0; i < 50; ++i) {
    lists.push_back(world_.NewId());
    commands.push_back(world_.Append(lists.back(), {i % 10 == 9 ? "missing" : "a"}));
  }
  const auto run = [&] {
    std::optional<std::vector<Answer>> answers;
    world_.executor->ExecuteAll(commands, [&](std::vector<Answer> a) { answers = std::move(a); });
    world_.scheduler.RunUntil([&] { return answers.has_value(); });
    return *answers;
  };
  const std::vector<Answer> first = run();
  ASSERT_EQ(first.size(), commands.size());
  for (size_t i = 0; i < first.size(); ++i) {
    if (i % 10 == 9) {
      EXPECT_EQ(first[i].status().code(), absl::StatusCode::kNotFound);
    } else {
      EXPECT_EQ(first[i]->stream(), StreamId({"list", lists[i]}).ToString());
    }
  }
  const std::vector<Answer> again = run();
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(again[i].status(), first[i].status());
    if (first[i].ok()) {
      EXPECT_EQ(again[i]->SerializeAsString(), first[i]->SerializeAsString());
    }
  }
  EXPECT_EQ(world_.AllRecords().size(), 45u);
}

TEST_F(CommandExecutorTest, TheTimeOfARecordNeverGoesBackwards) {
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  world_.clock.Advance(-absl::Seconds(3));
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"b"})).ok());
  ASSERT_TRUE(world_.Restart().ok());
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"c"})).ok());
  for (const auto& record : world_.AllRecords())
    EXPECT_EQ(record.recorded_at().seconds(), 1'760'000'000);
}

TEST_F(CommandExecutorTest, AMachineWhoseClockIsBehindDoesNotBegin) {
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a"})).ok());
  world_.clock.Advance(-absl::Seconds(6));
  const absl::Status status = world_.Restart();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatusReason(status), "CLOCK_BEHIND");
}

TEST_F(CommandExecutorTest, MetricsCountOutcomesAndEvents) {
  ASSERT_TRUE(world_.Run(world_.Append(list_, {"a", "b"})).ok());
  world_.Run(world_.Append(list_, {"refuse"})).IgnoreError();
  const std::string text = prometheus::TextSerializer().Serialize(world_.metrics.Collect());
  EXPECT_THAT(text, HasSubstr("buurtlog_events_appended_total{service=\"lists\"} 2"));
  EXPECT_THAT(
      text,
      HasSubstr(
          "buurtlog_command_outcomes_total{code=\"FAILED_PRECONDITION\",service=\"lists\"} 1"));
  EXPECT_THAT(text, HasSubstr("buurtlog_command_queue_length{service=\"lists\"} 0"));
  EXPECT_THAT(text, HasSubstr("buurtlog_command_batch_size_count{service=\"lists\"} 2"));
}

TEST(ApplyHeaderTest, AHeaderFillsTheCommand) {
  type::v1::CommandHeader header;
  header.set_idempotency_key("01890000-0000-7000-8000-000000000001");
  header.mutable_occurred_at()->set_seconds(946'684'800);
  header.set_expected_version(0);
  header.set_validate_only(true);
  Command command;
  ASSERT_TRUE(ApplyHeader(header, command).ok());
  EXPECT_EQ(command.occurred_at, absl::FromUnixSeconds(946'684'800));
  EXPECT_EQ(command.expected_version, 0u);
  EXPECT_TRUE(command.validate_only);
  header.mutable_device_time()->set_nanos(-1);
  EXPECT_EQ(StatusField(ApplyHeader(header, command)), "header.device_time");
  header.set_idempotency_key("01890000-0000-4000-8000-000000000001");
  EXPECT_EQ(StatusField(ApplyHeader(header, command)), "header.idempotency_key");
}

TEST(ApplyHeaderTest, NothingHappenedBeforeTheYear2000) {
  type::v1::CommandHeader header;
  header.set_idempotency_key("01890000-0000-7000-8000-000000000001");
  Command command;
  for (const int64_t seconds : {int64_t{-62'135'596'800}, int64_t{0}, int64_t{946'684'799}}) {
    header.mutable_occurred_at()->set_seconds(seconds);
    EXPECT_EQ(StatusField(ApplyHeader(header, command)), "header.occurred_at") << seconds;
  }
}

}  // namespace
}  // namespace buurtlog::eventsourcing
