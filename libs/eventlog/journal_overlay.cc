#include "libs/eventlog/journal_overlay.h"

#include <algorithm>
#include <utility>

#include "libs/base/status_macros.h"

namespace buurtlog::eventlog {

JournalOverlay::JournalOverlay(SqliteLogOptions options, const LogIdentity& identity)
    : options_(std::move(options)),
      log_id_(identity.log_id),
      reads_(true),
      rows_(identity.partitions) {}

JournalOverlay::JournalOverlay(const LogIdentity& identity, std::vector<Taken> taken)
    : log_id_(identity.log_id), reads_(false), rows_(identity.partitions) {
  for (Taken& one : taken) rows_[one.partition].push_back({one.sequence, 0, std::move(one.bytes)});
}

// The generation that a file holds now; 0 when it holds no batch.
absl::StatusOr<uint64_t> JournalOverlay::GenerationOf(size_t file) {
  std::optional<VfsFile>& opened = files_[file];
  if (!opened.has_value()) {
    ABSL_ASSIGN_OR_RETURN(opened,
                          VfsFile::Open(JournalPath(options_.folder, file), options_.vfs, true));
  }
  return ReadGeneration(*opened, log_id_);
}

absl::Status JournalOverlay::Refresh() {
  if (!reads_) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  // Both first: when the later generation is there, the earlier one is whole.
  std::array<uint64_t, kJournalFiles> generations{};
  for (size_t file = 0; file < kJournalFiles; ++file) {
    ABSL_ASSIGN_OR_RETURN(generations[file], GenerationOf(file));
    JournalPlace& place = places_[file];
    if (place.generation == generations[file]) continue;
    Forget(place.generation);
    place = {};
  }
  const size_t earlier = generations[0] <= generations[1] ? 0 : 1;
  for (const size_t file : {earlier, 1 - earlier}) {
    if (generations[file] == 0) continue;
    places_[file].generation = generations[file];
    ABSL_RETURN_IF_ERROR(ReadOn(file));
  }
  return absl::OkStatus();
}

absl::Status JournalOverlay::ReadOn(size_t file) {
  JournalPlace place = places_[file];
  std::vector<std::string> batches;
  while (true) {
    std::string batch;
    ABSL_ASSIGN_OR_RETURN(const bool read, ReadBatch(*files_[file], log_id_, place, batch));
    if (!read) break;
    batches.push_back(std::move(batch));
  }
  if (batches.empty()) return absl::OkStatus();
  ABSL_RETURN_IF_ERROR(SyncBefore(file));
  places_[file] = place;
  batches_ += batches.size();
  for (const std::string& batch : batches) {
    ABSL_RETURN_IF_ERROR(Add(place.generation, batch));
  }
  return absl::OkStatus();
}

// Before anybody sees what was read of the file.
absl::Status JournalOverlay::SyncBefore(size_t file) {
  const uint64_t generation = places_[file].generation;
  if (doubtful_[file] == generation) {
    return absl::UnavailableError("a file of the journal could not be synced");
  }
  absl::Status synced = files_[file]->Sync();
  if (!synced.ok()) doubtful_[file] = generation;
  return synced;
}

absl::Status JournalOverlay::Add(uint64_t generation, std::string_view entries) {
  return ForEachEntry(entries, [&](std::string_view bytes) -> absl::Status {
    // Verified when they are visited, by whoever folds them.
    const EntryHeader header = HeaderOf(bytes);
    if (header.partition >= rows_.size()) {
      return absl::DataLossError("the journal names a partition that the log does not have");
    }
    std::deque<Row>& rows = rows_[header.partition];
    // The file with what lies between was used again meanwhile, so log.db has it.
    if (!rows.empty() && rows.back().sequence + 1 != header.sequence) rows.clear();
    rows.push_back({header.sequence, generation, std::string(bytes)});
    return absl::OkStatus();
  });
}

void JournalOverlay::Forget(uint64_t generation) {
  if (generation == 0) return;
  for (std::deque<Row>& rows : rows_) {
    while (!rows.empty() && rows.front().generation <= generation) rows.pop_front();
  }
}

uint64_t JournalOverlay::batches() {
  absl::MutexLock lock(&mutex_);
  return batches_;
}

Sequence JournalOverlay::Last(Partition partition) {
  absl::MutexLock lock(&mutex_);
  const std::deque<Row>& rows = rows_[partition];
  return rows.empty() ? 0 : rows.back().sequence;
}

bool JournalOverlay::ForEach(Partition partition, Sequence from, Sequence end,
                             absl::FunctionRef<bool(Sequence, std::string_view bytes)> visit) {
  absl::MutexLock lock(&mutex_);
  const std::deque<Row>& rows = rows_[partition];
  if (rows.empty() || from >= end) return true;
  // Rows are contiguous.
  const Sequence first = rows.front().sequence;
  if (first > from) return false;
  for (size_t i = from > first ? from - first : 0; i < rows.size(); ++i) {
    if (rows[i].sequence >= end || !visit(rows[i].sequence, rows[i].bytes)) break;
  }
  return true;
}

}  // namespace buurtlog::eventlog
