#include "libs/eventlog/fold.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "buurtlog/log/v1/record.pb.h"

namespace buurtlog::eventlog {
namespace {

constexpr Partition kPartition = 5;

LogIdentity Identity() {
  LogIdentity identity;
  identity.log_id.bytes.fill(9);
  identity.service = "visits";
  return identity;
}

FoldState Initial() { return InitialFoldState(Identity(), kPartition); }

std::string EpochEntry(Epoch epoch, const std::string& owner) {
  log::v1::EpochRecord body;
  body.set_owner(owner);
  EntryHeader header;
  header.kind = EntryKind::kEpoch;
  header.partition = kPartition;
  header.epoch = epoch;
  return EncodeEntry(header, body.SerializeAsString());
}

// A record that counts at `state`.
std::string RecordEntry(const FoldState& state, const std::string& body) {
  EntryHeader header;
  header.partition = kPartition;
  header.epoch = state.epoch;
  header.sequence = state.next;
  header.previous_hash = state.head_hash;
  return EncodeEntry(header, body);
}

Verdict VerdictOf(FoldState& state, const std::string& bytes) {
  return Fold(state, kPartition, bytes).value().verdict;
}

// A partition with one owner and no record yet.
FoldState Owned(const std::string& owner = "a") {
  FoldState state = Initial();
  EXPECT_EQ(VerdictOf(state, EpochEntry(1, owner)), Verdict::kCounts);
  return state;
}

TEST(FoldTest, AnEpochRecordTakesAPlaceAndNamesTheOwner) {
  FoldState state = Initial();
  const std::string sent = EpochEntry(1, "first");
  const FoldResult result = Fold(state, kPartition, sent).value();
  EXPECT_EQ(result.verdict, Verdict::kCounts);
  EXPECT_EQ(result.entry.header.sequence, 1u);
  EXPECT_EQ(result.entry.header.previous_hash, InitialHash(Identity(), kPartition));
  EXPECT_EQ(state.epoch, 1u);
  EXPECT_EQ(state.owner, "first");
  EXPECT_EQ(state.next, 2u);
  EXPECT_EQ(state.head_hash, result.entry.hash);
}

TEST(FoldTest, TheCanonicalFormFoldsToTheSame) {
  FoldState state = Initial();
  const std::string sent = EpochEntry(1, "a");
  const FoldResult result = Fold(state, kPartition, sent).value();
  FoldState again = Initial();
  const FoldResult canonical = Fold(again, kPartition, result.filled).value();
  EXPECT_EQ(canonical.verdict, Verdict::kCounts);
  EXPECT_TRUE(canonical.filled.empty());
  EXPECT_EQ(canonical.entry.bytes, result.entry.bytes);
  EXPECT_EQ(again, state);
}

TEST(FoldTest, TheResultMayBeMoved) {
  FoldState state = Initial();
  const std::string sent = EpochEntry(1, "a");
  FoldResult result = Fold(state, kPartition, sent).value();
  const FoldResult moved = std::move(result);
  EXPECT_EQ(moved.entry.bytes.data(), moved.filled.data());
  EXPECT_EQ(ParseEntry(moved.entry.bytes).value().body, moved.entry.body);
}

TEST(FoldTest, OnlyTheNextEpochCounts) {
  FoldState state = Owned();
  const FoldState before = state;
  for (Epoch epoch : {Epoch{0}, Epoch{1}, Epoch{3}, UINT64_MAX}) {
    EXPECT_EQ(VerdictOf(state, EpochEntry(epoch, "b")), Verdict::kVoid);
  }
  EXPECT_EQ(state, before);
  EXPECT_EQ(VerdictOf(state, EpochEntry(2, "b")), Verdict::kCounts);
  EXPECT_EQ(state.owner, "b");
}

TEST(FoldTest, ARecordCountsOnceAndAtItsPlaceOnly) {
  FoldState state = Owned();
  const std::string first = RecordEntry(state, "first");
  const std::string rival = RecordEntry(state, "rival");
  EXPECT_EQ(VerdictOf(state, first), Verdict::kCounts);
  EXPECT_EQ(VerdictOf(state, first), Verdict::kVoid);
  EXPECT_EQ(VerdictOf(state, rival), Verdict::kVoid);
  FoldState ahead = state;
  ++ahead.next;
  EXPECT_EQ(VerdictOf(state, RecordEntry(ahead, "a hole")), Verdict::kVoid);
  ahead = state;
  ahead.head_hash.bytes[0] ^= 1;
  EXPECT_EQ(VerdictOf(state, RecordEntry(ahead, "another chain")), Verdict::kVoid);
}

TEST(FoldTest, AnEarlierOwnerIsFenced) {
  FoldState state = Owned();
  const std::string late = RecordEntry(state, "late");
  EXPECT_EQ(VerdictOf(state, EpochEntry(2, "b")), Verdict::kCounts);
  EXPECT_EQ(VerdictOf(state, late), Verdict::kVoid);
  FoldState zombie = state;
  zombie.epoch = 1;
  EXPECT_EQ(VerdictOf(state, RecordEntry(zombie, "zombie")), Verdict::kVoid);
}

TEST(FoldTest, NobodyWritesBeforeTheFirstEpoch) {
  FoldState state = Initial();
  EXPECT_EQ(VerdictOf(state, RecordEntry(state, "epoch 0")), Verdict::kVoid);
}

TEST(FoldTest, ABarrierTakesNoPlace) {
  FoldState state = Owned();
  const FoldState before = state;
  EntryHeader header;
  header.kind = EntryKind::kBarrier;
  header.partition = kPartition;
  header.epoch = 77;
  EXPECT_EQ(VerdictOf(state, EncodeEntry(header, "")), Verdict::kBarrier);
  EXPECT_EQ(state, before);
}

TEST(FoldTest, AnEntryOfAnotherPartitionIsRefused) {
  FoldState state = Initial();
  EXPECT_EQ(Fold(state, kPartition + 1, EpochEntry(1, "a")).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// An epoch record whose writer knew `sequence` with `hash`.
std::string EpochThatKnows(Epoch epoch, Sequence sequence, const Hash& hash) {
  log::v1::EpochRecord body;
  body.set_known_sequence(sequence);
  body.set_known_hash(hash.ToBytes());
  EntryHeader header;
  header.kind = EntryKind::kEpoch;
  header.partition = kPartition;
  header.epoch = epoch;
  return EncodeEntry(header, body.SerializeAsString());
}

TEST(FoldTest, AnEpochRecordThatKnewMoreThanThereIsShowsTheLoss) {
  FoldState state = Owned();
  const FoldState before = state;
  Hash other = state.head_hash;
  other.bytes[3] ^= 1;
  EXPECT_EQ(Fold(state, kPartition, EpochThatKnows(2, 2, other)).status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(Fold(state, kPartition, EpochThatKnows(2, 1, other)).status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(state, before);
  EXPECT_EQ(VerdictOf(state, EpochThatKnows(2, 1, before.head_hash)), Verdict::kCounts);
}

TEST(FoldTest, TheCheckpointIsReadBackWithoutOwner) {
  FoldState state = Owned("someone");
  FoldState read = ParseFoldState(SerializeFoldState(state)).value();
  EXPECT_EQ(read.owner, "");
  read.owner = state.owner;
  EXPECT_EQ(read, state);
  EXPECT_EQ(ParseFoldState("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseFoldState("\xff\xff").status().code(), absl::StatusCode::kInvalidArgument);
}

// Folds what lands, and gives the canonical bytes of what counts.
struct Folded {
  FoldState state = Initial();
  std::vector<std::string> counting;

  void Land(const std::string& bytes) {
    const absl::StatusOr<FoldResult> result = Fold(state, kPartition, bytes);
    ASSERT_TRUE(result.ok()) << result.status();
    if (result->verdict == Verdict::kCounts) counting.emplace_back(result->entry.bytes);
  }
};

// Two owners who each send on from what they know; entries land late, doubled, or not at all.
std::vector<std::string> RandomLandings(std::mt19937_64& random) {
  Folded log;
  std::vector<FoldState> known(2, log.state);
  std::vector<std::string> landed;
  std::vector<std::string> late;
  const auto land = [&](const std::string& entry) {
    landed.push_back(entry);
    log.Land(entry);
  };
  for (int step = 0; step < 60; ++step) {
    FoldState& writer = known[random() % 2];
    std::string entry;
    switch (random() % 6) {
      case 0: writer = log.state; continue;  // reads to the end
      case 1: entry = EpochEntry(writer.epoch + 1, "owner"); break;
      default: entry = RecordEntry(writer, std::to_string(step)); break;
    }
    // Speculates, right or wrong, that what it sent will count.
    Fold(writer, kPartition, entry).status().IgnoreError();
    const uint64_t fate = random() % 8;
    if (fate == 0) continue;
    if (fate == 1) {
      late.push_back(entry);
      continue;
    }
    land(entry);
    if (fate == 2) late.push_back(entry);
    if (!late.empty() && random() % 4 == 0) {
      land(late[random() % late.size()]);
    }
  }
  return landed;
}

class FoldPropertyTest : public ::testing::Test {
 protected:
  const uint64_t seed_ = std::random_device()();
  std::mt19937_64 random_{seed_};
};

TEST_F(FoldPropertyTest, ReadersOfWhatLandedAndOfWhatCountsAgree) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  for (int run = 0; run < 100; ++run) {
    const std::vector<std::string> landed = RandomLandings(random_);
    Folded sent;
    for (const std::string& entry : landed) sent.Land(entry);
    Folded canonical;
    for (const std::string& entry : sent.counting) canonical.Land(entry);
    ASSERT_EQ(canonical.state, sent.state);
    ASSERT_EQ(canonical.counting, sent.counting);
    ASSERT_EQ(sent.state.next, sent.counting.size() + 1);
  }
}

TEST_F(FoldPropertyTest, WhatLandsOnceMoreLaterChangesNothing) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  for (int run = 0; run < 100; ++run) {
    std::vector<std::string> landed = RandomLandings(random_);
    Folded once;
    for (const std::string& entry : landed) once.Land(entry);
    // Everything that counted may land again at any later place, in any order.
    Folded doubled;
    std::vector<std::string> again;
    for (const std::string& entry : landed) {
      const size_t counting = doubled.counting.size();
      doubled.Land(entry);
      if (doubled.counting.size() > counting) again.push_back(entry);
      if (!again.empty()) doubled.Land(again[random_() % again.size()]);
    }
    std::shuffle(again.begin(), again.end(), random_);
    for (const std::string& entry : again) doubled.Land(entry);
    ASSERT_EQ(doubled.counting, once.counting);
    ASSERT_EQ(doubled.state, once.state);
  }
}

TEST_F(FoldPropertyTest, ADamagedEntryNeverCounts) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  FoldState state = Owned();
  const std::vector<std::string> good = {RecordEntry(state, "a body of some length"),
                                         EpochEntry(2, "next")};
  for (int run = 0; run < 20000; ++run) {
    std::string bytes = good[random_() % 2];
    const std::string before = bytes;
    for (uint64_t changes = 1 + random_() % 4; changes > 0; --changes) {
      const size_t place = random_() % (bytes.size() + 1);
      switch (random_() % 4) {
        case 0: bytes.insert(place, 1, static_cast<char>(random_())); break;
        case 1: bytes.resize(place); break;
        default: bytes[place % bytes.size()] ^= static_cast<char>(1 << random_() % 8); break;
      }
      if (bytes.empty()) break;
    }
    if (bytes == before) continue;
    FoldState copy = state;
    const absl::StatusOr<FoldResult> result = Fold(copy, kPartition, bytes);
    ASSERT_FALSE(result.ok() && result->verdict == Verdict::kCounts);
    ASSERT_EQ(copy, state);
  }
}

TEST(FoldTest, ABodyThatIsNoEpochRecordIsDataLoss) {
  FoldState state = Owned();
  EntryHeader header;
  header.kind = EntryKind::kEpoch;
  header.partition = kPartition;
  header.epoch = 2;
  EXPECT_EQ(Fold(state, kPartition, EncodeEntry(header, "\xff\xff\xff")).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace buurtlog::eventlog
