#include "libs/eventlog/stored_log.h"

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/sqlite_log_reader.h"

namespace buurtlog::eventlog {

absl::Status StoredLog::Read(Partition partition, FoldState& at, const ReadLimits& limits,
                             absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  ABSL_RETURN_IF_ERROR(CheckPlace(identity(), partition, at.next));
  ABSL_ASSIGN_OR_RETURN(auto newest, tail_.Read(partition, at, limits));
  if (!newest.has_value()) {
    return file_->Read(partition, at, tail_.MovedEnd(partition), limits, visit);
  }
  // These were verified through the fold before they were stored.
  for (const CommittedEntryPtr& entry : *newest) {
    ABSL_RETURN_IF_ERROR(visit(entry->view));
    at.epoch = entry->view.header.epoch;
    at.next = entry->view.header.sequence + 1;
    at.head_hash = entry->view.hash;
    if (entry->view.header.kind == EntryKind::kEpoch) at.owner = entry->owner;
  }
  return absl::OkStatus();
}

absl::StatusOr<FoldState> StoredLog::Seek(Partition partition, Sequence from) {
  ABSL_RETURN_IF_ERROR(CheckPlace(identity(), partition, from));
  if (const CommittedEntryPtr entry = tail_.Find(partition, from)) {
    return PlaceBefore(entry->view);
  }
  if (from >= tail_.MovedEnd(partition)) {
    return absl::OutOfRangeError(
        absl::StrCat("partition ", partition, " ends before sequence ", from));
  }
  return file_->Seek(partition, from);
}

absl::Status StoredLog::ReadEntries(Partition partition, absl::Span<const Sequence> sequences,
                                    const ReadLimits& limits,
                                    absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  ABSL_RETURN_IF_ERROR(
      CheckPlace(identity(), partition, sequences.empty() ? 1 : sequences.front()));
  // The tail first: what it does not have is in log.db by now.
  ABSL_ASSIGN_OR_RETURN(const std::vector<CommittedEntryPtr> newest,
                        tail_.FindLast(partition, sequences));
  ReadRoom room(limits);
  ABSL_RETURN_IF_ERROR(file_->ReadEntries(
      partition, sequences.subspan(0, sequences.size() - newest.size()), room, visit));
  for (const CommittedEntryPtr& entry : newest) {
    if (room.full() || !room.Take(entry->bytes.size())) break;
    ABSL_RETURN_IF_ERROR(visit(entry->view));
  }
  return absl::OkStatus();
}

absl::StatusOr<FoldState> StoredLog::Head(Partition partition) {
  ABSL_RETURN_IF_ERROR(CheckPlace(identity(), partition, 1));
  return tail_.Head(partition);
}

}  // namespace buurtlog::eventlog
