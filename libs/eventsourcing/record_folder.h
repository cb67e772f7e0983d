// Folds records of the log that the state store has not seen: after a restart, and after an epoch
// of somebody else. Private to libs/eventsourcing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventsourcing/decider.h"
#include "libs/eventsourcing/state_cache.h"
#include "libs/eventsourcing/state_store.h"

namespace buurtlog::eventsourcing {

// Not thread-safe. `store` outlives it.
class RecordFolder {
 public:
  RecordFolder(StateStore& store, std::vector<const AggregateType*> types,
               eventlog::Partition partition);
  ~RecordFolder();

  // Folds one counting entry, in order. UNIMPLEMENTED: it holds an event of a newer release;
  // DATA_LOSS: it cannot be read, or does not follow on the state of its stream. Both name the
  // place. UNAVAILABLE: the store is out of reach; nothing of the entry was folded.
  absl::Status Fold(const eventlog::EntryView& entry);

  // What was folded since the last call, for StateStore::Add.
  std::vector<StateChange> TakeChanges();

  // Of the newest record folded; InfinitePast before the first.
  absl::Time recorded_at() const { return recorded_at_; }

 private:
  struct Stream;
  absl::StatusOr<Stream*> Find(const AggregateType& type, const Uuid& id, uint64_t first_version);

  StateStore& store_;
  const eventlog::Partition partition_;
  absl::flat_hash_map<std::string, const AggregateType*> types_;
  absl::flat_hash_map<StreamKey, std::unique_ptr<Stream>> streams_;
  std::vector<Stream*> touched_;
  std::vector<StateChange> changes_;
  absl::flat_hash_map<const AggregateType*, std::unique_ptr<google::protobuf::Message>> events_;
  absl::Time recorded_at_ = absl::InfinitePast();
};

// When the newest record of a partition that ends at `head` was taken; InfinitePast when there is
// none.
absl::StatusOr<absl::Time> NewestRecordedAt(eventlog::LogReader& log, eventlog::Partition partition,
                                            const eventlog::FoldState& head);

absl::Time TimeOf(const google::protobuf::Timestamp& time);
void SetTime(absl::Time time, google::protobuf::Timestamp& proto);

}  // namespace buurtlog::eventsourcing
