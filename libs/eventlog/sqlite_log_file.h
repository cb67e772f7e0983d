// log.db: the entries of the sqlite engine as rows, a table for each partition, keyed by their
// sequence and by nothing else: so every table grows at its end only, and its pages are full.
// Everything that is read from it is verified through the fold.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventlog/head_file.h"
#include "libs/eventlog/journal_overlay.h"
#include "libs/eventlog/sqlite_event_log.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::eventlog {

// Entries verified when a log is opened: those behind the head file and at least the last
// kVerifiedAtOpenMin of each partition, but never more than kVerifiedAtOpenMax of one.
inline constexpr Sequence kVerifiedAtOpenMin = 64;
inline constexpr Sequence kVerifiedAtOpenMax = 64 << 10;
// Connections for reading that are kept while nobody reads.
inline constexpr size_t kIdleReadersMax = 4;

// DATA_LOSS naming the place.
absl::Status DataLossAt(Partition partition, Sequence sequence, std::string_view what);

// From where a reader that skips everything before `entry` visits it.
FoldState PlaceBefore(const EntryView& entry);

std::string LogFilePath(const std::string& folder);
// The table of a partition.
std::string TableOf(Partition partition);
// Sequences are SQLite's rowids.
inline constexpr Sequence kSequenceMax = (Sequence{1} << 62) - 1;

// Makes an empty log.db. ALREADY_EXISTS when there is one with entries.
absl::Status CreateLogFile(const SqliteLogOptions& options, uint32_t partitions);

enum class CheckpointMode {
  kPassive,   // waits for nobody
  kRestart,   // waits a moment for readers, so that the next write begins the WAL anew
  kTruncate,  // and empties the file
};

// Up to where a log.db that copies a topic goes in one partition: its last entry, and the offset of
// the message that brought it. Without entries all of it is 0.
struct MessagePlace {
  Sequence sequence = 0;
  int64_t offset = 0;
  std::string owner;  // of the newest epoch record up to there
};

// A connection that writes, with its statements. A commit is not synced; SyncWal is for that,
// except for a synced transaction: what that one commits nobody sees before the disk has it. Not
// thread-safe.
class LogFileWriter {
 public:
  static absl::StatusOr<LogFileWriter> Open(const SqliteLogOptions& options, uint32_t partitions);

  absl::StatusOr<sqlite::Transaction> Begin(bool synced = false);
  absl::Status Commit(sqlite::Transaction& transaction);
  // A row that is there already stays: a commit of unknown outcome is repeated.
  absl::Status Insert(Partition partition, Sequence sequence, std::string_view bytes);
  // Of a copy of a topic: keeps how far the partition goes, beside the entries that this
  // transaction inserts. An empty owner leaves the one that is known.
  absl::Status KeepMessagePlace(Partition partition, const MessagePlace& place);
  // By partition.
  absl::StatusOr<std::vector<MessagePlace>> MessagePlaces();
  // Moves what the WAL holds into the database as far as readers allow, and waits for the disk.
  // True when all of it was moved.
  absl::StatusOr<bool> Checkpoint(CheckpointMode mode);
  // Waits for the disk to have all that the WAL holds, also what it had before this writer.
  absl::Status SyncWal();
  // Pages in the WAL after the newest commit.
  int wal_pages() const { return *wal_pages_; }

 private:
  LogFileWriter(sqlite::Connection connection, uint32_t partitions);
  absl::StatusOr<bool> RunCheckpoint(const char* sql);
  void SetDoubtful(bool doubtful);

  sqlite::Connection connection_;
  // A sync failed, of this writer or perhaps of one before it: the WAL is written again before a
  // sync is believed (wal_rewrite.h).
  bool wal_is_doubtful_ = true;
  std::vector<std::optional<sqlite::Statement>> inserts_;  // by partition
  std::unique_ptr<int> wal_pages_;  // written by SQLite's hook, so it stays in its place
};

// Reads on connections of its own, in short transactions. Thread-safe.
class LogFileReader {
 public:
  // `overlay`: what stands in the journal, read as if it stood in log.db; null for the writer, who
  // has it in memory.
  LogFileReader(LogIdentity identity, SqliteLogOptions options,
                std::unique_ptr<JournalOverlay> overlay = nullptr);
  ~LogFileReader();

  // As LogReader::Read. `end` is the sequence behind the last entry that is known to be there:
  // entries that are missing before it are DATA_LOSS, later ones are not visited. Without it, all
  // that is there is visited.
  absl::Status Read(Partition partition, FoldState& at, std::optional<Sequence> end,
                    const ReadLimits& limits,
                    absl::FunctionRef<absl::Status(const EntryView&)> visit);
  // As EventLog::ReadEntries, of entries that are all in log.db.
  absl::Status ReadEntries(Partition partition, absl::Span<const Sequence> sequences,
                           ReadRoom& room, absl::FunctionRef<absl::Status(const EntryView&)> visit);
  // As LogReader::Seek, for an entry that exists. OUT_OF_RANGE otherwise.
  absl::StatusOr<FoldState> Seek(Partition partition, Sequence from);
  // 0 when there are no entries.
  absl::StatusOr<Sequence> LastSequence(Partition partition);
  // Where the partition stands, after verifying its end and that it holds what the head file says.
  // The owner is known when its epoch record is among the verified entries.
  absl::StatusOr<FoldState> VerifyTail(Partition partition, const KnownHead& known);

  const LogIdentity& identity() const { return identity_; }
  JournalOverlay* overlay() const { return overlay_.get(); }

 private:
  class Session;
  struct Rows;

  absl::StatusOr<std::unique_ptr<Session>> Take();
  void GiveBack(std::unique_ptr<Session> session);
  absl::Status ReadRows(Partition partition, Sequence from, Sequence end, const ReadLimits& limits,
                        Rows& rows);
  absl::Status ReadTable(Partition partition, Sequence from, Sequence end, const ReadLimits& limits,
                         Rows& rows);
  absl::Status CheckAtEnd(Partition partition, const FoldState& at, std::optional<Sequence> end);

  const LogIdentity identity_;
  const SqliteLogOptions options_;
  const std::unique_ptr<JournalOverlay> overlay_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Session>> idle_ ABSL_GUARDED_BY(mutex_);
};

// Tells that the writer, of this or another process, has written to the journal or to log.db. Not
// thread-safe.
class LogFileChanges {
 public:
  // `overlay` outlives it.
  static absl::StatusOr<LogFileChanges> Open(const SqliteLogOptions& options,
                                             JournalOverlay& overlay);
  // True when there was something since the call before; true the first time.
  absl::StatusOr<bool> Changed();

 private:
  LogFileChanges(sqlite::Connection connection, JournalOverlay& overlay)
      : connection_(std::move(connection)), overlay_(&overlay) {}
  sqlite::Connection connection_;
  JournalOverlay* overlay_;
  int64_t version_ = -1;
  uint64_t batches_ = 0;
};

}  // namespace buurtlog::eventlog
