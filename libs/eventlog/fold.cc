#include "libs/eventlog/fold.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "buurtlog/log/v1/record.pb.h"
#include "libs/base/absl_view.h"
#include "libs/base/status_macros.h"

namespace buurtlog::eventlog {
namespace {

bool StandsAtHead(const FoldState& state, const EntryHeader& header) {
  return header.sequence == state.next && header.previous_hash == state.head_hash;
}

// Whether an epoch record is as its writer sent it, before the fold gave it a place.
bool IsAsSent(const EntryHeader& header) {
  return header.sequence == 0 && header.previous_hash == Hash();
}

absl::Status Damage(const FoldState& state, Partition partition, std::string_view what) {
  return absl::DataLossError(
      absl::StrCat("partition ", partition, ", sequence ", state.next, ": ", AbslView(what)));
}

// A shorter log is a valid log, so only what its writers knew of it shows that its end is missing.
absl::Status CheckKnownPlace(const FoldState& state, Partition partition,
                             const log::v1::EpochRecord& epoch) {
  if (epoch.known_hash().empty()) return absl::OkStatus();
  if (epoch.known_sequence() >= state.next) {
    return Damage(state, partition, "the log is shorter than the writer of the epoch knew it");
  }
  if (epoch.known_sequence() + 1 == state.next && epoch.known_hash() != state.head_hash.ToBytes()) {
    return Damage(state, partition, "the writer of the epoch knew another entry before it");
  }
  return absl::OkStatus();
}

void Advance(FoldState& state, FoldResult& result) {
  result.verdict = Verdict::kCounts;
  result.entry.hash = EntryHash(state.head_hash, result.entry.bytes);
  state.head_hash = result.entry.hash;
  ++state.next;
}

absl::Status FoldEpoch(FoldState& state, Partition partition, FoldResult& result) {
  const EntryHeader& header = result.entry.header;
  if (header.epoch != state.epoch + 1) return absl::OkStatus();
  const bool as_sent = IsAsSent(header);
  if (!as_sent && !StandsAtHead(state, header)) return absl::OkStatus();
  log::v1::EpochRecord epoch;
  if (!epoch.ParseFromArray(result.entry.body.data(), static_cast<int>(result.entry.body.size()))) {
    return Damage(state, partition, "the body of the epoch record cannot be read");
  }
  ABSL_RETURN_IF_ERROR(CheckKnownPlace(state, partition, epoch));
  if (as_sent) {
    EntryHeader filled = header;
    filled.sequence = state.next;
    filled.previous_hash = state.head_hash;
    result.filled = EncodeEntry(filled, result.entry.body);
    result.entry.header = filled;
    result.entry.bytes = result.filled;
    result.entry.body = result.entry.bytes.substr(kHeaderBytes);
  }
  state.epoch = header.epoch;
  state.owner = std::move(*epoch.mutable_owner());
  Advance(state, result);
  return absl::OkStatus();
}

}  // namespace

FoldState InitialFoldState(const LogIdentity& identity, Partition partition) {
  FoldState state;
  state.head_hash = InitialHash(identity, partition);
  return state;
}

std::string SerializeFoldState(const FoldState& state) {
  log::v1::Checkpoint checkpoint;
  checkpoint.set_epoch(state.epoch);
  checkpoint.set_next_sequence(state.next);
  checkpoint.set_head_hash(state.head_hash.ToBytes());
  return checkpoint.SerializeAsString();
}

absl::StatusOr<FoldState> ParseFoldState(std::string_view bytes) {
  log::v1::Checkpoint checkpoint;
  if (!checkpoint.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      checkpoint.next_sequence() == 0) {
    return absl::InvalidArgumentError("not a checkpoint");
  }
  FoldState state;
  state.epoch = checkpoint.epoch();
  state.next = checkpoint.next_sequence();
  ABSL_ASSIGN_OR_RETURN(state.head_hash, HashFromBytes(checkpoint.head_hash()));
  return state;
}

absl::StatusOr<FoldResult> Fold(FoldState& state, Partition partition, std::string_view bytes) {
  FoldResult result;
  ABSL_ASSIGN_OR_RETURN(result.entry, ParseEntry(bytes));
  const EntryHeader& header = result.entry.header;
  if (header.partition != partition) {
    return absl::InvalidArgumentError(
        absl::StrCat("an entry of partition ", header.partition, " in partition ", partition));
  }
  switch (header.kind) {
    case EntryKind::kRecord:
      // Epoch 0 is nobody's, so nobody can have written a record in it.
      if (header.epoch != 0 && header.epoch == state.epoch && StandsAtHead(state, header)) {
        Advance(state, result);
      }
      return result;
    case EntryKind::kEpoch:
      ABSL_RETURN_IF_ERROR(FoldEpoch(state, partition, result));
      return result;
    case EntryKind::kBarrier: result.verdict = Verdict::kBarrier; return result;
  }
  return absl::InternalError("an entry kind that was read is not folded");
}

absl::Status FoldAppended(FoldState& state, Partition partition, std::string_view bytes,
                          size_t bytes_max) {
  if (bytes.size() > bytes_max) {
    return absl::InvalidArgumentError("an entry is over the size limit of this log");
  }
  const absl::StatusOr<FoldResult> folded = Fold(state, partition, bytes);
  // The fold knows the bytes as an entry, of another partition.
  if (absl::IsInvalidArgument(folded.status())) {
    return absl::AbortedError(folded.status().message());
  }
  if (!folded.ok()) return absl::InvalidArgumentError(folded.status().message());
  if (folded->entry.header.kind != EntryKind::kRecord) {
    return absl::InvalidArgumentError("only records are appended");
  }
  if (folded->verdict != Verdict::kCounts) {
    return absl::AbortedError("does not follow the head of the partition");
  }
  return absl::OkStatus();
}

}  // namespace buurtlog::eventlog
