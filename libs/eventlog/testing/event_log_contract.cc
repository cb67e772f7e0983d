// How the tests of the contract call a log and wait for it.
#include <utility>

#include "absl/time/time.h"
#include "libs/base/testing/patience.h"
#include "libs/eventlog/event_log_contract_test.h"

namespace buurtlog::eventlog {
namespace {

// How long an answer of an engine with threads may take before the test fails.
const absl::Duration kWaitMax = Patience(absl::Seconds(20));
constexpr uint32_t kRecordBytesMaxOfTest = 4096;

}  // namespace

std::vector<std::string> Chained(Partition partition, FoldState& chain,
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

}  // namespace buurtlog::eventlog
