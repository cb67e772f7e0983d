// Which entries count (docs/log-format.md): a pure fold over what a partition says, in order. Every
// engine uses this one piece of code, writers and readers alike, so all agree by construction.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/eventlog/record.h"

namespace buurtlog::eventlog {

// How far a partition has been folded. It is also the place from which a reader goes on, and what a
// checkpoint keeps.
struct FoldState {
  Epoch epoch = 0;
  std::string owner;  // the writer of the newest counting epoch record, as it names itself; not
                      // part of a checkpoint
  Sequence next = 1;
  Hash head_hash;  // hash of entry next - 1; InitialHash before the first
  friend bool operator==(const FoldState&, const FoldState&) = default;
};
FoldState InitialFoldState(const LogIdentity& identity, Partition partition);

// The checkpoint form (a serialized buurtlog.log.v1.Checkpoint). INVALID_ARGUMENT when it cannot be
// read.
std::string SerializeFoldState(const FoldState& state);
absl::StatusOr<FoldState> ParseFoldState(std::string_view bytes);

enum class Verdict {
  kCounts,
  kBarrier,  // takes no sequence, no alarm
  kVoid,  // well-formed, but a zombie's write, a doubled send or a hole after a lost one; ignored
          // by all in the same way
};

struct FoldResult {
  Verdict verdict = Verdict::kVoid;
  // The canonical bytes: the entry as sent, except that a counting epoch record has its sequence
  // and previous hash filled in. These bytes are what the hash is over and what log copy moves.
  EntryView entry;
  std::string filled;  // owns the canonical bytes where they differ from those sent; `entry` then
                       // points here
};

// Folds one entry, as sent or canonical, into `state`. When it counts, `state` moves on. DATA_LOSS
// and UNIMPLEMENTED as ParseEntry; INVALID_ARGUMENT when the entry names another partition. `state`
// is unchanged unless the verdict is kCounts. `bytes` must outlive the result.
absl::StatusOr<FoldResult> Fold(FoldState& state, Partition partition, std::string_view bytes);

// Folds one of the entries of an append, which must all be records that count. INVALID_ARGUMENT for
// bytes that are no record, or more than `bytes_max`; ABORTED for a record that does not follow, or
// is made for another partition. `state` means nothing after an error.
absl::Status FoldAppended(FoldState& state, Partition partition, std::string_view bytes,
                          size_t bytes_max);

}  // namespace buurtlog::eventlog
