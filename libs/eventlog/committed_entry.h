// An entry that is durable and counts, as the engines hand it on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/random.h"
#include "libs/eventlog/fold.h"

namespace buurtlog::eventlog {

// `view` points into `bytes`.
struct CommittedEntry {
  std::string bytes;
  EntryView view;
  std::string owner;  // of an epoch record; empty for others
  // Of the topic's message that the entry came in; -1 for an entry of no topic.
  int64_t offset = -1;
};

using CommittedEntryPtr = std::shared_ptr<const CommittedEntry>;

// Folds `bytes` into `state` and keeps the canonical form when it counts; null when it does not.
// Errors as Fold.
absl::StatusOr<CommittedEntryPtr> FoldEntry(FoldState& state, Partition partition,
                                            std::string bytes, int64_t offset = -1);

// The epoch record that `owner` sends to become the writer behind `known`, which is how far it has
// read.
std::string EncodeEpochRecord(const FoldState& known, Partition partition, const std::string& owner,
                              absl::Time now, Random& random);

}  // namespace buurtlog::eventlog
