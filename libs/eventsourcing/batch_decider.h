// Decides commands of one partition, batch by batch, each decision on the state that the ones
// before it leave, durable or not yet. What is not durable (speculative) is kept apart from the
// cache: it is promoted when its batch is durable, or forgotten. Private to libs/eventsourcing.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventsourcing/pending_command.h"
#include "libs/eventsourcing/state_cache.h"
#include "libs/eventsourcing/state_store.h"

namespace buurtlog::eventsourcing {

// Decided together, appended together, answered together.
struct Batch {
  struct Touched {
    StreamKey key;
    VersionedState state;
    size_t last_change = 0;  // of this stream, in `changes`
  };

  uint64_t number = 0;
  std::vector<PendingCommandPtr> commands;  // to be answered when the batch is durable, in order
  std::vector<std::string> entries;
  size_t bytes = 0;
  size_t events = 0;
  std::vector<StateChange> changes;  // one for each entry; states still to be filled in
  std::vector<Touched> touched;
  eventlog::FoldState behind;
  std::optional<absl::Status> outcome;  // of the append
};

// Not thread-safe; used from the partition's queue. `core` outlives it.
class BatchDecider {
 public:
  BatchDecider(ExecutorCore& core, eventlog::Partition partition);

  // Forgets everything speculative; the chain goes on from `committed`.
  void Forget(const eventlog::FoldState& committed);
  // Besides, forgets the cache: somebody else may have written.
  void ForgetAll(const eventlog::FoldState& committed, absl::Time newest_recorded_at);

  void BeginBatch();
  // Answers the command at once when that needs no state: its answer stands in the log, or its
  // times are wrong. Otherwise it joins the batch.
  void Decide(PendingCommandPtr pending);
  size_t batch_bytes() const { return batch_.bytes; }
  Batch TakeBatch();

  // The answer that stands in the log, if there is one. UNAVAILABLE or DATA_LOSS of store and log.
  absl::StatusOr<std::optional<absl::StatusOr<type::v1::Receipt>>> AnswerInLog(
      const PendingCommand& pending);

  // The batch is durable: its states become the committed ones, the store takes them over. Batches
  // in order.
  void Promote(Batch& batch);
  const eventlog::FoldState& committed() const { return committed_; }

  // The durable state.
  absl::StatusOr<StoredState> ReadState(const StreamKey& key);

 private:
  struct Speculative {
    uint64_t batch = 0;
    uint64_t version = 0;
    std::shared_ptr<google::protobuf::Message>
        state;  // changed in place only while its batch is being decided
    size_t last_change = 0;
  };

  absl::Status CheckTimes(const Command& command) const;
  absl::StatusOr<type::v1::Receipt> RecordedAnswer(const PendingCommand& pending,
                                                   eventlog::Sequence sequence);
  absl::StatusOr<VersionedState> Committed(const StreamKey& key);
  // The state that the next command is decided on.
  absl::StatusOr<VersionedState> Newest(const StreamKey& key);
  void DecideNew(PendingCommandPtr pending);
  bool MayRecordRefusal(const Uuid& actor);
  log::v1::Record NewRecord(const PendingCommand& pending, uint64_t first_version) const;
  void Write(PendingCommandPtr pending, const VersionedState& before, const log::v1::Record& record,
             const WrappedEvents& events);
  void Evolve(const StreamKey& key, const VersionedState& before, const WrappedEvents& events);
  // Answers when the batch is durable: what the answer stands on may be under way still, or may be
  // over, as another owner wrote.
  void AnswerUnwritten(PendingCommandPtr pending, absl::StatusOr<type::v1::Receipt> answer);

  ExecutorCore& core_;
  const eventlog::Partition partition_;
  StateCache cache_;
  absl::flat_hash_map<StreamKey, Speculative> speculative_;
  absl::flat_hash_map<CommandName, PendingCommand*> under_way_;
  eventlog::FoldState committed_;
  eventlog::FoldState chain_;  // committed_ and what is under way
  Batch batch_;
  uint64_t batches_ = 0;
  absl::Time now_;          // the clock, when the batch began
  absl::Time recorded_at_;  // the later of that and the newest record's
  int64_t refusals_minute_ = 0;
  absl::flat_hash_map<Uuid, size_t> refusals_;  // recorded in that minute, by actor
};

}  // namespace buurtlog::eventsourcing
