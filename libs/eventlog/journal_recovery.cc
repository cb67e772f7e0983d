#include "libs/eventlog/journal_recovery.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/absl_view.h"
#include "libs/base/random.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/journal.h"

namespace buurtlog::eventlog {
namespace {

// One journal file and the generation that it holds.
struct Found {
  uint64_t generation = 0;
  VfsFile file;
};

class Recovery {
 public:
  Recovery(LogFileReader& reader, LogFileWriter& writer)
      : reader_(reader), writer_(writer), heads_(reader.identity().partitions) {}

  absl::Status Take(std::string_view bytes) {
    absl::StatusOr<EntryView> entry = ParseEntry(bytes);
    ABSL_RETURN_IF_ERROR(entry.status());
    const auto [partition, sequence] = std::pair(entry->header.partition, entry->header.sequence);
    if (partition >= heads_.size()) {
      return absl::DataLossError("the journal names a partition that the log does not have");
    }
    std::optional<FoldState>& head = heads_[partition];
    if (!head.has_value()) {
      ABSL_ASSIGN_OR_RETURN(head, reader_.VerifyTail(partition, KnownHead()));
    }
    if (sequence < head->next) return absl::OkStatus();
    if (sequence > head->next) {
      return DataLossAt(partition, head->next,
                        absl::StrCat("missing; the journal goes on with ", sequence));
    }
    absl::StatusOr<FoldResult> folded = Fold(*head, partition, bytes);
    if (!folded.ok()) return DataLossAt(partition, sequence, StdView(folded.status().message()));
    if (folded->verdict != Verdict::kCounts || !folded->filled.empty()) {
      return DataLossAt(partition, sequence, "the journal does not follow from log.db");
    }
    return writer_.Insert(partition, sequence, bytes);
  }

 private:
  LogFileReader& reader_;
  LogFileWriter& writer_;
  std::vector<std::optional<FoldState>> heads_;
};

absl::StatusOr<std::vector<Found>> FindGenerations(const SqliteLogOptions& options,
                                                   const Uuid& log_id) {
  std::vector<Found> found;
  for (size_t i = 0; i < kJournalFiles; ++i) {
    ABSL_ASSIGN_OR_RETURN(VfsFile file,
                          VfsFile::Open(JournalPath(options.folder, i), options.vfs, true));
    ABSL_ASSIGN_OR_RETURN(const uint64_t generation, ReadGeneration(file, log_id));
    if (generation != 0) found.push_back({generation, std::move(file)});
  }
  std::sort(found.begin(), found.end(),
            [](const Found& a, const Found& b) { return a.generation < b.generation; });
  return found;
}

}  // namespace

absl::Status CheckJournalFiles(const SqliteLogOptions& options, Files& files) {
  for (size_t i = 0; i < kJournalFiles; ++i) {
    const std::string path = JournalPath(options.folder, i);
    if (!files.Exists(path)) return absl::DataLossError(absl::StrCat(path, " is missing"));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> RecoverJournal(const SqliteLogOptions& options, LogFileReader& reader,
                                        LogFileWriter& writer) {
  const Uuid& log_id = reader.identity().log_id;
  ABSL_ASSIGN_OR_RETURN(std::vector<Found> found, FindGenerations(options, log_id));
  if (found.empty()) {
    // Another than any before, so that a reader who looked away meanwhile does not take the new
    // batches for the old ones.
    return 1 + RandomBelow(*options.random, uint64_t{1} << 48);
  }
  Recovery recovery(reader, writer);
  ABSL_ASSIGN_OR_RETURN(sqlite::Transaction transaction, writer.Begin());
  std::string batch;
  for (Found& file : found) {
    JournalPlace place;
    place.generation = file.generation;
    while (true) {
      ABSL_ASSIGN_OR_RETURN(const bool read, ReadBatch(file.file, log_id, place, batch));
      if (!read) break;
      ABSL_RETURN_IF_ERROR(
          ForEachEntry(batch, [&](std::string_view bytes) { return recovery.Take(bytes); }));
    }
  }
  ABSL_RETURN_IF_ERROR(transaction.Commit());
  ABSL_RETURN_IF_ERROR(writer.SyncWal());
  return found.back().generation + 1;
}

}  // namespace buurtlog::eventlog
