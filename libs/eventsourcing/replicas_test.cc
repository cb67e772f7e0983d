// Several replicas on one log: who owns, who follows, who answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "libs/base/refusal.h"
#include "libs/eventsourcing/testing/replica_world.h"

namespace buurtlog::eventsourcing {
namespace {

using eventlog::EntryKind;
using testing::Answer;
using testing::AnswerPtr;
using ::testing::ElementsAre;
using ::testing::Le;
using testing::ReplicaWorld;
using ::testing::SizeIs;

class ReplicasTest : public ::testing::Test {
 protected:
  // Lets both replicas come to rest.
  void Settle(absl::Duration time = absl::Seconds(1)) { world_.scheduler.RunFor(time); }

  ReplicaWorld world_;
  ReplicaWorld::Replica& a_ = world_.Start("a");
  ReplicaWorld::Replica& b_ = world_.Start("b");
  const Uuid list_ = world_.NewListIn(0);
};

TEST_F(ReplicasTest, OneThatIsAssignedNothingBeginsNoEpoch) {
  Settle(absl::Seconds(30));
  EXPECT_EQ(world_.Head(0).epoch, 0);
  EXPECT_EQ(a_.executor->owned(), 0);
  EXPECT_TRUE(a_.executor->health().ok());
}

TEST_F(ReplicasTest, AFollowerKnowsWhatTheOwnerWrites) {
  world_.Own(a_);
  ASSERT_TRUE(world_.Run(a_, world_.Append(list_, {"one"})).ok());
  ASSERT_TRUE(world_.Run(a_, world_.Append(list_, {"two"})).ok());
  Settle();
  EXPECT_THAT(world_.Texts(b_, list_), ElementsAre("one", "two"));
  EXPECT_EQ(b_.executor->owned(), 0);
}

TEST_F(ReplicasTest, AFollowerForwardsACommandToTheOwner) {
  world_.Own(a_);
  const Answer answer = world_.Run(b_, world_.Append(list_, {"one"}));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(world_.forwards(), 1);
  EXPECT_THAT(world_.Texts(a_, list_), ElementsAre("one"));
  EXPECT_EQ(world_.Count(0, EntryKind::kRecord), 1);
}

TEST_F(ReplicasTest, WhatTheOwnerRefusesIsRefusedWithItsReason) {
  world_.Own(a_);
  ASSERT_TRUE(world_.Run(b_, world_.Append(list_, {"one"})).ok());
  const Answer refused = world_.Run(b_, world_.Append(list_, {"refuse"}));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatusReason(refused.status()), "NOT_TODAY");
  Command stale = world_.Append(list_, {"two"});
  stale.expected_version = 7;
  EXPECT_EQ(StatusReason(world_.Run(b_, stale).status()), "VERSION_MISMATCH");
}

TEST_F(ReplicasTest, AFollowerAnswersARepeatItself) {
  world_.Own(a_);
  const Command command = world_.Append(list_, {"one"});
  const Answer first = world_.Run(a_, command);
  ASSERT_TRUE(first.ok());
  Settle();
  const Answer repeat = world_.Run(b_, command);
  ASSERT_TRUE(repeat.ok()) << repeat.status();
  EXPECT_EQ(repeat->position().sequence(), first->position().sequence());
  EXPECT_EQ(world_.forwards(), 0);
}

TEST_F(ReplicasTest, TheKeyOfAnotherCommandIsKnownToAFollower) {
  world_.Own(a_);
  Command first = world_.Append(list_, {"one"});
  Command other = world_.Append(list_, {"two"});
  other.idempotency_key = first.idempotency_key;
  ASSERT_TRUE(world_.Run(a_, first).ok());
  Settle();
  EXPECT_EQ(world_.Run(b_, other).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(ReplicasTest, TheOneThatIsAssignedTakesThePartitionsOverAndTheOtherFollows) {
  world_.Own(a_);
  ASSERT_TRUE(world_.Run(a_, world_.Append(list_, {"one"})).ok());
  world_.Assign(a_, {});
  EXPECT_EQ(a_.executor->owned(), 2) << "kept until another one has begun";
  world_.Own(b_);
  EXPECT_EQ(a_.executor->owned(), 0);
  ASSERT_TRUE(world_.Run(a_, world_.Append(list_, {"two"})).ok());
  EXPECT_EQ(world_.forwards(), 1);
  EXPECT_THAT(world_.Texts(b_, list_), ElementsAre("one", "two"));
  EXPECT_EQ(world_.Head(0).owner, "b");
  Settle(absl::Seconds(30));
  EXPECT_EQ(world_.Count(0, EntryKind::kEpoch), 2);
}

TEST_F(ReplicasTest, CommandsOfBothReplicasPassThroughATakeoverOnce) {
  world_.Own(a_);
  std::vector<AnswerPtr> answers;
  for (int i = 0; i < 300; ++i) {
    answers.push_back(world_.Send(i % 2 == 0 ? a_ : b_, world_.Append(list_, {"text"})));
    if (i == 100) {
      a_.executor->Assign({});
      b_.executor->Assign({0, 1});
    }
    for (int step = 0; step < 7; ++step) world_.scheduler.RunOne();
  }
  Settle(absl::Seconds(20));
  for (const AnswerPtr& answer : answers) {
    ASSERT_TRUE(answer->has_value());
    EXPECT_TRUE((*answer)->ok()) << (*answer)->status();
  }
  EXPECT_THAT(world_.Texts(a_, list_), SizeIs(300));
  EXPECT_THAT(world_.Texts(b_, list_), SizeIs(300));
  EXPECT_EQ(b_.executor->owned(), 2);
}

TEST_F(ReplicasTest, WhatWasForwardedToAnOwnerThatStandsStillIsDecidedByTheNext) {
  world_.Own(a_);
  world_.Silence(a_);
  const AnswerPtr answer = world_.Send(b_, world_.Append(list_, {"one"}));
  Settle();
  EXPECT_FALSE(answer->has_value());
  world_.Own(b_);
  Settle();
  ASSERT_TRUE(answer->has_value());
  EXPECT_TRUE((*answer)->ok()) << (*answer)->status();
  EXPECT_THAT(world_.Texts(b_, list_), ElementsAre("one"));
}

TEST_F(ReplicasTest, WhatIsTakenBackFromAnOwnerKeepsItsOrder) {
  world_.Own(a_);
  world_.Silence(a_);
  std::vector<std::string> texts;
  for (int i = 0; i < 20; ++i) {
    texts.push_back(absl::StrCat("text ", i));
    world_.Send(b_, world_.Append(list_, {texts.back()}));
  }
  Settle(absl::Milliseconds(10));
  EXPECT_EQ(world_.forwards(), 20);
  world_.Own(b_);
  EXPECT_EQ(world_.Texts(b_, list_), texts);
}

TEST_F(ReplicasTest, WhatAnOwnerDecidedBeforeItWentIsNotDecidedAgain) {
  world_.Own(a_);
  const Command command = world_.Append(list_, {"one"});
  ASSERT_TRUE(world_.Run(a_, command).ok());
  world_.Kill(a_);
  const AnswerPtr answer = world_.Send(b_, command);
  const AnswerPtr next = world_.Send(b_, world_.Append(list_, {"two"}));
  Settle();
  world_.Own(b_);
  Settle();
  ASSERT_TRUE(answer->has_value() && (*answer)->ok());
  ASSERT_TRUE(next->has_value() && (*next)->ok());
  EXPECT_THAT(world_.Texts(b_, list_), ElementsAre("one", "two"));
}

TEST_F(ReplicasTest, AnOwnerThatComesBackUnderItsNameOwnsNothingUntilItIsAssigned) {
  world_.Own(a_);
  ASSERT_TRUE(world_.Run(a_, world_.Append(list_, {"one"})).ok());
  world_.Kill(a_);
  ReplicaWorld::Replica& again = world_.Start("a");
  world_.Mend(again);
  const AnswerPtr answer = world_.Send(again, world_.Append(list_, {"two"}));
  Settle();
  EXPECT_FALSE(answer->has_value());
  world_.Own(again);
  Settle();
  ASSERT_TRUE(answer->has_value() && (*answer)->ok());
  EXPECT_THAT(world_.Texts(again, list_), ElementsAre("one", "two"));
}

TEST_F(ReplicasTest, AnOwnerThatCannotBeReachedForAMomentIsAskedAgain) {
  world_.Own(a_);
  world_.Cut(a_);
  const AnswerPtr answer = world_.Send(b_, world_.Append(list_, {"one"}));
  Settle();
  EXPECT_FALSE(answer->has_value());
  world_.Mend(a_);
  Settle();
  ASSERT_TRUE(answer->has_value());
  EXPECT_TRUE((*answer)->ok()) << (*answer)->status();
}

TEST_F(ReplicasTest, WhoeverIsNotTheOwnerSaysSoToTheOneThatForwards) {
  world_.Own(a_);
  std::optional<Answer> answer;
  b_.executor->ExecuteHanded(ToHanded(world_.Append(list_, {"one"})), absl::InfiniteFuture(),
                             [&](Answer a) { answer = std::move(a); });
  Settle();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(StatusReason(answer->status()), "NOT_OWNER");
  EXPECT_EQ(world_.forwards(), 0);
}

TEST_F(ReplicasTest, WithoutAnOwnerACommandIsGivenBackInTheEnd) {
  const AnswerPtr answer = world_.Send(a_, world_.Append(list_, {"one"}));
  Command hurried = world_.Append(list_, {"two"});
  hurried.deadline = ReplicaWorld::kNow + absl::Seconds(1);
  const AnswerPtr late = world_.Send(a_, std::move(hurried));
  Settle();
  EXPECT_FALSE(answer->has_value());
  a_.clock.Advance(absl::Seconds(2));
  Settle();
  ASSERT_TRUE(late->has_value());
  EXPECT_EQ((*late)->status().code(), absl::StatusCode::kDeadlineExceeded);
  Settle(absl::Seconds(10));
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ((*answer)->status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ReplicasTest, OnlySoManyCommandsWaitForAnOwner) {
  world_.queue_max = 5;
  ReplicaWorld::Replica& small = world_.Start("c");
  std::vector<AnswerPtr> answers;
  for (int i = 0; i < 7; ++i) {
    answers.push_back(world_.Send(small, world_.Append(list_, {"text"})));
    world_.scheduler.RunUntilIdle();
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i]->has_value(), i >= 5);
    if (i < 5) continue;
    EXPECT_EQ((*answers[i])->status().code(), absl::StatusCode::kResourceExhausted);
  }
  world_.Own(small);
  for (size_t i = 0; i < 5; ++i) EXPECT_TRUE(answers[i]->has_value() && (*answers[i])->ok());
}

TEST_F(ReplicasTest, TwoThatTakeThemselvesForAssignedEndTheirQuarrel) {
  world_.Own(a_);
  b_.executor->Assign({0, 1});
  std::vector<AnswerPtr> answers;
  for (int second = 0; second < 120; ++second) {
    answers.push_back(world_.Send(second % 2 == 0 ? a_ : b_, world_.Append(list_, {"text"})));
    Settle();
  }
  const size_t epochs = world_.Count(0, EntryKind::kEpoch);
  EXPECT_THAT(epochs, Le(20));
  for (int second = 0; second < 120; ++second) {
    answers.push_back(world_.Send(second % 2 == 0 ? a_ : b_, world_.Append(list_, {"text"})));
    Settle();
  }
  EXPECT_EQ(world_.Count(0, EntryKind::kEpoch), epochs);
  for (const AnswerPtr& answer : answers) {
    ASSERT_TRUE(answer->has_value());
    EXPECT_TRUE((*answer)->ok()) << (*answer)->status();
  }
  EXPECT_THAT(world_.Texts(a_, list_), SizeIs(240));
  EXPECT_THAT(world_.Texts(b_, list_), SizeIs(240));
}

TEST_F(ReplicasTest, WhoGaveUpAQuarrelTakesThePartitionWhenTheOtherIsGone) {
  world_.Own(a_);
  b_.executor->Assign({0, 1});
  for (int second = 0; second < 120; ++second) {
    const AnswerPtr answer = world_.Send(second % 2 == 0 ? a_ : b_, world_.Append(list_, {"text"}));
    Settle();
  }
  ReplicaWorld::Replica& winner = a_.executor->owned() > 0 ? a_ : b_;
  ReplicaWorld::Replica& loser = &winner == &a_ ? b_ : a_;
  world_.Kill(winner);
  const Answer answer = world_.Run(loser, world_.Append(list_, {"last"}));
  EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(world_.Head(0).owner, loser.name);
}

TEST_F(ReplicasTest, ALateEpochRecordOfOneThatIsGoneCostsOneBackOff) {
  world_.Own(a_);
  ASSERT_TRUE(world_.Run(a_, world_.Append(list_, {"one"})).ok());
  world_.log.BeginEpoch(0, "gone", [](absl::StatusOr<eventlog::FoldState>) {});
  world_.scheduler.RunUntilIdle();
  EXPECT_EQ(world_.Head(0).owner, "gone");
  const AnswerPtr answer = world_.Send(a_, world_.Append(list_, {"two"}));
  Settle(absl::Milliseconds(100));
  ASSERT_TRUE(answer->has_value());
  EXPECT_TRUE((*answer)->ok()) << (*answer)->status();
  EXPECT_EQ(world_.Head(0).owner, "a");
}

TEST_F(ReplicasTest, AnOwnerThatWritesNothingLearnsOfAnotherOne) {
  world_.Own(a_);
  world_.Assign(a_, {1});
  world_.Assign(b_, {0});
  Settle();
  EXPECT_EQ(a_.executor->owned(), 1);
  EXPECT_EQ(b_.executor->owned(), 1);
}

TEST_F(ReplicasTest, OneWhoseClockIsBehindBeginsNoEpochAndSaysWhy) {
  world_.Own(a_);
  ASSERT_TRUE(world_.Run(a_, world_.Append(list_, {"one"})).ok());
  Settle();
  b_.clock.Advance(-absl::Seconds(6));
  world_.Assign(a_, {});
  world_.Assign(b_, {0, 1});
  Settle();
  EXPECT_EQ(world_.Head(0).owner, "a");
  EXPECT_EQ(StatusReason(b_.executor->health()), "CLOCK_BEHIND");
  EXPECT_TRUE(world_.Run(b_, world_.Append(list_, {"two"})).ok());
  b_.clock.Advance(absl::Seconds(6));
  Settle(absl::Seconds(10));
  EXPECT_EQ(world_.Head(0).owner, "b");
  EXPECT_TRUE(b_.executor->health().ok());
}

// Found by the simulation: the owner may have decided it, and the answer was lost.
TEST_F(ReplicasTest, WhatAnOwnerMayHaveDecidedIsNotSaidToBeUntouched) {
  world_.Own(a_);
  world_.Cut(a_);
  Command command = world_.Append(list_, {"one"});
  command.deadline = ReplicaWorld::kNow + absl::Seconds(1);
  const AnswerPtr answer = world_.Send(b_, command);
  Settle(absl::Milliseconds(50));
  EXPECT_FALSE(answer->has_value());
  b_.clock.Advance(absl::Seconds(2));
  Settle();
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ((*answer)->status().code(), absl::StatusCode::kUnavailable);
}

// As before, but it was decided here, in an append whose outcome is unknown and behind which this
// replica may begin no epoch.
TEST_F(ReplicasTest, WhatStandsInAnAppendThatMayYetCountIsNotSaidToBeUntouched) {
  world_.Own(b_);
  ASSERT_TRUE(world_.Run(b_, world_.Append(list_, {"one"})).ok());
  world_.Own(a_);
  a_.clock.Advance(-absl::Seconds(10));
  world_.log.SetDiskDelay(absl::Milliseconds(10));
  world_.log.InjectFault(eventlog::MemoryFault::kLostAnswer);
  Command command = world_.Append(list_, {"two"});
  command.deadline = a_.clock.Now() + absl::Milliseconds(500);
  const AnswerPtr answer = world_.Send(a_, command);
  Settle(absl::Milliseconds(1));  // decided and sent
  a_.clock.Advance(absl::Seconds(1));
  Settle();
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ((*answer)->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(world_.Texts(b_, list_), ElementsAre("one", "two"));
}

// An epoch that cannot be had for the log's sake is no quarrel: whoever waits is told soon.
TEST_F(ReplicasTest, WhileTheLogIsOutOfReachCallersAreTold) {
  world_.Own(a_);
  world_.log.SetOutOfReach(true);
  const AnswerPtr here = world_.Send(a_, world_.Append(list_, {"one"}));
  const AnswerPtr there = world_.Send(b_, world_.Append(list_, {"two"}));
  Settle();
  for (const AnswerPtr& answer : {here, there}) {
    ASSERT_TRUE(answer->has_value());
    EXPECT_EQ((*answer)->status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(StatusReason((*answer)->status()), "LOG_OUT_OF_REACH");
  }
  world_.log.SetOutOfReach(false);
  Settle(absl::Seconds(10));
  EXPECT_TRUE(world_.Run(b_, world_.Append(list_, {"three"})).ok());
  EXPECT_THAT(world_.Texts(a_, list_), ElementsAre("three"));
}

// As while a region is upgraded: its replicas can write the later release, and may not yet.
TEST_F(ReplicasTest, WhatAnEarlierReleaseCannotReadIsWrittenOnlyWhenTheRegionSaysSo) {
  world_.Own(a_);
  Command later = world_.Append(list_, {"of a later release"});
  later.since = kEventRelease + 1;
  const Answer refused = world_.Run(a_, later);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatusReason(refused.status()), "WRITE_RELEASE");
  EXPECT_EQ(StatusReason(world_.Run(b_, later).status()), "WRITE_RELEASE");
  EXPECT_EQ(world_.Count(0, EntryKind::kRecord), 0);

  ReplicaWorld::Replica& raised = world_.Start("c", kEventRelease + 1);
  world_.Assign(a_, {});
  world_.Own(raised);
  EXPECT_TRUE(world_.Run(raised, later).ok());
  Settle();
  EXPECT_THAT(world_.Texts(a_, list_), ElementsAre("of a later release"));
}

TEST_F(ReplicasTest, PartitionsThatTheLogDoesNotHaveAreNotTaken) {
  world_.Assign(a_, {0, 1, 16});
  Settle();
  EXPECT_TRUE(world_.Run(a_, world_.Append(list_, {"one"})).ok());
  EXPECT_EQ(a_.executor->owned(), 2u);
}

TEST_F(ReplicasTest, ACommandIsHandedOverWhole) {
  Command command = world_.Append(list_, {"one", "two"});
  command.actor.set_role(access::v1::ROLE_NURSE);
  command.key_has_age = false;
  command.occurred_at = ReplicaWorld::kNow - absl::Nanoseconds(1);
  command.device_time = ReplicaWorld::kNow + absl::Seconds(3);
  command.expected_version = 0;
  command.correlation_id = world_.NewId();
  command.causation_id = world_.NewId();
  command.validate_only = true;
  const auto handed = FromHanded(ToHanded(command), {&testing::ListType()});
  ASSERT_TRUE(handed.ok()) << handed.status();
  EXPECT_EQ(ToHanded(*handed).SerializeAsString(), ToHanded(command).SerializeAsString());
  EXPECT_EQ(handed->type, command.type);
  EXPECT_EQ(handed->occurred_at, command.occurred_at);
  const auto events = handed->decide(testing::ListValue(), CommandContext());
  ASSERT_TRUE(events.ok());
  EXPECT_THAT(*events, SizeIs(2));
}

TEST_F(ReplicasTest, WhatIsHandedOverAndCannotBeReadIsRefusedByItsField) {
  const log::v1::HandedCommand good = ToHanded(world_.Append(list_, {"one"}));
  const auto refusal = [](const log::v1::HandedCommand& handed) {
    return FromHanded(handed, {&testing::ListType()}).status();
  };
  log::v1::HandedCommand bad = good;
  bad.set_stream_id("short");
  EXPECT_EQ(StatusField(refusal(bad)), "command.stream_id");
  bad = good;
  bad.set_canonical("no name");
  EXPECT_EQ(StatusField(refusal(bad)), "command.canonical");
  bad = good;
  bad.set_category("newer");
  EXPECT_EQ(refusal(bad).code(), absl::StatusCode::kUnimplemented);
  bad = good;
  bad.set_canonical(std::string("buurtlog.newer.v1.Request\0", 26));
  EXPECT_EQ(refusal(bad).code(), absl::StatusCode::kUnimplemented);
  bad = good;
  bad.set_canonical(good.canonical() + "\xff");
  EXPECT_EQ(refusal(bad).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace buurtlog::eventsourcing
