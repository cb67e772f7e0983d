// An executor on a memory log, a seeded scheduler and a clock that stands still, which a test can
// end and start again. The aggregate is a list of texts (list_aggregate.h). Header only; for tests.
#pragma once

#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/random.h"
#include "libs/eventlog/memory_event_log.h"
#include "libs/eventsourcing/command_executor.h"
#include "libs/eventsourcing/testing/list_aggregate.h"

namespace buurtlog::eventsourcing::testing {

using Answer = absl::StatusOr<type::v1::Receipt>;

class ExecutorWorld {
 public:
  explicit ExecutorWorld(uint64_t seed = 1, uint32_t partitions = 2)
      : scheduler(seed),
        clock(absl::FromUnixSeconds(1'760'000'000)),
        random(seed),
        folder_(absl::StrCat(::testing::TempDir(), "executor_",
                             NewUuid(absl::Now(), SystemRandom()).ToString())),
        log(Identity(partitions), scheduler) {
    std::filesystem::create_directories(folder_);
    options.owner = "test";
    options.command_hash_key = std::string(32, 'k');
  }
  ~ExecutorWorld() {
    executor = nullptr;
    store = nullptr;
    std::filesystem::remove_all(folder_);
  }

  // Opens store and executor on what is there; the status is that of CommandExecutor::Start.
  absl::Status Start() {
    auto opened =
        StateStore::Open(store_path(), {&ListType()}, log.identity().partitions, scheduler);
    if (!opened.ok()) return opened.status();
    store = *std::move(opened);
    if (absl::Status status = store->BelongTo(log.identity().log_id); !status.ok()) return status;
    executor = std::make_unique<CommandExecutor>(
        CommandExecutor::Parts{log, *store, scheduler, clock, random, metrics},
        std::vector<const AggregateType*>{&ListType()}, options);
    if (before_start_) std::exchange(before_start_, nullptr)();
    std::optional<absl::Status> ready;
    executor->Start([&ready](absl::Status status) { ready = std::move(status); });
    scheduler.RunUntil([&] { return ready.has_value(); });
    return ready.value_or(absl::InternalError("never ready"));
  }
  // Runs once, when store and executor are open and the executor is about to start.
  void SetBeforeStart(std::function<void()> before_start) {
    before_start_ = std::move(before_start);
  }
  void WhenTimeHasPassed(absl::Duration time, std::function<void()> then) {
    timers_->PostAfter(time, std::move(then));
  }
  // Ends everything but the log, as a crash would.
  void Stop() {
    executor = nullptr;
    store = nullptr;
  }
  absl::Status Restart() {
    Stop();
    return Start();
  }
  void DeleteStore() {
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(store_path() + suffix);
  }
  std::string store_path() const { return folder_ + "/state.db"; }

  Uuid NewId() { return NewUuid(clock.Now(), random); }

  Command Append(const Uuid& list, const std::vector<std::string>& texts) {
    Command command = MakeCommand(ListType(), list, list, RequestFor(texts));
    command.idempotency_key = NewId();
    command.actor.set_person_id(actor.ToBytes());
    return command;
  }

  // The answer arrives in the result once the scheduler has run.
  std::shared_ptr<std::optional<Answer>> Send(Command command) {
    auto answer = std::make_shared<std::optional<Answer>>();
    executor->Execute(std::move(command), [answer](Answer a) {
      EXPECT_FALSE(answer->has_value()) << "answered twice";
      *answer = std::move(a);
    });
    return answer;
  }
  Answer Run(Command command) {
    auto answer = Send(std::move(command));
    scheduler.RunUntil([&] { return answer->has_value(); });
    return answer->value_or(absl::InternalError("never answered"));
  }

  // The durable texts of a list, as the executor knows them.
  std::vector<std::string> Texts(const Uuid& list) {
    std::optional<absl::StatusOr<StoredState>> read;
    executor->ReadState(ListType(), list, list,
                        [&](absl::StatusOr<StoredState> state) { read = std::move(state); });
    scheduler.RunUntil([&] { return read.has_value(); });
    if (!read.has_value() || !read->ok()) return {"unreadable"};
    ListValue state;
    EXPECT_TRUE(state.ParseFromString((*read)->state));
    EXPECT_EQ((*read)->version, static_cast<uint64_t>(state.values_size()));
    std::vector<std::string> texts;
    for (const Value& value : state.values()) texts.push_back(value.string_value());
    return texts;
  }

  // All counting records of the partition, in order.
  std::vector<log::v1::Record> Records(eventlog::Partition partition) {
    std::vector<log::v1::Record> records;
    eventlog::FoldState at = eventlog::InitialFoldState(log.identity(), partition);
    while (true) {
      const eventlog::Sequence before = at.next;
      absl::Status status = log.Read(partition, at, {}, [&](const eventlog::EntryView& entry) {
        if (entry.header.kind == eventlog::EntryKind::kRecord) {
          records.push_back(*EventCodec::ParseRecord(entry));
        }
        return absl::OkStatus();
      });
      EXPECT_TRUE(status.ok()) << status;
      if (!status.ok() || at.next == before) return records;
    }
  }
  std::vector<log::v1::Record> AllRecords() {
    std::vector<log::v1::Record> all;
    for (eventlog::Partition p = 0; p < log.identity().partitions; ++p) {
      for (log::v1::Record& record : Records(p)) all.push_back(std::move(record));
    }
    return all;
  }

  SimulatedScheduler scheduler;
  ManualClock clock;
  SeededRandom random;
  Uuid actor = NewId();
  prometheus::Registry metrics;
  ExecutorOptions options;

 private:
  static eventlog::LogIdentity Identity(uint32_t partitions) {
    eventlog::LogIdentity identity;
    identity.log_id = *ParseUuid("01890000-0000-7000-8000-000000000001");
    identity.service = "lists";
    identity.partitions = partitions;
    identity.synthetic = true;
    return identity;
  }
  const std::string folder_;
  std::function<void()> before_start_;
  const std::unique_ptr<TaskQueue> timers_ =
      scheduler.NewQueue("timers of the test", QueueKind::kCompute);

 public:
  eventlog::MemoryEventLog log;
  std::unique_ptr<StateStore> store;
  std::unique_ptr<CommandExecutor> executor;
};

}  // namespace buurtlog::eventsourcing::testing
