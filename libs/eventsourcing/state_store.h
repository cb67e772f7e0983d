// Folded states, the idempotency keys and the stream index of one service's log: a SQLite file
// beside the log, written behind the command's way in one transaction with its checkpoint. Never
// needed for truth: it may be deleted, and is folded again.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/files.h"
#include "libs/base/ids.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/fold.h"
#include "libs/eventsourcing/decider.h"
#include "libs/eventsourcing/event_codec.h"

namespace buurtlog::eventsourcing {

struct StoredState {
  uint64_t version = 0;  // 0: no such stream
  std::string state;     // serialized state message
};

// A command's name as the index keeps it: the key and who used it.
struct CommandName {
  Uuid key;
  Uuid actor;  // person_id of the actor
  friend auto operator<=>(const CommandName&, const CommandName&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const CommandName& n) {
    return H::combine(std::move(h), n.key, n.actor);
  }
};

// What one counting record changes.
struct StateChange {
  eventlog::Sequence sequence = 0;
  StreamId stream;
  uint64_t version = 0;  // behind the record
  // Absent when the record has no events (a refusal). Of several changes of a stream in one call of
  // Add only the last needs it; the others may leave it empty.
  std::optional<std::string> state;
  CommandName command;
};

// Thread-safe.
class StateStore {
 public:
  // Opens or makes `path`. A store of another schema (of a state message, an `evolve_version`, or
  // of the store itself) is discarded, which `discarded()` then tells. `types`, `scheduler`
  // and `files` outlive the store.
  static absl::StatusOr<std::unique_ptr<StateStore>> Open(const std::string& path,
                                                          std::vector<const AggregateType*> types,
                                                          uint32_t partitions, Scheduler& scheduler,
                                                          Files& files = SystemFiles());
  // Writes what waits.
  ~StateStore();

  // Why the file that was there was thrown away; empty when it was not.
  const std::string& discarded() const;

  // Says of which log it is, before anything is asked; a store of another log is emptied, which
  // `discarded()` then tells.
  absl::Status BelongTo(const Uuid& log_id);
  // DATA_LOSS when the file was found damaged: it is thrown away when it is opened next, and what
  // is asked of the damaged part fails until then.
  absl::Status health() const;

  // How far the partition's part is folded and safely in the file; nothing when it holds nothing of
  // that partition.
  absl::StatusOr<std::optional<eventlog::FoldState>> Checkpoint(eventlog::Partition partition);

  // Load, Find and RecordsOf: UNAVAILABLE when the file cannot be read now, DATA_LOSS when it is
  // damaged.

  // Version 0 when there is no such stream.
  absl::StatusOr<StoredState> Load(eventlog::Partition partition, const StreamId& stream);
  // The place of the record that this command made; nothing when there is none.
  absl::StatusOr<std::optional<eventlog::Sequence>> Find(eventlog::Partition partition,
                                                         const CommandName& command);
  // Sequences of the records of a stream that have events, in order, from the one that holds
  // version `after_version` + 1 on.
  absl::StatusOr<std::vector<eventlog::Sequence>> RecordsOf(eventlog::Partition partition,
                                                            const StreamId& stream,
                                                            uint64_t after_version, size_t limit);

  // Takes over what became durable in `partition`; visible at once to Load, Find and RecordsOf,
  // written to the file soon after, in order, together with `behind`. `changes` are in order of
  // sequence.
  void Add(eventlog::Partition partition, std::vector<StateChange> changes,
           const eventlog::FoldState& behind);
  // Throws away what the store holds of this partition (its checkpoint is not on the log's chain).
  absl::Status Discard(eventlog::Partition partition);
  // Waits until everything added so far is in the file. Blocks; for tests and a clean stop.
  absl::Status Flush();
  // Changes that wait to be written. A writer that sees more than kChangesWaitingMax slows down.
  size_t waiting() const;

  static constexpr size_t kChangesWaitingMax = 200'000;

  class Impl;

 private:
  explicit StateStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace buurtlog::eventsourcing
