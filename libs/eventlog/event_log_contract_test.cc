// The contract of writing, and of a log that is closed and opened again.
#include "libs/eventlog/event_log_contract_test.h"

#include <gmock/gmock.h>

#include <map>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"

namespace buurtlog::eventlog {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

namespace {

MATCHER_P(HasCode, code, "") { return arg.code() == code; }

std::string Body(int number) { return absl::StrCat("body ", number); }

TEST_P(EventLogContractTest, ANewLogIsEmptyAndKnowsWhatItIs) {
  EXPECT_EQ(log().identity(), Identity());
  for (Partition partition = 0; partition < 4; ++partition) {
    EXPECT_EQ(log().Head(partition).value(), InitialFoldState(Identity(), partition));
    EXPECT_THAT(ReadAll(partition), IsEmpty());
  }
}

TEST_P(EventLogContractTest, APartitionThatIsNotThereIsRefused) {
  FoldState at = InitialFoldState(Identity(), 4);
  EXPECT_THAT(TryRead(4, at), HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(log().Head(4).status(), HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(log().Seek(4, 1).status(), HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Begin(4).status(), HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Append(4, 1, {}), HasCode(absl::StatusCode::kInvalidArgument));
}

TEST_P(EventLogContractTest, AnEpochTakesThePlaceOfAnEntryAndNamesItsOwner) {
  const FoldState state = Begin(2, "visits-0:7001").value();
  EXPECT_EQ(state.epoch, 1u);
  EXPECT_EQ(state.owner, "visits-0:7001");
  EXPECT_EQ(state.next, 2u);
  EXPECT_EQ(log().Head(2).value(), state);
  const std::vector<Seen> seen = ReadAll(2);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].kind, EntryKind::kEpoch);
  EXPECT_EQ(seen[0].sequence, 1u);
  EXPECT_EQ(seen[0].hash, state.head_hash);
}

TEST_P(EventLogContractTest, WhatIsAppendedIsReadInOrderByteForByte) {
  FoldState chain = Begin(1).value();
  const std::vector<std::string> first = Chained(1, chain, {"a", "b"});
  const std::vector<std::string> second = Chained(1, chain, {"", std::string("\0\xff", 2)});
  ASSERT_TRUE(Append(1, 1, first).ok());
  ASSERT_TRUE(Append(1, 1, second).ok());
  const std::vector<Seen> seen = ReadAll(1);
  ASSERT_EQ(seen.size(), 5u);
  const std::vector<std::string> sent = {first[0], first[1], second[0], second[1]};
  for (size_t i = 1; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i].bytes, sent[i - 1]);
    EXPECT_EQ(seen[i].sequence, i + 1);
    EXPECT_EQ(seen[i].hash, EntryHash(seen[i - 1].hash, seen[i].bytes));
  }
  EXPECT_EQ(seen.back().hash, chain.head_hash);
  EXPECT_EQ(log().Head(1).value(), chain);
}

TEST_P(EventLogContractTest, PartitionsKnowNothingOfEachOther) {
  FoldState zero = Begin(0, "zero").value();
  FoldState three = Begin(3, "three").value();
  ASSERT_TRUE(Append(3, 1, Chained(3, three, {"in three"})).ok());
  ASSERT_TRUE(Append(0, 1, Chained(0, zero, {"in zero"})).ok());
  EXPECT_THAT(Bodies(0), ElementsAre("in zero"));
  EXPECT_THAT(Bodies(1), IsEmpty());
  EXPECT_THAT(Bodies(3), ElementsAre("in three"));
  EXPECT_EQ(log().Head(3)->owner, "three");
}

TEST_P(EventLogContractTest, ALaterEpochFencesTheEarlierWriter) {
  FoldState earlier = Begin(0, "earlier").value();
  ASSERT_TRUE(Append(0, earlier.epoch, Chained(0, earlier, {"in time"})).ok());
  FoldState later = Begin(0, "later").value();
  EXPECT_EQ(later.epoch, 2u);
  EXPECT_EQ(later.next, 4u);
  EXPECT_THAT(Append(0, earlier.epoch, Chained(0, earlier, {"too late"})),
              HasCode(absl::StatusCode::kAborted));
  // Even when it has read on and knows the right place.
  FoldState informed = later;
  informed.epoch = earlier.epoch;
  EXPECT_THAT(Append(0, informed.epoch, Chained(0, informed, {"zombie"})),
              HasCode(absl::StatusCode::kAborted));
  ASSERT_TRUE(Append(0, later.epoch, Chained(0, later, {"on"})).ok());
  EXPECT_THAT(Bodies(0), ElementsAre("in time", "on"));
}

TEST_P(EventLogContractTest, AnAppendOfNothingSaysWhetherTheWriterIsStillTheOwner) {
  const FoldState earlier = Begin(0, "earlier").value();
  EXPECT_TRUE(Append(0, earlier.epoch, {}).ok());
  const FoldState later = Begin(0, "later").value();
  EXPECT_THAT(Append(0, earlier.epoch, {}), HasCode(absl::StatusCode::kAborted));
  EXPECT_TRUE(Append(0, later.epoch, {}).ok());
  EXPECT_EQ(log().Head(0)->next, later.next);
  EXPECT_THAT(Bodies(0), IsEmpty());
}

TEST_P(EventLogContractTest, AnOwnerNamesItselfInSoManyBytesAndNotInMore) {
  EXPECT_THAT(Begin(0, std::string(kOwnerBytesMax + 1, 'o')).status(),
              HasCode(absl::StatusCode::kInvalidArgument));
  const std::string longest(kOwnerBytesMax, 'o');
  const FoldState state = Begin(0, longest).value();
  EXPECT_EQ(state.epoch, 1u);
  EXPECT_EQ(state.owner, longest);
}

TEST_P(EventLogContractTest, AnEpochThatNobodyBeganIsAborted) {
  FoldState chain = InitialFoldState(Identity(), 0);
  EXPECT_THAT(Append(0, 0, Chained(0, chain, {"x"})), HasCode(absl::StatusCode::kAborted));
  chain = Begin(0).value();
  chain.epoch = 2;
  EXPECT_THAT(Append(0, 2, Chained(0, chain, {"x"})), HasCode(absl::StatusCode::kAborted));
  EXPECT_THAT(Bodies(0), IsEmpty());
}

TEST_P(EventLogContractTest, WhatDoesNotFollowTheHeadIsAborted) {
  const FoldState head = Begin(0).value();
  FoldState wrong = head;
  ++wrong.next;
  EXPECT_THAT(Append(0, 1, Chained(0, wrong, {"hole"})), HasCode(absl::StatusCode::kAborted));
  wrong = head;
  --wrong.next;
  EXPECT_THAT(Append(0, 1, Chained(0, wrong, {"again"})), HasCode(absl::StatusCode::kAborted));
  wrong = head;
  wrong.head_hash.bytes[7] ^= 1;
  EXPECT_THAT(Append(0, 1, Chained(0, wrong, {"hash"})), HasCode(absl::StatusCode::kAborted));
  wrong = head;
  EXPECT_THAT(Append(0, 1, Chained(1, wrong, {"partition"})), HasCode(absl::StatusCode::kAborted));
  wrong = head;
  wrong.epoch = 2;
  EXPECT_THAT(Append(0, 1, Chained(0, wrong, {"epoch"})), HasCode(absl::StatusCode::kAborted));
  EXPECT_EQ(log().Head(0).value(), head);
  EXPECT_THAT(Bodies(0), IsEmpty());
}

TEST_P(EventLogContractTest, TheSameCallTwiceCountsOnce) {
  FoldState chain = Begin(0).value();
  const std::vector<std::string> entries = Chained(0, chain, {"once"});
  ASSERT_TRUE(Append(0, 1, entries).ok());
  EXPECT_THAT(Append(0, 1, entries), HasCode(absl::StatusCode::kAborted));
  EXPECT_THAT(Bodies(0), ElementsAre("once"));
}

TEST_P(EventLogContractTest, ACallLandsWhollyOrNotAtAll) {
  const FoldState head = Begin(0).value();
  FoldState chain = head;
  std::vector<std::string> entries = Chained(0, chain, {"a", "b", "c"});
  ++chain.next;
  entries.push_back(Chained(0, chain, {"behind a hole"})[0]);
  EXPECT_THAT(Append(0, 1, entries), HasCode(absl::StatusCode::kAborted));
  EXPECT_EQ(log().Head(0).value(), head);
  EXPECT_THAT(Bodies(0), IsEmpty());
}

TEST_P(EventLogContractTest, CallsUnderWayLandInTheOrderTheyWereMade) {
  FoldState chain = Begin(0).value();
  std::vector<std::shared_ptr<Answer<absl::Status>>> answers;
  std::vector<std::string> bodies;
  for (int i = 0; i < 40; ++i) {
    answers.push_back(StartAppend(0, 1, Chained(0, chain, {Body(2 * i), Body(2 * i + 1)})));
    bodies.push_back(Body(2 * i));
    bodies.push_back(Body(2 * i + 1));
  }
  for (const auto& answer : answers) EXPECT_TRUE(Wait(answer).ok());
  EXPECT_EQ(Bodies(0), bodies);
}

TEST_P(EventLogContractTest, CallsBehindAFailedOneOfTheirChainAreAborted) {
  FoldState chain = Begin(0).value();
  const auto good = StartAppend(0, 1, Chained(0, chain, {"good"}));
  FoldState lost = chain;
  Chained(0, lost, {"never sent"});
  const auto first = StartAppend(0, 1, Chained(0, lost, {"behind a hole"}));
  const auto second = StartAppend(0, 1, Chained(0, lost, {"behind that"}));
  const auto third = StartAppend(0, 1, Chained(0, lost, {"and that"}));
  EXPECT_TRUE(Wait(good).ok());
  EXPECT_THAT(Wait(first), HasCode(absl::StatusCode::kAborted));
  EXPECT_THAT(Wait(second), HasCode(absl::StatusCode::kAborted));
  EXPECT_THAT(Wait(third), HasCode(absl::StatusCode::kAborted));
  EXPECT_THAT(Bodies(0), ElementsAre("good"));
  FoldState anew = Begin(0).value();
  EXPECT_TRUE(Append(0, anew.epoch, Chained(0, anew, {"anew"})).ok());
  EXPECT_THAT(Bodies(0), ElementsAre("good", "anew"));
}

TEST_P(EventLogContractTest, AnEntryOverTheLimitIsRefusedAndTheLargestFits) {
  const FoldState head = Begin(0).value();
  const size_t room = log().identity().record_bytes_max - kHeaderBytes;
  FoldState chain = head;
  EXPECT_THAT(Append(0, 1, Chained(0, chain, {"small", std::string(room + 1, 'x')})),
              HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(log().Head(0).value(), head);
  chain = head;
  EXPECT_TRUE(Append(0, 1, Chained(0, chain, {std::string(room, 'x')})).ok());
  EXPECT_EQ(log().Head(0).value(), chain);
}

TEST_P(EventLogContractTest, BytesThatAreNoRecordAreRefused) {
  const FoldState head = Begin(0).value();
  FoldState chain = head;
  std::string damaged = Chained(0, chain, {"body"})[0];
  damaged.back() ^= 1;
  EXPECT_THAT(Append(0, 1, {damaged}), HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Append(0, 1, {"not an entry"}), HasCode(absl::StatusCode::kInvalidArgument));
  EntryHeader epoch;
  epoch.kind = EntryKind::kEpoch;
  epoch.epoch = 2;
  EXPECT_THAT(Append(0, 1, {EncodeEntry(epoch, "")}), HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(log().Head(0).value(), head);
}

// Two owners take turns at random, each calling on what it knows; what was answered OK is what is
// read.
TEST_P(EventLogContractTest, WhatIsAnsweredOkIsWhatCounts) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  std::map<int, FoldState> chains = {{0, Begin(0, "owner 0").value()}};
  chains[1] = chains[0];
  struct Sent {
    std::string body;
    std::shared_ptr<Answer<absl::Status>> answer;
  };
  std::vector<Sent> sent;
  for (int i = 0; i < 150; ++i) {
    const int writer = static_cast<int>(random() % 2);
    FoldState& chain = chains[writer];
    switch (random() % 10) {
      case 0: chain = Begin(0, absl::StrCat("owner ", writer)).value(); break;
      case 1: Chained(0, chain, {"lost on the way"}); break;
      case 2:
        if (!sent.empty()) Wait(sent.back().answer).IgnoreError();
        break;
      default:
        sent.push_back({Body(i), StartAppend(0, chain.epoch, Chained(0, chain, {Body(i)}))});
        break;
    }
  }
  std::vector<std::string> counting;
  for (const Sent& one : sent) {
    const absl::Status status = Wait(one.answer);
    if (status.ok()) {
      counting.push_back(one.body);
    } else {
      EXPECT_THAT(status, HasCode(absl::StatusCode::kAborted));
    }
  }
  EXPECT_EQ(Bodies(0), counting);
}

TEST_P(EventLogReopenTest, ALogThatIsOpenedAgainIsTheSame) {
  FoldState chain = Begin(0, "before").value();
  ASSERT_TRUE(Append(0, 1, Chained(0, chain, {"a", "b"})).ok());
  ASSERT_TRUE(Begin(2, "two").ok());
  const std::vector<Seen> before = ReadAll(0);
  Reopen();
  EXPECT_EQ(log().identity(), Identity());
  const std::vector<Seen> after = ReadAll(0, InitialFoldState(Identity(), 0));
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < after.size(); ++i) EXPECT_EQ(after[i].bytes, before[i].bytes);
  FoldState next = Begin(0, "after").value();
  EXPECT_EQ(next.epoch, 2u);
  EXPECT_EQ(next.next, 5u);
  EXPECT_THAT(Append(0, 1, Chained(0, chain, {"zombie"})), HasCode(absl::StatusCode::kAborted));
  ASSERT_TRUE(Append(0, 2, Chained(0, next, {"c"})).ok());
  EXPECT_THAT(Bodies(0), ElementsAre("a", "b", "c"));
  EXPECT_EQ(Begin(2, "two again")->epoch, 2u);
}

}  // namespace
}  // namespace buurtlog::eventlog
