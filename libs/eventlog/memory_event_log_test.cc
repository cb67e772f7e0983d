#include "libs/eventlog/memory_event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "libs/eventlog/event_log_contract_test.h"

namespace buurtlog::eventlog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SimulatedMemoryEngine final : public Engine {
 public:
  explicit SimulatedMemoryEngine(const LogIdentity& identity) : log_(identity, scheduler_) {}
  EventLog& log() override { return log_; }
  SimulatedScheduler* simulation() override { return &scheduler_; }

 private:
  SimulatedScheduler scheduler_{1};
  MemoryEventLog log_;
};

class ThreadedMemoryEngine final : public Engine {
 public:
  explicit ThreadedMemoryEngine(const LogIdentity& identity) : log_(identity, *scheduler_) {}
  EventLog& log() override { return log_; }
  SimulatedScheduler* simulation() override { return nullptr; }

 private:
  const std::unique_ptr<Scheduler> scheduler_ = NewThreadPoolScheduler(2);
  MemoryEventLog log_;
};

template <typename T>
std::unique_ptr<Engine> Make(const LogIdentity& identity) {
  return std::make_unique<T>(identity);
}

INSTANTIATE_TEST_SUITE_P(Memory, EventLogContractTest,
                         ::testing::Values(EngineFactory{"Simulated", &Make<SimulatedMemoryEngine>},
                                           EngineFactory{"Threads", &Make<ThreadedMemoryEngine>}),
                         EngineName);

class MemoryEventLogTest : public ::testing::Test {
 protected:
  static LogIdentity Identity() {
    LogIdentity identity;
    identity.log_id.bytes.fill(1);
    identity.service = "visits";
    identity.partitions = 2;
    return identity;
  }

  FoldState Begin() {
    FoldState begun;
    log_.BeginEpoch(0, "owner",
                    [&](absl::StatusOr<FoldState> state) { begun = *std::move(state); });
    scheduler_.RunUntilIdle();
    return begun;
  }

  // Appends records at `chain`, which moves on.
  absl::StatusCode Append(FoldState& chain, const std::vector<std::string>& bodies) {
    std::vector<std::string> entries;
    for (const std::string& body : bodies) {
      EntryHeader header;
      header.epoch = chain.epoch;
      header.sequence = chain.next++;
      header.previous_hash = chain.head_hash;
      entries.push_back(EncodeEntry(header, body));
      chain.head_hash = EntryHash(chain.head_hash, entries.back());
    }
    absl::StatusCode code = absl::StatusCode::kUnknown;
    log_.Append(0, chain.epoch, entries, [&](const absl::Status& status) { code = status.code(); });
    scheduler_.RunUntilIdle();
    return code;
  }

  std::vector<std::string> Bodies() {
    std::vector<std::string> bodies;
    FoldState at = InitialFoldState(Identity(), 0);
    EXPECT_TRUE(log_.Read(0, at, {},
                          [&](const EntryView& entry) {
                            if (entry.header.kind == EntryKind::kRecord)
                              bodies.emplace_back(entry.body);
                            return absl::OkStatus();
                          })
                    .ok());
    return bodies;
  }

  SimulatedScheduler scheduler_{1};
  MemoryEventLog log_{Identity(), scheduler_};
};

TEST_F(MemoryEventLogTest, AfterALostAnswerTheEntryIsThere) {
  FoldState chain = Begin();
  log_.InjectFault(MemoryFault::kLostAnswer);
  EXPECT_EQ(Append(chain, {"a"}), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Bodies(), ElementsAre("a"));
  EXPECT_EQ(Append(chain, {"b"}), absl::StatusCode::kUnavailable) << "in the same epoch";
  chain = Begin();
  EXPECT_EQ(Append(chain, {"b"}), absl::StatusCode::kOk);
}

TEST_F(MemoryEventLogTest, AfterALostEntryItsChainIsAborted) {
  FoldState chain = Begin();
  log_.InjectFault(MemoryFault::kLostEntry);
  EXPECT_EQ(Append(chain, {"a"}), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Append(chain, {"b"}), absl::StatusCode::kAborted);
  EXPECT_THAT(Bodies(), IsEmpty());
}

TEST_F(MemoryEventLogTest, ALateEntryCountsWhenNobodyBeganAnEpochMeanwhile) {
  FoldState chain = Begin();
  log_.InjectFault(MemoryFault::kLateEntry);
  EXPECT_EQ(Append(chain, {"a", "b"}), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Bodies(), IsEmpty());
  bool grew = false;
  const auto subscription = log_.Watch([&](Partition) { grew = true; });
  log_.ReleaseLate();
  scheduler_.RunUntilIdle();
  EXPECT_THAT(Bodies(), ElementsAre("a", "b"));
  EXPECT_TRUE(grew);
}

TEST_F(MemoryEventLogTest, ALateEntryIsVoidBehindANewEpoch) {
  FoldState chain = Begin();
  log_.InjectFault(MemoryFault::kLateEntry);
  EXPECT_EQ(Append(chain, {"a"}), absl::StatusCode::kUnavailable);
  FoldState anew = Begin();
  log_.ReleaseLate();
  EXPECT_EQ(log_.void_entries(0), 1u);
  EXPECT_EQ(Append(anew, {"b"}), absl::StatusCode::kOk);
  EXPECT_THAT(Bodies(), ElementsAre("b"));
}

TEST_F(MemoryEventLogTest, ADoubledEntryCountsOnce) {
  FoldState chain = Begin();
  log_.InjectFault(MemoryFault::kDoubledEntry);
  EXPECT_EQ(Append(chain, {"a", "b"}), absl::StatusCode::kOk);
  EXPECT_EQ(log_.void_entries(0), 2u);
  EXPECT_EQ(Append(chain, {"c"}), absl::StatusCode::kOk);
  EXPECT_THAT(Bodies(), ElementsAre("a", "b", "c"));
}

TEST_F(MemoryEventLogTest, AFencedWriterIsAborted) {
  FoldState chain = Begin();
  log_.InjectFault(MemoryFault::kFencedWriter);
  EXPECT_EQ(Append(chain, {"a"}), absl::StatusCode::kAborted);
  EXPECT_EQ(log_.Head(0)->epoch, 2u);
  EXPECT_NE(log_.Head(0)->owner, "owner");
  EXPECT_EQ(log_.void_entries(0), 1u);
  EXPECT_EQ(Append(chain, {"b"}), absl::StatusCode::kAborted);
  EXPECT_THAT(Bodies(), IsEmpty());
}

TEST_F(MemoryEventLogTest, OfATornBatchTheFirstEntryLands) {
  FoldState chain = Begin();
  log_.InjectFault(MemoryFault::kTornBatch);
  EXPECT_EQ(Append(chain, {"a", "b"}), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Bodies(), ElementsAre("a"));
}

TEST_F(MemoryEventLogTest, AFullDiskTakesNothingAndLaterCallsWork) {
  const FoldState head = Begin();
  log_.InjectFault(MemoryFault::kDiskFull);
  FoldState chain = head;
  EXPECT_EQ(Append(chain, {"a"}), absl::StatusCode::kResourceExhausted);
  chain = head;
  EXPECT_EQ(Append(chain, {"b"}), absl::StatusCode::kOk);
  EXPECT_THAT(Bodies(), ElementsAre("b"));
}

TEST_F(MemoryEventLogTest, FaultsHappenInTheOrderOfTheirInjection) {
  FoldState chain = Begin();
  log_.InjectFault(MemoryFault::kDiskFull);
  log_.InjectFault(MemoryFault::kLostAnswer);
  EXPECT_EQ(Append(chain, {"a"}), absl::StatusCode::kResourceExhausted);
  chain = Begin();
  EXPECT_EQ(Append(chain, {"b"}), absl::StatusCode::kUnavailable);
}

TEST_F(MemoryEventLogTest, ADiskTakesAsLongAsItIsTold) {
  log_.SetDiskDelay(absl::Milliseconds(3));
  std::optional<absl::Duration> answered;
  log_.BeginEpoch(0, "slow", [&](const absl::StatusOr<FoldState>& state) {
    EXPECT_TRUE(state.ok());
    answered = scheduler_.Now();
  });
  // A later call with a shorter delay waits for its turn all the same.
  log_.SetDiskDelay(absl::ZeroDuration());
  std::string second;
  log_.BeginEpoch(0, "fast",
                  [&](const absl::StatusOr<FoldState>& state) { second = state->owner; });
  scheduler_.RunFor(absl::Milliseconds(10));
  EXPECT_EQ(answered, absl::Milliseconds(3));
  EXPECT_EQ(second, "fast");
}

TEST_F(MemoryEventLogTest, AFlippedByteIsFoundAndNamed) {
  FoldState chain = Begin();
  ASSERT_EQ(Append(chain, {"a", "b", "c"}), absl::StatusCode::kOk);
  for (size_t offset = 0; offset < kHeaderBytes + 1; ++offset) {
    log_.FlipByte(0, 3, offset);
    FoldState at = InitialFoldState(Identity(), 0);
    int visited = 0;
    const absl::Status status = log_.Read(0, at, {}, [&](const EntryView&) {
      ++visited;
      return absl::OkStatus();
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << "byte " << offset;
    EXPECT_THAT(std::string(status.message()), HasSubstr("partition 0, sequence 3"));
    EXPECT_EQ(visited, 2);
    EXPECT_EQ(at.next, 3u);
    log_.FlipByte(0, 3, offset);
  }
  EXPECT_THAT(Bodies(), ElementsAre("a", "b", "c"));
}

}  // namespace
}  // namespace buurtlog::eventlog
