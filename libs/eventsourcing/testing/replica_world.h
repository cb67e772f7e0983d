// Several executors on one memory log, as replicas of a service share a topic: one seeded
// scheduler, a clock and a store for each, and calls between them that a test can cut. Header only;
// for tests.
#pragma once

#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/random.h"
#include "libs/eventlog/memory_event_log.h"
#include "libs/eventsourcing/command_executor.h"
#include "libs/eventsourcing/command_forwarder.h"
#include "libs/eventsourcing/testing/list_aggregate.h"

namespace buurtlog::eventsourcing::testing {

using Answer = absl::StatusOr<type::v1::Receipt>;
using AnswerPtr = std::shared_ptr<std::optional<Answer>>;

class ReplicaWorld final : public CommandForwarder {
 public:
  static constexpr uint32_t kPartitions = 2;

  struct Replica {
    explicit Replica(absl::Time now) : clock(now) {}
    std::string name;
    ManualClock clock;
    prometheus::Registry metrics;
    std::unique_ptr<StateStore> store;
    std::unique_ptr<CommandExecutor> executor;
  };

  explicit ReplicaWorld(uint64_t seed = 1)
      : scheduler(seed),
        random(seed),
        folder_(absl::StrCat(::testing::TempDir(), "replicas_",
                             NewUuid(absl::Now(), SystemRandom()).ToString())),
        log(Identity(), scheduler) {}
  ~ReplicaWorld() override {
    replicas_.clear();
    std::filesystem::remove_all(folder_);
  }

  // Follows when this returns, and owns nothing.
  Replica& Start(const std::string& name, uint32_t write_release = kEventRelease) {
    auto replica = std::make_unique<Replica>(kNow);
    replica->name = name;
    std::filesystem::create_directories(folder_);
    auto store = StateStore::Open(absl::StrCat(folder_, "/", name, ".db"), {&ListType()},
                                  kPartitions, scheduler);
    EXPECT_TRUE(store.ok()) << store.status();
    replica->store = *std::move(store);
    EXPECT_TRUE(replica->store->BelongTo(log.identity().log_id).ok());
    ExecutorOptions options;
    options.owner = name;
    options.command_hash_key = std::string(32, 'k');
    options.shared = true;
    options.write_release = write_release;
    options.queue_max = queue_max;
    replica->executor = std::make_unique<CommandExecutor>(
        CommandExecutor::Parts{log, *replica->store, scheduler, replica->clock, random,
                               replica->metrics, this},
        std::vector<const AggregateType*>{&ListType()}, options);
    std::optional<absl::Status> ready;
    replica->executor->Start([&ready](absl::Status status) { ready = std::move(status); });
    scheduler.RunUntil([&] { return ready.has_value(); });
    EXPECT_TRUE(ready.has_value() && ready->ok());
    replicas_.push_back(std::move(replica));
    return *replicas_.back();
  }
  // As a kill would: what it was asked is never answered, and its store keeps what was written.
  void Kill(Replica& replica) {
    for (auto& one : replicas_) {
      if (one.get() != &replica) continue;
      gone_.insert(replica.name);
      one->executor = nullptr;
      one->store = nullptr;
    }
  }
  void Assign(Replica& replica, const std::vector<eventlog::Partition>& partitions) {
    replica.executor->Assign(partitions);
    scheduler.RunUntilIdle();
  }
  // It owns both partitions, and the others follow.
  void Own(Replica& replica) {
    Assign(replica, {0, 1});
    EXPECT_TRUE(scheduler.RunUntil([&] { return replica.executor->owned() == 2; }));
    scheduler.RunUntilIdle();
  }

  // Calls to this replica are not answered (its process is stopped), or fail.
  void Silence(const Replica& replica) { silent_.insert(replica.name); }
  void Cut(const Replica& replica) { gone_.insert(replica.name); }
  void Mend(const Replica& replica) { gone_.erase(replica.name); }
  int forwards() const { return forwards_; }

  void Forward(const std::string& owner, log::v1::HandedCommand command, absl::Time deadline,
               CommandDone done) override {
    ++forwards_;
    if (silent_.contains(owner)) return unanswered_.push_back(std::move(done));
    for (const auto& replica : replicas_) {
      if (replica->name != owner || gone_.contains(owner)) continue;
      return replica->executor->ExecuteHanded(command, deadline, std::move(done));
    }
    done(absl::UnavailableError("connection refused"));
  }

  Uuid NewId() { return NewUuid(kNow, random); }
  // A list that lives in this partition.
  Uuid NewListIn(eventlog::Partition partition) {
    while (true) {
      const Uuid id = NewId();
      if (eventlog::PartitionOf(eventlog::ShardOf(id), kPartitions) == partition) return id;
    }
  }

  Command Append(const Uuid& list, const std::vector<std::string>& texts) {
    Command command = MakeCommand(ListType(), list, list, RequestFor(texts));
    command.idempotency_key = NewId();
    command.actor.set_person_id(actor.ToBytes());
    return command;
  }
  AnswerPtr Send(Replica& replica, Command command) {
    auto answer = std::make_shared<std::optional<Answer>>();
    replica.executor->Execute(std::move(command), [answer](Answer a) {
      EXPECT_FALSE(answer->has_value()) << "answered twice";
      *answer = std::move(a);
    });
    return answer;
  }
  Answer Run(Replica& replica, Command command) {
    const AnswerPtr answer = Send(replica, std::move(command));
    scheduler.RunUntil([&] { return answer->has_value(); });
    return answer->value_or(absl::InternalError("never answered"));
  }

  std::vector<std::string> Texts(Replica& replica, const Uuid& list) {
    std::optional<absl::StatusOr<StoredState>> read;
    replica.executor->ReadState(ListType(), list, list, [&](absl::StatusOr<StoredState> state) {
      read = std::move(state);
    });
    scheduler.RunUntil([&] { return read.has_value(); });
    std::vector<std::string> texts;
    if (!read.has_value() || !read->ok()) return {"unreadable"};
    ListValue state;
    EXPECT_TRUE(state.ParseFromString((*read)->state));
    for (const Value& value : state.values()) texts.push_back(value.string_value());
    return texts;
  }

  // Of the partition's counting entries.
  size_t Count(eventlog::Partition partition, eventlog::EntryKind kind) {
    size_t count = 0;
    eventlog::FoldState at = eventlog::InitialFoldState(log.identity(), partition);
    eventlog::Sequence before = 0;
    while (at.next != before) {
      before = at.next;
      EXPECT_TRUE(log.Read(partition, at, {},
                           [&](const eventlog::EntryView& entry) {
                             if (entry.header.kind == kind) ++count;
                             return absl::OkStatus();
                           })
                      .ok());
    }
    return count;
  }
  eventlog::FoldState Head(eventlog::Partition partition) { return *log.Head(partition); }

  static constexpr absl::Time kNow = absl::FromUnixSeconds(1'760'000'000);
  SimulatedScheduler scheduler;
  SeededRandom random;
  const Uuid actor = NewId();
  size_t queue_max = ExecutorOptions().queue_max;  // of replicas that are started from now on

 private:
  static eventlog::LogIdentity Identity() {
    eventlog::LogIdentity identity;
    identity.log_id = *ParseUuid("01890000-0000-7000-8000-000000000001");
    identity.service = "lists";
    identity.partitions = kPartitions;
    identity.synthetic = true;
    return identity;
  }
  const std::string folder_;
  std::set<std::string> silent_;
  std::set<std::string> gone_;
  std::vector<CommandDone> unanswered_;
  int forwards_ = 0;

 public:
  eventlog::MemoryEventLog log;

 private:
  std::vector<std::unique_ptr<Replica>> replicas_;
};

}  // namespace buurtlog::eventsourcing::testing
