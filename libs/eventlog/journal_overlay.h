// What stands in the journal of a sqlite log and perhaps not in log.db yet, for readers beside the
// writer. It reads on from where it was, and forgets what log.db has taken over.
#pragma once

#include <array>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "libs/eventlog/journal.h"
#include "libs/eventlog/record.h"

namespace buurtlog::eventlog {

// Thread-safe.
class JournalOverlay {
 public:
  // An entry that comes behind those of log.db.
  struct Taken {
    Partition partition = 0;
    Sequence sequence = 0;
    std::string bytes;
  };

  JournalOverlay(SqliteLogOptions options, const LogIdentity& identity);
  // Of a journal that nobody writes to: has these, and does not read.
  JournalOverlay(const LogIdentity& identity, std::vector<Taken> taken);

  // Reads on, and waits for the disk to have what it found: the writer's sync may be under way.
  // Whatever is in neither the journal nor log.db when this returns was written later; so it is
  // called before log.db is read. UNAVAILABLE when a file cannot be read or synced; in the latter
  // case until the file is used again, as another sync would prove nothing.
  absl::Status Refresh();
  // Batches read so far: another number means that there are new entries.
  uint64_t batches();
  // The last entry of the partition that is here; 0 when there is none.
  Sequence Last(Partition partition);
  // Visits the entries that are here of those from `from` to before `end`, in order, until `visit`
  // returns false. False, and nothing visited, when some of those were forgotten, as log.db has
  // them.
  bool ForEach(Partition partition, Sequence from, Sequence end,
               absl::FunctionRef<bool(Sequence, std::string_view bytes)> visit);

 private:
  struct Row {
    Sequence sequence = 0;
    uint64_t generation = 0;
    std::string bytes;
  };

  absl::StatusOr<uint64_t> GenerationOf(size_t file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ReadOn(size_t file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status SyncBefore(size_t file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Add(uint64_t generation, std::string_view entries)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(uint64_t generation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const SqliteLogOptions options_;
  const Uuid log_id_;
  const bool reads_;
  absl::Mutex mutex_;
  std::array<std::optional<VfsFile>, kJournalFiles> files_ ABSL_GUARDED_BY(mutex_);
  std::array<JournalPlace, kJournalFiles> places_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::deque<Row>> rows_ ABSL_GUARDED_BY(mutex_);
  uint64_t batches_ ABSL_GUARDED_BY(mutex_) = 0;
  // A generation of each file of which a sync failed.
  std::array<uint64_t, kJournalFiles> doubtful_ ABSL_GUARDED_BY(mutex_){};
};

}  // namespace buurtlog::eventlog
