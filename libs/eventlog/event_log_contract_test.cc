#include "libs/eventlog/event_log_contract_test.h"

#include <gmock/gmock.h>

#include <map>
#include <random>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace buurtlog::eventlog {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace {

// How long an answer of an engine with threads may take before the test fails.
constexpr absl::Duration kWaitMax = absl::Seconds(20);
constexpr uint32_t kRecordBytesMaxOfTest = 4096;

std::string Body(int number) { return absl::StrCat("body ", number); }

}  // namespace

LogIdentity EventLogContractTest::Identity() {
  LogIdentity identity;
  identity.log_id = ParseUuid("018bcfe5-687b-7abc-8def-0123456789ab").value();
  identity.service = "visits";
  identity.partitions = 4;
  identity.record_bytes_max = kRecordBytesMaxOfTest;
  identity.synthetic = true;
  return identity;
}

EventLogContractTest::EventLogContractTest() : engine_(GetParam().make(Identity())) {}

bool EventLogContractTest::WaitUntil(absl::FunctionRef<bool()> done) {
  if (SimulatedScheduler* const simulation = engine_->simulation(); simulation != nullptr) {
    return simulation->RunUntil([&] {
      absl::MutexLock lock(&mutex_);
      return done();
    });
  }
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(
      absl::Condition(
          +[](absl::FunctionRef<bool()>* ready) { return (*ready)(); }, &done),
      kWaitMax);
}

absl::StatusOr<FoldState> EventLogContractTest::Begin(Partition partition,
                                                      const std::string& owner) {
  const auto answer = std::make_shared<Answer<absl::StatusOr<FoldState>>>();
  log().BeginEpoch(partition, owner, [this, answer](absl::StatusOr<FoldState> state) {
    absl::MutexLock lock(&mutex_);
    EXPECT_FALSE(answer->arrived);
    answer->arrived = true;
    answer->value = std::move(state);
  });
  if (!WaitUntil([&] { return answer->arrived; })) return absl::DeadlineExceededError("no answer");
  absl::MutexLock lock(&mutex_);
  return answer->value;
}

std::vector<std::string> EventLogContractTest::Chained(Partition partition, FoldState& chain,
                                                       const std::vector<std::string>& bodies) {
  std::vector<std::string> entries;
  for (const std::string& body : bodies) {
    EntryHeader header;
    header.partition = partition;
    header.epoch = chain.epoch;
    header.sequence = chain.next;
    header.previous_hash = chain.head_hash;
    entries.push_back(EncodeEntry(header, body));
    chain.head_hash = EntryHash(chain.head_hash, entries.back());
    ++chain.next;
  }
  return entries;
}

std::shared_ptr<EventLogContractTest::Answer<absl::Status>> EventLogContractTest::StartAppend(
    Partition partition, Epoch epoch, std::vector<std::string> entries) {
  auto answer = std::make_shared<Answer<absl::Status>>();
  log().Append(partition, epoch, std::move(entries), [this, answer](absl::Status status) {
    absl::MutexLock lock(&mutex_);
    EXPECT_FALSE(answer->arrived);
    answer->arrived = true;
    answer->value = std::move(status);
  });
  return answer;
}

absl::Status EventLogContractTest::Wait(const std::shared_ptr<Answer<absl::Status>>& answer) {
  if (!WaitUntil([&] { return answer->arrived; })) return absl::DeadlineExceededError("no answer");
  absl::MutexLock lock(&mutex_);
  return answer->value;
}

absl::Status EventLogContractTest::Append(Partition partition, Epoch epoch,
                                          std::vector<std::string> entries) {
  return Wait(StartAppend(partition, epoch, std::move(entries)));
}

std::vector<EventLogContractTest::Seen> EventLogContractTest::ReadAll(Partition partition,
                                                                      FoldState at) {
  std::vector<Seen> seen;
  Sequence before = 0;
  do {
    before = at.next;
    const absl::Status status = log().Read(partition, at, {}, [&](const EntryView& entry) {
      seen.push_back({entry.header.kind, entry.header.sequence, std::string(entry.bytes),
                      std::string(entry.body), entry.hash});
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
  } while (at.next > before);
  EXPECT_EQ(at, log().Head(partition).value());
  return seen;
}

std::vector<EventLogContractTest::Seen> EventLogContractTest::ReadAll(Partition partition) {
  return ReadAll(partition, InitialFoldState(log().identity(), partition));
}

std::vector<std::string> EventLogContractTest::Bodies(Partition partition) {
  std::vector<std::string> bodies;
  for (const Seen& seen : ReadAll(partition)) {
    if (seen.kind == EntryKind::kRecord) bodies.push_back(seen.body);
  }
  return bodies;
}

absl::Status EventLogContractTest::TryRead(Partition partition, FoldState at) {
  return log().Read(partition, at, {}, [](const EntryView&) { return absl::OkStatus(); });
}

namespace {

MATCHER_P(HasCode, code, "") { return arg.code() == code; }

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
  const size_t room = kRecordBytesMaxOfTest - kHeaderBytes;
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

TEST_P(EventLogContractTest, AReadKeepsToItsLimitsAndGoesOnWhereItEnded) {
  FoldState chain = Begin(0).value();
  ASSERT_TRUE(Append(0, 1, Chained(0, chain, std::vector<std::string>(9, "12345678"))).ok());
  FoldState at = InitialFoldState(Identity(), 0);
  int visited = 0;
  const auto count = [&](const EntryView&) {
    ++visited;
    return absl::OkStatus();
  };
  ReadLimits limits;
  limits.entries_max = 4;
  ASSERT_TRUE(log().Read(0, at, limits, count).ok());
  EXPECT_EQ(visited, 4);
  EXPECT_EQ(at.next, 5u);
  // One and a half entries fit, so one comes; and one comes however little fits.
  limits.bytes_max = (kHeaderBytes + 8) * 3 / 2;
  ASSERT_TRUE(log().Read(0, at, limits, count).ok());
  EXPECT_EQ(visited, 5);
  limits.bytes_max = 1;
  ASSERT_TRUE(log().Read(0, at, limits, count).ok());
  EXPECT_EQ(visited, 6);
  EXPECT_EQ(ReadAll(0, at).size(), 4u);
}

TEST_P(EventLogContractTest, AnErrorOfTheVisitorEndsTheReadBehindTheLastGoodEntry) {
  FoldState chain = Begin(0).value();
  ASSERT_TRUE(Append(0, 1, Chained(0, chain, {"a", "b", "c"})).ok());
  FoldState at = InitialFoldState(Identity(), 0);
  const absl::Status status = log().Read(0, at, {}, [](const EntryView& entry) {
    return entry.body == "b" ? absl::CancelledError("enough") : absl::OkStatus();
  });
  EXPECT_THAT(status, HasCode(absl::StatusCode::kCancelled));
  EXPECT_EQ(at.next, 3u);
  const std::vector<Seen> rest = ReadAll(0, at);
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(rest[0].body, "b");
}

TEST_P(EventLogContractTest, AReaderResumesFromItsCheckpoint) {
  FoldState chain = Begin(0).value();
  ASSERT_TRUE(Append(0, 1, Chained(0, chain, {"a"})).ok());
  FoldState at = ParseFoldState(SerializeFoldState(chain)).value();
  at.owner = chain.owner;
  EXPECT_THAT(ReadAll(0, at), IsEmpty());
  ASSERT_TRUE(Append(0, 1, Chained(0, chain, {"b"})).ok());
  const std::vector<Seen> seen = ReadAll(0, at);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].body, "b");
}

TEST_P(EventLogContractTest, AReaderWithAnotherHashAtItsPlaceIsToldOfTheLoss) {
  FoldState chain = Begin(2).value();
  FoldState middle = chain;
  ASSERT_TRUE(Append(2, 1, Chained(2, chain, {"a", "b"})).ok());
  FoldState initial = InitialFoldState(Identity(), 2);
  for (FoldState at : {initial, middle, chain}) {
    at.head_hash.bytes[31] ^= 1;
    const absl::Status status = TryRead(2, at);
    EXPECT_THAT(status, HasCode(absl::StatusCode::kDataLoss));
    EXPECT_THAT(std::string(status.message()), HasSubstr("partition 2, sequence "));
  }
}

TEST_P(EventLogContractTest, AReaderBeyondTheEndIsToldOfTheLoss) {
  FoldState chain = Begin(2).value();
  Chained(2, chain, {"never sent"});
  const absl::Status status = TryRead(2, chain);
  EXPECT_THAT(status, HasCode(absl::StatusCode::kDataLoss));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 2, sequence 2"));
  FoldState other = InitialFoldState(Identity(), 1);
  ++other.next;
  EXPECT_THAT(TryRead(1, other), HasCode(absl::StatusCode::kDataLoss));
}

TEST_P(EventLogContractTest, SeekFindsAPlaceToReadFrom) {
  FoldState chain = Begin(0).value();
  ASSERT_TRUE(Append(0, 1, Chained(0, chain, {"a", "b"})).ok());
  ASSERT_TRUE(Begin(0, "next").ok());
  const std::vector<Seen> all = ReadAll(0);
  ASSERT_EQ(all.size(), 4u);
  for (Sequence from = 1; from <= 4; ++from) {
    FoldState at = log().Seek(0, from).value();
    EXPECT_EQ(at.next, from);
    std::vector<Sequence> sequences;
    ASSERT_TRUE(log()
                    .Read(0, at, {},
                          [&](const EntryView& entry) {
                            EXPECT_EQ(entry.hash, all[entry.header.sequence - 1].hash);
                            sequences.push_back(entry.header.sequence);
                            return absl::OkStatus();
                          })
                    .ok());
    EXPECT_EQ(sequences.size(), 5 - from);
    EXPECT_EQ(at.head_hash, log().Head(0)->head_hash);
    EXPECT_EQ(at.epoch, 2u);
  }
  EXPECT_THAT(log().Seek(0, 5).status(), HasCode(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(log().Seek(1, 1).status(), HasCode(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(log().Seek(0, UINT64_MAX).status(), HasCode(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(log().Seek(0, 0).status(), HasCode(absl::StatusCode::kInvalidArgument));
}

TEST_P(EventLogContractTest, AWatcherHearsOfEveryPartitionThatGrowsUntilItEnds) {
  std::multiset<Partition> heard;
  std::multiset<Partition> heard_by_other;
  const auto listen = [this](std::multiset<Partition>& to) {
    return log().Watch([this, &to](Partition partition) {
      absl::MutexLock lock(&mutex_);
      to.insert(partition);
    });
  };
  std::unique_ptr<Subscription> subscription = listen(heard);
  const std::unique_ptr<Subscription> other = listen(heard_by_other);
  FoldState chain = Begin(3).value();
  EXPECT_TRUE(WaitUntil([&] { return heard.count(3) > 0 && heard_by_other.count(3) > 0; }));
  {
    absl::MutexLock lock(&mutex_);
    heard.clear();
    heard_by_other.clear();
  }
  ASSERT_TRUE(Append(3, 1, Chained(3, chain, {"a"})).ok());
  EXPECT_TRUE(WaitUntil([&] { return heard.count(3) > 0 && heard_by_other.count(3) > 0; }));

  subscription.reset();
  {
    absl::MutexLock lock(&mutex_);
    heard.clear();
    heard_by_other.clear();
  }
  ASSERT_TRUE(Append(3, 1, Chained(3, chain, {"b"})).ok());
  EXPECT_TRUE(WaitUntil([&] { return heard_by_other.count(3) > 0; }));
  absl::MutexLock lock(&mutex_);
  EXPECT_THAT(heard, IsEmpty());
  EXPECT_EQ(heard_by_other.count(0), 0u);
}

TEST_P(EventLogContractTest, AWatcherMayReadAndEndItsOwnWatch) {
  std::unique_ptr<Subscription> subscription;
  bool ended = false;
  subscription = log().Watch([&](Partition partition) {
    FoldState at = InitialFoldState(Identity(), partition);
    EXPECT_TRUE(
        log().Read(partition, at, {}, [](const EntryView&) { return absl::OkStatus(); }).ok());
    EXPECT_GT(at.next, 1u);
    absl::MutexLock lock(&mutex_);
    ended = true;
  });
  ASSERT_TRUE(Begin(0).ok());
  EXPECT_TRUE(WaitUntil([&] { return ended; }));
  subscription.reset();
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

TEST_P(EventLogContractTest, ALogThatIsOpenedAgainIsTheSame) {
  FoldState chain = Begin(0, "before").value();
  ASSERT_TRUE(Append(0, 1, Chained(0, chain, {"a", "b"})).ok());
  ASSERT_TRUE(Begin(2, "two").ok());
  const std::vector<Seen> before = ReadAll(0);
  if (!engine_->Reopen()) GTEST_SKIP() << "this engine keeps nothing";
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
