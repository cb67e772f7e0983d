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

// One journal file and the generation that it begins with; 0 when it begins with no batch.
struct Found {
  uint64_t generation = 0;
  VfsFile file;
  std::string path;
};

using Sink = absl::FunctionRef<absl::Status(Partition, Sequence, std::string_view bytes)>;

class Recovery {
 public:
  Recovery(LogFileReader& reader, bool accept_shortened, Sink sink)
      : reader_(reader),
        accept_shortened_(accept_shortened),
        sink_(sink),
        heads_(reader.identity().partitions) {}

  absl::Status TakeFile(Found& found) {
    const Uuid& log_id = reader_.identity().log_id;
    JournalPlace place;
    place.generation = found.generation;
    std::string batch;
    while (found.generation != 0) {
      const absl::StatusOr<bool> read = ReadBatch(found.file, log_id, place, batch);
      if (!(absl::IsDataLoss(read.status()) && accept_shortened_)) {
        ABSL_RETURN_IF_ERROR(read.status());
      }
      if (!read.value_or(false)) break;
      ABSL_RETURN_IF_ERROR(
          ForEachEntry(batch, [this](std::string_view bytes) { return Take(bytes); }));
    }
    // A batch that is not the first was written when the sync of the one before had returned. What
    // is left from before the file was used again, though, is in log.db.
    return ForEachBatch(
        found.file, log_id, place.offset, [&](const JournalPlace& later, std::string_view entries) {
          if (later.number == 0) return absl::OkStatus();
          return ForEachEntry(entries, [&](std::string_view bytes) {
            if (accept_shortened_) return Take(bytes);
            return CheckIsKnown(bytes, absl::StrCat("batch ", place.number, " of ", found.path,
                                                    " is damaged at byte ", place.offset,
                                                    ", and was synced: batch ", later.number,
                                                    " stands behind it at byte ", later.offset));
          });
        });
  }

 private:
  // Where the partition ends, with what was taken.
  absl::StatusOr<FoldState*> HeadOf(Partition partition) {
    if (partition >= heads_.size()) {
      return absl::DataLossError("the journal names a partition that the log does not have");
    }
    std::optional<FoldState>& head = heads_[partition];
    if (!head.has_value()) {
      ABSL_ASSIGN_OR_RETURN(head, reader_.VerifyTail(partition, KnownHead()));
    }
    return &*head;
  }

  absl::Status Take(std::string_view bytes) {
    absl::StatusOr<EntryView> entry = ParseEntry(bytes);
    ABSL_RETURN_IF_ERROR(entry.status());
    const auto [partition, sequence] = std::pair(entry->header.partition, entry->header.sequence);
    ABSL_ASSIGN_OR_RETURN(FoldState* const head, HeadOf(partition));
    if (sequence < head->next) return absl::OkStatus();
    if (sequence > head->next) {
      if (accept_shortened_) return absl::OkStatus();
      return DataLossAt(partition, head->next,
                        absl::StrCat("missing; the journal goes on with ", sequence));
    }
    FoldState ahead = *head;
    absl::StatusOr<FoldResult> folded = Fold(ahead, partition, bytes);
    const bool counts =
        folded.ok() && folded->verdict == Verdict::kCounts && folded->filled.empty();
    if (!counts && accept_shortened_) return absl::OkStatus();
    if (!folded.ok()) return DataLossAt(partition, sequence, StdView(folded.status().message()));
    if (!counts) {
      return DataLossAt(partition, sequence, "the journal does not follow from log.db");
    }
    *head = std::move(ahead);
    return sink_(partition, sequence, bytes);
  }

  absl::Status CheckIsKnown(std::string_view bytes, std::string_view otherwise) {
    const EntryHeader header = HeaderOf(bytes);
    ABSL_ASSIGN_OR_RETURN(const FoldState* const head, HeadOf(header.partition));
    if (header.sequence < head->next) return absl::OkStatus();
    return DataLossAt(header.partition, head->next, otherwise);
  }

  LogFileReader& reader_;
  const bool accept_shortened_;
  const Sink sink_;
  std::vector<std::optional<FoldState>> heads_;
};

absl::StatusOr<std::vector<Found>> FindGenerations(const SqliteLogOptions& options,
                                                   const Uuid& log_id) {
  std::vector<Found> found;
  for (size_t i = 0; i < kJournalFiles; ++i) {
    std::string path = JournalPath(options.folder, i);
    ABSL_ASSIGN_OR_RETURN(VfsFile file, VfsFile::Open(path, options.vfs, true));
    ABSL_ASSIGN_OR_RETURN(const uint64_t generation, ReadGeneration(file, log_id));
    found.push_back({generation, std::move(file), std::move(path)});
  }
  std::sort(found.begin(), found.end(),
            [](const Found& a, const Found& b) { return a.generation < b.generation; });
  return found;
}

// Gives what log.db does not have to `sink`. The newest generation; 0 when there is none.
absl::StatusOr<uint64_t> TakeJournals(const SqliteLogOptions& options, LogFileReader& reader,
                                      Sink sink) {
  ABSL_ASSIGN_OR_RETURN(std::vector<Found> found,
                        FindGenerations(options, reader.identity().log_id));
  Recovery recovery(reader, options.accept_shortened, sink);
  for (Found& file : found) ABSL_RETURN_IF_ERROR(recovery.TakeFile(file));
  // One whose first header is damaged is of no known generation, and may have been taken too early.
  if (options.accept_shortened) {
    for (Found& file : found) ABSL_RETURN_IF_ERROR(recovery.TakeFile(file));
  }
  return found.back().generation;
}

absl::Status ForEachJournal(const SqliteLogOptions& options,
                            absl::FunctionRef<absl::Status(VfsFile&)> change) {
  for (size_t i = 0; i < kJournalFiles; ++i) {
    ABSL_ASSIGN_OR_RETURN(VfsFile file,
                          VfsFile::Open(JournalPath(options.folder, i), options.vfs, false));
    ABSL_RETURN_IF_ERROR(change(file));
  }
  return absl::OkStatus();
}

// A batch that an earlier writer made void, as its sync had failed, may still stand on the disk as
// it was. It must not come back behind what is decided now.
absl::Status SyncJournals(const SqliteLogOptions& options) {
  return ForEachJournal(options, [](VfsFile& file) { return file.Sync(); });
}

// What does not follow from log.db must not be met again.
absl::Status EmptyJournals(const SqliteLogOptions& options) {
  return ForEachJournal(options, [](VfsFile& file) -> absl::Status {
    ABSL_RETURN_IF_ERROR(file.Truncate());
    return file.Sync();
  });
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
  ABSL_RETURN_IF_ERROR(SyncJournals(options));
  ABSL_ASSIGN_OR_RETURN(sqlite::Transaction transaction, writer.Begin());
  ABSL_ASSIGN_OR_RETURN(
      const uint64_t newest,
      TakeJournals(options, reader,
                   [&](Partition partition, Sequence sequence, std::string_view bytes) {
                     return writer.Insert(partition, sequence, bytes);
                   }));
  ABSL_RETURN_IF_ERROR(writer.Commit(transaction));
  ABSL_RETURN_IF_ERROR(writer.SyncWal());
  if (options.accept_shortened) ABSL_RETURN_IF_ERROR(EmptyJournals(options));
  if (newest != 0) return newest + 1;
  // Another than any before, so that a reader who looked away meanwhile does not take the new
  // batches for the old ones.
  return 1 + RandomBelow(*options.random, uint64_t{1} << 48);
}

absl::StatusOr<std::unique_ptr<JournalOverlay>> OverlayOfRecovery(const SqliteLogOptions& options,
                                                                  const LogIdentity& identity) {
  LogFileReader reader(identity, options);
  std::vector<JournalOverlay::Taken> taken;
  ABSL_RETURN_IF_ERROR(
      TakeJournals(options, reader,
                   [&](Partition partition, Sequence sequence, std::string_view bytes) {
                     taken.push_back({partition, sequence, std::string(bytes)});
                     return absl::OkStatus();
                   })
          .status());
  return std::make_unique<JournalOverlay>(identity, std::move(taken));
}

absl::StatusOr<std::vector<Sequence>> NewestInJournal(const SqliteLogOptions& options,
                                                      const LogIdentity& identity, Files& files) {
  std::vector<Sequence> newest(identity.partitions);
  for (size_t i = 0; i < kJournalFiles; ++i) {
    const std::string path = JournalPath(options.folder, i);
    if (!files.Exists(path)) continue;
    ABSL_ASSIGN_OR_RETURN(VfsFile file, VfsFile::Open(path, options.vfs, true));
    ABSL_RETURN_IF_ERROR(
        ForEachBatch(file, identity.log_id, 0, [&](const JournalPlace&, std::string_view entries) {
          return ForEachEntry(entries, [&](std::string_view bytes) {
            const EntryHeader header = HeaderOf(bytes);
            if (header.partition < newest.size()) {
              Sequence& last = newest[header.partition];
              last = std::max(last, header.sequence);
            }
            return absl::OkStatus();
          });
        }));
  }
  return newest;
}

}  // namespace buurtlog::eventlog
