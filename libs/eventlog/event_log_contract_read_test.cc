// The contract of reading: limits, checkpoints, places to read from, and being told of what is new.
#include <gmock/gmock.h>

#include <set>
#include <utility>

#include "libs/eventlog/event_log_contract_test.h"

namespace buurtlog::eventlog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

MATCHER_P(HasCode, code, "") { return arg.code() == code; }

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

TEST_P(EventLogContractTest, EntriesAreReadByTheirPlacesAndNoOthers) {
  FoldState chain = Begin(0).value();
  ASSERT_TRUE(Append(0, 1, Chained(0, chain, {"a", "b", "c", "d"})).ok());
  const std::vector<Seen> all = ReadAll(0);
  std::vector<std::string> bodies;
  const auto keep = [&](const EntryView& entry) {
    EXPECT_EQ(std::string(entry.bytes), all[entry.header.sequence - 1].bytes);
    bodies.emplace_back(entry.body);
    return absl::OkStatus();
  };
  ASSERT_TRUE(log().ReadEntries(0, {2, 3, 5}, {}, keep).ok());
  EXPECT_THAT(bodies, ElementsAre("a", "b", "d"));
  bodies.clear();
  ASSERT_TRUE(log().ReadEntries(0, {}, {}, keep).ok());
  EXPECT_THAT(bodies, IsEmpty());
  const auto stop = [](const EntryView&) { return absl::CancelledError("enough"); };
  EXPECT_THAT(log().ReadEntries(0, {2}, {}, stop), HasCode(absl::StatusCode::kCancelled));
  // A place that there is not.
  const absl::Status missing = log().ReadEntries(0, {2, 6}, {}, keep);
  EXPECT_THAT(missing, HasCode(absl::StatusCode::kDataLoss));
  EXPECT_THAT(std::string(missing.message()), HasSubstr("partition 0, sequence 6"));
  EXPECT_THAT(log().ReadEntries(1, {1}, {}, keep), HasCode(absl::StatusCode::kDataLoss));
  EXPECT_THAT(log().ReadEntries(0, {0}, {}, keep), HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(log().ReadEntries(9'999, {1}, {}, keep), HasCode(absl::StatusCode::kInvalidArgument));
}

TEST_P(EventLogContractTest, EntriesReadByTheirPlacesKeepToTheLimits) {
  FoldState chain = Begin(0).value();
  ASSERT_TRUE(Append(0, 1, Chained(0, chain, std::vector<std::string>(5, "12345678"))).ok());
  const auto visited = [this](const ReadLimits& limits) {
    int count = 0;
    EXPECT_TRUE(log()
                    .ReadEntries(0, {2, 3, 5, 6}, limits,
                                 [&](const EntryView&) {
                                   ++count;
                                   return absl::OkStatus();
                                 })
                    .ok());
    return count;
  };
  EXPECT_EQ(visited({.entries_max = 3}), 3);
  EXPECT_EQ(visited({.bytes_max = (kHeaderBytes + 8) * 5 / 2}), 2);
  EXPECT_EQ(visited({.bytes_max = 1}), 1);
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

}  // namespace
}  // namespace buurtlog::eventlog
