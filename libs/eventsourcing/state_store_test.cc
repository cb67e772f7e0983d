#include "libs/eventsourcing/state_store.h"

#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "libs/base/random.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::eventsourcing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint32_t kPartitions = 4;

template <typename State>
AggregateType Type(const std::string& category, uint32_t evolve_version = 1) {
  return {category, evolve_version, &State::default_instance(),
          &google::protobuf::Value::default_instance(), nullptr};
}

Uuid Id(uint8_t last) {
  Uuid id = *ParseUuid("01890000-0000-7000-8000-000000000000");
  id.bytes[15] = last;
  return id;
}

StateChange Change(eventlog::Sequence sequence, uint8_t stream, uint64_t version,
                   std::optional<std::string> state) {
  return {
      sequence, {"visit", Id(stream)}, version, std::move(state), {Id(sequence & 0xff), Id(200)}};
}

eventlog::FoldState Behind(eventlog::Sequence sequence) {
  eventlog::FoldState state;
  state.epoch = 1;
  state.next = sequence + 1;
  state.head_hash.bytes[0] = static_cast<uint8_t>(sequence);
  return state;
}

class StateStoreTest : public ::testing::Test {
 protected:
  StateStoreTest()
      : folder_(absl::StrCat(::testing::TempDir(), "state_store_",
                             NewUuid(absl::Now(), SystemRandom()).ToString())) {
    std::filesystem::create_directories(folder_);
    Open(visit_);
  }
  ~StateStoreTest() override {
    store_ = nullptr;
    std::filesystem::remove_all(folder_);
  }

  std::string path() const { return folder_ + "/state.db"; }

  void Open(const AggregateType& type, uint32_t partitions = kPartitions) {
    store_ = nullptr;
    auto store = StateStore::Open(path(), {&type, &roster_day_}, partitions, scheduler_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  const std::string folder_;
  const AggregateType visit_ = Type<google::protobuf::ListValue>("visit");
  const AggregateType roster_day_ = Type<google::protobuf::ListValue>("roster-day");
  SimulatedScheduler scheduler_{1};
  std::unique_ptr<StateStore> store_;
};

TEST_F(StateStoreTest, WhatIsAddedIsVisibleAtOnceAndStaysAfterTheFlush) {
  store_->Add(2, {Change(5, 1, 1, ""), Change(6, 1, 2, "two"), Change(7, 9, 3, "other")},
              Behind(7));
  for (bool flushed : {false, true}) {
    if (flushed) {
      ASSERT_TRUE(store_->Flush().ok());
    }
    EXPECT_EQ(store_->waiting(), flushed ? 0u : 3u);
    const StoredState state = *store_->Load(2, {"visit", Id(1)});
    EXPECT_EQ(state.version, 2u);
    EXPECT_EQ(state.state, "two");
    EXPECT_EQ(*store_->Find(2, {Id(6), Id(200)}), 6u);
    EXPECT_THAT(*store_->RecordsOf(2, {"visit", Id(1)}, 0, 100), ElementsAre(5, 6));
  }
}

TEST_F(StateStoreTest, EveryNameIsFoundHoweverManyCameAndInWhateverOrder) {
  constexpr int kNames = 20'000;
  std::vector<CommandName> names;
  std::vector<StateChange> changes;
  for (int i = 0; i < kNames; ++i) {
    // Keys come a little out of order, and some of a clock that is far ahead.
    const int64_t ahead = i % 100 == 0 ? 240'000 : (i * 7) % 50;
    const absl::Time made = absl::FromUnixMillis(1'760'000'000'000 + i + ahead);
    StateChange change;
    change.sequence = static_cast<eventlog::Sequence>(i) + 1;
    change.stream = {"visit", NewUuid(made, SystemRandom())};
    change.command = {NewUuid(made, SystemRandom()), NewUuid(made, SystemRandom())};
    names.push_back(change.command);
    changes.push_back(std::move(change));
  }
  store_->Add(1, changes, {});
  for (const bool reopened : {false, true}) {
    if (reopened) Open(visit_);
    for (int i = 0; i < kNames; ++i) {
      ASSERT_EQ(*store_->Find(1, names[i]), static_cast<eventlog::Sequence>(i) + 1) << i;
      const CommandName other_actor = {names[i].key, NewUuid(absl::Now(), SystemRandom())};
      ASSERT_EQ(*store_->Find(1, other_actor), std::nullopt) << i;
    }
    EXPECT_EQ(*store_->Find(2, names[0]), std::nullopt);
  }
}

TEST_F(StateStoreTest, PartitionsCategoriesAndActorsAreKeptApart) {
  store_->Add(2, {Change(5, 1, 1, "one")}, Behind(5));
  for (bool flushed : {false, true}) {
    if (flushed) {
      ASSERT_TRUE(store_->Flush().ok());
    }
    EXPECT_EQ(store_->Load(1, {"visit", Id(1)})->version, 0u);
    EXPECT_EQ(store_->Load(2, {"roster-day", Id(1)})->version, 0u);
    EXPECT_EQ(store_->Load(2, {"unknown", Id(1)})->version, 0u);
    EXPECT_FALSE(store_->Find(1, {Id(5), Id(200)})->has_value());
    EXPECT_FALSE(store_->Find(2, {Id(5), Id(201)})->has_value());
    EXPECT_THAT(*store_->RecordsOf(1, {"visit", Id(1)}, 0, 100), IsEmpty());
  }
}

TEST_F(StateStoreTest, TheCheckpointIsTheOneInTheFile) {
  EXPECT_FALSE(store_->Checkpoint(2)->has_value());
  store_->Add(2, {Change(5, 1, 1, "one")}, Behind(5));
  EXPECT_FALSE(store_->Checkpoint(2)->has_value());
  scheduler_.RunFor(absl::Seconds(1));
  EXPECT_EQ(**store_->Checkpoint(2), Behind(5));
  EXPECT_FALSE(store_->Checkpoint(3)->has_value());
}

TEST_F(StateStoreTest, ARefusalMovesNoStateAndIsNoRecordOfTheStream) {
  store_->Add(0, {Change(1, 1, 1, "one"), Change(2, 1, 1, std::nullopt)}, Behind(2));
  ASSERT_TRUE(store_->Flush().ok());
  EXPECT_EQ(store_->Load(0, {"visit", Id(1)})->state, "one");
  EXPECT_EQ(*store_->Find(0, {Id(2), Id(200)}), 2u);
  EXPECT_THAT(*store_->RecordsOf(0, {"visit", Id(1)}, 0, 100), ElementsAre(1));
}

TEST_F(StateStoreTest, RecordsOfAStreamComeFromFileAndMemoryTogether) {
  store_->Add(0, {Change(1, 1, 2, "a"), Change(2, 1, 4, "b")}, Behind(2));
  ASSERT_TRUE(store_->Flush().ok());
  store_->Add(0, {Change(3, 1, 5, "c"), Change(4, 1, 9, "d")}, Behind(4));
  EXPECT_THAT(*store_->RecordsOf(0, {"visit", Id(1)}, 0, 100), ElementsAre(1, 2, 3, 4));
  // Version 4 stands in the record that ends with it.
  EXPECT_THAT(*store_->RecordsOf(0, {"visit", Id(1)}, 3, 100), ElementsAre(2, 3, 4));
  EXPECT_THAT(*store_->RecordsOf(0, {"visit", Id(1)}, 4, 1), ElementsAre(3));
  EXPECT_THAT(*store_->RecordsOf(0, {"visit", Id(1)}, 9, 100), IsEmpty());
}

TEST_F(StateStoreTest, EverythingIsThereAfterReopening) {
  store_->Add(1, {Change(1, 1, 1, "one")}, Behind(1));
  Open(visit_);
  EXPECT_EQ(store_->discarded(), "");
  EXPECT_EQ(store_->Load(1, {"visit", Id(1)})->state, "one");
  EXPECT_EQ(**store_->Checkpoint(1), Behind(1));
}

TEST_F(StateStoreTest, DiscardEmptiesOnePartition) {
  store_->Add(1, {Change(1, 1, 1, "one")}, Behind(1));
  store_->Add(2, {Change(1, 1, 1, "two")}, Behind(1));
  ASSERT_TRUE(store_->Flush().ok());
  store_->Add(1, {Change(2, 1, 2, "waiting")}, Behind(2));
  ASSERT_TRUE(store_->Discard(1).ok());
  EXPECT_EQ(store_->waiting(), 0u);
  EXPECT_FALSE(store_->Checkpoint(1)->has_value());
  EXPECT_EQ(store_->Load(1, {"visit", Id(1)})->version, 0u);
  EXPECT_FALSE(store_->Find(1, {Id(1), Id(200)})->has_value());
  EXPECT_EQ(store_->Load(2, {"visit", Id(1)})->state, "two");
}

TEST_F(StateStoreTest, AStoreOfAnotherLogIsEmptiedAndSaysSo) {
  const Uuid log = NewUuid(absl::Now(), SystemRandom());
  EXPECT_EQ(store_->BelongTo(log), absl::OkStatus());
  store_->Add(0, {Change(5, 1, 1, "one")}, Behind(5));
  EXPECT_EQ(store_->Flush(), absl::OkStatus());
  EXPECT_EQ(store_->BelongTo(log), absl::OkStatus());
  EXPECT_EQ(store_->discarded(), "");
  EXPECT_TRUE(store_->Checkpoint(0)->has_value());
  EXPECT_EQ(store_->BelongTo(NewUuid(absl::Now(), SystemRandom())), absl::OkStatus());
  EXPECT_EQ(store_->discarded(), "it was folded from another log");
  EXPECT_FALSE(store_->Checkpoint(0)->has_value());
}

TEST_F(StateStoreTest, AnotherEvolveVersionDiscardsTheFileAndSaysSo) {
  store_->Add(1, {Change(1, 1, 1, "one")}, Behind(1));
  const AggregateType raised = Type<google::protobuf::ListValue>("visit", 2);
  Open(raised);
  EXPECT_NE(store_->discarded().find("another schema"), std::string::npos);
  EXPECT_FALSE(store_->Checkpoint(1)->has_value());
  EXPECT_EQ(store_->Load(1, {"visit", Id(1)})->version, 0u);
  Open(raised);
  EXPECT_EQ(store_->discarded(), "");
}

TEST_F(StateStoreTest, AnotherStateMessageDiscardsTheFile) {
  const AggregateType other = Type<google::protobuf::StringValue>("visit");
  Open(other);
  EXPECT_NE(store_->discarded(), "");
}

TEST_F(StateStoreTest, AnotherNumberOfPartitionsDiscardsTheFile) {
  Open(visit_, kPartitions * 2);
  EXPECT_NE(store_->discarded(), "");
}

TEST_F(StateStoreTest, ATornFileIsDiscardedAndSaysSo) {
  store_ = nullptr;
  std::filesystem::remove(path() + "-wal");
  std::ofstream(path(), std::ios::trunc) << std::string(8192, 'x');
  Open(visit_);
  EXPECT_NE(store_->discarded().find("damaged"), std::string::npos);
  store_->Add(1, {Change(1, 1, 1, "one")}, Behind(1));
  EXPECT_TRUE(store_->Flush().ok());
}

TEST_F(StateStoreTest, WhatCameWhileTheFileCouldNotBeWrittenIsWrittenOnceItCan) {
  store_->Add(1, {Change(1, 1, 1, "one")}, Behind(1));
  ASSERT_TRUE(store_->Flush().ok());
  auto other = sqlite::Connection::Open(path());
  ASSERT_TRUE(other.ok());
  ASSERT_TRUE(other->Execute("ALTER TABLE name RENAME TO gone").ok());
  store_->Add(1, {Change(2, 1, 2, "two")}, Behind(2));
  scheduler_.RunFor(absl::Milliseconds(100));
  store_->Add(1, {Change(3, 1, 3, "three")}, Behind(3));
  scheduler_.RunFor(absl::Milliseconds(100));
  EXPECT_EQ(store_->waiting(), 2u);
  ASSERT_TRUE(other->Execute("ALTER TABLE gone RENAME TO name").ok());
  scheduler_.RunFor(absl::Seconds(10));
  // Nobody adds anything more: a writer that found too much waiting here would wait for ever.
  EXPECT_EQ(store_->waiting(), 0u);
  EXPECT_EQ(**store_->Checkpoint(1), Behind(3));
}

TEST_F(StateStoreTest, ManyChangesOfManyPartitionsGoIntoTheFile) {
  for (uint64_t round = 1; round <= 50; ++round) {
    for (eventlog::Partition partition = 0; partition < kPartitions; ++partition) {
      store_->Add(partition, {Change(round, round % 7, round, absl::StrCat(round))}, Behind(round));
    }
    if (round % 10 == 0) scheduler_.RunFor(absl::Milliseconds(50));
  }
  Open(visit_);
  for (eventlog::Partition partition = 0; partition < kPartitions; ++partition) {
    EXPECT_EQ(store_->Load(partition, {"visit", Id(1)})->state, "50");
    EXPECT_EQ(store_->Load(partition, {"visit", Id(6)})->state, "48");
    EXPECT_THAT(*store_->RecordsOf(partition, {"visit", Id(3)}, 20, 3), ElementsAre(24, 31, 38));
  }
}

}  // namespace
}  // namespace buurtlog::eventsourcing
