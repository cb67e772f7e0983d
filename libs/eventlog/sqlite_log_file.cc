#include "libs/eventlog/sqlite_log_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/absl_view.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/sqlite/wal_rewrite.h"

namespace buurtlog::eventlog {
namespace {

// Sequences are SQLite's rowids.
constexpr Sequence kSequenceMax = (Sequence{1} << 62) - 1;
constexpr int kLooksMax = 5;

// As many tables as the view for people shows; SQLite joins no more than 500.
constexpr uint32_t kViewPartitionsMax = 256;

std::string TableOf(Partition partition) { return absl::StrCat("entry_", partition); }

// Pages of 8 KiB hold some twenty entries, so little of them stays empty, and moving a few entries
// still writes little.
std::string Schema(uint32_t partitions) {
  std::string sql = "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; BEGIN;";
  std::string view;
  for (Partition partition = 0; partition < partitions; ++partition) {
    absl::StrAppend(&sql, "CREATE TABLE IF NOT EXISTS ", TableOf(partition),
                    "(sequence INTEGER PRIMARY KEY, bytes BLOB NOT NULL);");
    absl::StrAppend(&view, partition == 0 ? "" : " UNION ALL ", "SELECT ", partition,
                    " AS \"partition\", sequence, bytes FROM ", TableOf(partition));
  }
  if (partitions <= kViewPartitionsMax) {
    absl::StrAppend(&sql, "CREATE VIEW IF NOT EXISTS log AS ", view, ";");
  }
  return absl::StrCat(sql, "COMMIT;");
}

// What SQLite calls corrupt has no place of its own; the place where the reader met it is the best
// there is.
absl::Status WithPlace(const absl::Status& status, Partition partition, Sequence after) {
  if (!absl::IsDataLoss(status)) return status;
  return DataLossAt(
      partition, after + 1,
      absl::StrCat("the database is damaged behind sequence ", after, ": ", status.message()));
}

absl::StatusOr<sqlite::Connection> OpenReadOnly(const SqliteLogOptions& options) {
  sqlite::OpenOptions open;
  open.read_only = true;
  open.create = false;
  open.vfs = options.vfs;
  absl::StatusOr<sqlite::Connection> connection =
      sqlite::Connection::Open(LogFilePath(options.folder), open);
  // Too many open files, say: readers go on later. Whether the file exists was asked at the start.
  if (absl::IsNotFound(connection.status())) {
    return absl::UnavailableError(connection.status().message());
  }
  return connection;
}

int CountWalPages(void* pages, sqlite3*, const char*, int count) {
  *static_cast<int*>(pages) = count;
  return SQLITE_OK;
}

// The row of an entry that is read by itself.
absl::StatusOr<EntryView> ParseAt(Partition partition, Sequence sequence, std::string_view bytes) {
  absl::StatusOr<EntryView> entry = ParseEntry(bytes);
  if (absl::IsUnimplemented(entry.status())) {
    return absl::UnimplementedError(absl::StrCat("partition ", partition, ", sequence ", sequence,
                                                 ": ", entry.status().message()));
  }
  if (!entry.ok()) return DataLossAt(partition, sequence, StdView(entry.status().message()));
  if (entry->header.partition != partition || entry->header.sequence != sequence) {
    return DataLossAt(partition, sequence, "another entry stands in its place");
  }
  return entry;
}

// Folds one stored row. Whatever is stored counts, so any other verdict is damage.
absl::StatusOr<FoldResult> FoldStored(FoldState& at, Partition partition, std::string_view bytes) {
  const Sequence sequence = at.next;
  absl::StatusOr<FoldResult> folded = Fold(at, partition, bytes);
  if (absl::IsUnimplemented(folded.status())) {
    return absl::UnimplementedError(absl::StrCat("partition ", partition, ", sequence ", sequence,
                                                 ": ", folded.status().message()));
  }
  if (!folded.ok()) return DataLossAt(partition, sequence, StdView(folded.status().message()));
  if (folded->verdict != Verdict::kCounts || !folded->filled.empty()) {
    return DataLossAt(partition, sequence,
                      "the entry does not follow from the one before it (sequence, epoch or hash)");
  }
  return folded;
}

}  // namespace

absl::Status DataLossAt(Partition partition, Sequence sequence, std::string_view what) {
  return absl::DataLossError(
      absl::StrCat("partition ", partition, ", sequence ", sequence, ": ", AbslView(what)));
}

FoldState PlaceBefore(const EntryView& entry) {
  FoldState state;
  state.next = entry.header.sequence;
  state.head_hash = entry.header.previous_hash;
  state.epoch = entry.header.epoch - (entry.header.kind == EntryKind::kEpoch ? 1 : 0);
  return state;
}

std::string LogFilePath(const std::string& folder) { return absl::StrCat(folder, "/log.db"); }

absl::Status CreateLogFile(const SqliteLogOptions& options, uint32_t partitions) {
  sqlite::OpenOptions open;
  open.vfs = options.vfs;
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection connection,
                        sqlite::Connection::Open(LogFilePath(options.folder), open));
  ABSL_RETURN_IF_ERROR(connection.Execute(Schema(partitions)));
  for (Partition partition = 0; partition < partitions; ++partition) {
    ABSL_ASSIGN_OR_RETURN(
        sqlite::Statement any,
        connection.Prepare(absl::StrCat("SELECT EXISTS (SELECT 1 FROM ", TableOf(partition), ")")));
    ABSL_ASSIGN_OR_RETURN(const bool row, any.Step());
    if (row && any.Int(0) != 0) {
      return absl::AlreadyExistsError(
          absl::StrCat(LogFilePath(options.folder), " has entries, but no identity beside it"));
    }
  }
  // All of it, though an earlier attempt was told that it could not be synced.
  ABSL_RETURN_IF_ERROR(sqlite::RewriteWal(connection.handle()));
  return connection.Execute("PRAGMA wal_checkpoint(TRUNCATE)");
}

LogFileWriter::LogFileWriter(sqlite::Connection connection, uint32_t partitions)
    : connection_(std::move(connection)),
      inserts_(partitions),
      wal_pages_(std::make_unique<int>(0)) {
  sqlite3_wal_hook(connection_.handle(), CountWalPages, wal_pages_.get());
  SetDoubtful(true);
}

absl::StatusOr<LogFileWriter> LogFileWriter::Open(const SqliteLogOptions& options,
                                                  uint32_t partitions) {
  sqlite::OpenOptions open;
  open.create = false;
  open.vfs = options.vfs;
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection connection,
                        sqlite::Connection::Open(LogFilePath(options.folder), open));
  const absl::Status set = connection.Execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; "
      "PRAGMA wal_autocheckpoint = 0; "
      "PRAGMA journal_size_limit = 67108864");
  // The SQL is right, so it is a header that SQLite does not understand.
  if (absl::IsInternal(set)) {
    return absl::DataLossError(
        absl::StrCat(LogFilePath(options.folder), " is damaged: ", set.message()));
  }
  ABSL_RETURN_IF_ERROR(set);
  return LogFileWriter(std::move(connection), partitions);
}

absl::StatusOr<sqlite::Transaction> LogFileWriter::Begin(bool synced) {
  ABSL_RETURN_IF_ERROR(
      connection_.Execute(synced ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL"));
  return sqlite::Transaction::Begin(connection_, sqlite::Transaction::Mode::kWrite);
}

absl::Status LogFileWriter::Commit(sqlite::Transaction& transaction) {
  absl::Status committed = transaction.Commit();
  if (!committed.ok()) SetDoubtful(true);
  return committed;
}

absl::Status LogFileWriter::Insert(Partition partition, Sequence sequence, std::string_view bytes) {
  CHECK(partition < inserts_.size() && sequence <= kSequenceMax);
  std::optional<sqlite::Statement>& insert = inserts_[partition];
  if (!insert.has_value()) {
    ABSL_ASSIGN_OR_RETURN(
        insert, connection_.Prepare(absl::StrCat("INSERT OR IGNORE INTO ", TableOf(partition),
                                                 "(sequence, bytes) VALUES(?1, ?2)")));
  }
  return insert->Bind(1, static_cast<int64_t>(sequence)).BindBlobView(2, bytes).Run();
}

absl::StatusOr<bool> LogFileWriter::Checkpoint(CheckpointMode mode) {
  if (mode == CheckpointMode::kPassive) return RunCheckpoint("PRAGMA wal_checkpoint(PASSIVE)");
  sqlite3_busy_timeout(connection_.handle(), sqlite::kReadersWaitMs);
  absl::StatusOr<bool> complete =
      RunCheckpoint(mode == CheckpointMode::kRestart ? "PRAGMA wal_checkpoint(RESTART)"
                                                     : "PRAGMA wal_checkpoint(TRUNCATE)");
  sqlite3_busy_timeout(connection_.handle(), sqlite::kBusyWaitMs);
  return complete;
}

absl::StatusOr<bool> LogFileWriter::RunCheckpoint(const char* sql) {
  // What is moved must be in the WAL on the disk first: a WAL that has lost its end would put older
  // pages beside it.
  if (wal_is_doubtful_) ABSL_RETURN_IF_ERROR(SyncWal());
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement statement, connection_.Prepare(sql));
  const absl::StatusOr<bool> row = statement.Step();
  if (!row.ok()) SetDoubtful(true);
  ABSL_RETURN_IF_ERROR(row.status());
  // Columns: whether it was blocked, pages in the WAL, pages of it that are in the database.
  return *row && statement.Int(0) == 0 && statement.Int(1) == statement.Int(2);
}

// SQLite moves the WAL when the connection closes, and would believe a sync.
void LogFileWriter::SetDoubtful(bool doubtful) {
  wal_is_doubtful_ = doubtful;
  sqlite3_db_config(connection_.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, doubtful ? 1 : 0,
                    nullptr);
}

absl::Status LogFileWriter::SyncWal() {
  if (wal_is_doubtful_) ABSL_RETURN_IF_ERROR(sqlite::RewriteWal(connection_.handle()));
  sqlite3_file* wal = nullptr;
  const int found =
      sqlite3_file_control(connection_.handle(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
  if (found != SQLITE_OK) return sqlite::ErrorStatus(found, nullptr, "finding the WAL");
  // There is none yet.
  const bool none = wal == nullptr || wal->pMethods == nullptr;
  const int synced = none ? SQLITE_OK : wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
  SetDoubtful(synced != SQLITE_OK);
  if (synced != SQLITE_OK) return sqlite::ErrorStatus(synced, nullptr, "syncing the WAL");
  return absl::OkStatus();
}

// One connection for reading, with its statements.
class LogFileReader::Session {
 public:
  Session(sqlite::Connection connection, uint32_t partitions)
      : connection_(std::move(connection)),
        ranges_(partitions),
        lasts_(partitions),
        ones_(partitions) {}

  absl::StatusOr<sqlite::Statement*> Range(Partition partition) {
    return Prepared(ranges_[partition], partition, "SELECT sequence, bytes FROM ",
                    " WHERE sequence >= ?1 AND sequence < ?2 ORDER BY sequence");
  }
  absl::StatusOr<sqlite::Statement*> Last(Partition partition) {
    return Prepared(lasts_[partition], partition, "SELECT max(sequence) FROM ", "");
  }
  absl::StatusOr<sqlite::Statement*> One(Partition partition) {
    return Prepared(ones_[partition], partition, "SELECT bytes FROM ", " WHERE sequence = ?1");
  }
  absl::StatusOr<sqlite::Transaction> Begin() {
    return sqlite::Transaction::Begin(connection_, sqlite::Transaction::Mode::kRead);
  }

 private:
  absl::StatusOr<sqlite::Statement*> Prepared(std::optional<sqlite::Statement>& statement,
                                              Partition partition, const char* before,
                                              const char* behind) {
    if (!statement.has_value()) {
      absl::StatusOr<sqlite::Statement> prepared =
          connection_.Prepare(absl::StrCat(before, TableOf(partition), behind));
      // The tables are made with the log, so one that is not there was lost.
      if (absl::IsInternal(prepared.status())) {
        return DataLossAt(partition, 0, StdView(prepared.status().message()));
      }
      ABSL_RETURN_IF_ERROR(WithPlace(prepared.status(), partition, 0));
      statement = *std::move(prepared);
    }
    return &*statement;
  }

  sqlite::Connection connection_;
  std::vector<std::optional<sqlite::Statement>> ranges_;  // by partition
  std::vector<std::optional<sqlite::Statement>> lasts_;
  std::vector<std::optional<sqlite::Statement>> ones_;
};

// Rows copied out of the database, so that no transaction stays open while they are visited.
struct LogFileReader::Rows {
  struct Row {
    Sequence sequence = 0;
    size_t offset = 0;
    size_t size = 0;
  };
  std::string bytes;
  std::vector<Row> rows;
  bool ended = false;  // nothing more in the range

  // False, and nothing added, when that would be over the limits.
  bool Add(Sequence sequence, std::string_view entry, const ReadLimits& limits) {
    if (!rows.empty() &&
        (rows.size() >= limits.entries_max || bytes.size() + entry.size() > limits.bytes_max)) {
      return false;
    }
    rows.push_back({sequence, bytes.size(), entry.size()});
    bytes.append(entry);
    return true;
  }
};

LogFileReader::LogFileReader(LogIdentity identity, SqliteLogOptions options,
                             std::unique_ptr<JournalOverlay> overlay)
    : identity_(std::move(identity)), options_(std::move(options)), overlay_(std::move(overlay)) {}

LogFileReader::~LogFileReader() = default;

absl::StatusOr<std::unique_ptr<LogFileReader::Session>> LogFileReader::Take() {
  {
    absl::MutexLock lock(&mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Session> session = std::move(idle_.back());
      idle_.pop_back();
      return session;
    }
  }
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection connection, OpenReadOnly(options_));
  return std::make_unique<Session>(std::move(connection), identity_.partitions);
}

void LogFileReader::GiveBack(std::unique_ptr<Session> session) {
  absl::MutexLock lock(&mutex_);
  if (idle_.size() < kIdleReadersMax) idle_.push_back(std::move(session));
}

absl::Status LogFileReader::ReadRows(Partition partition, Sequence from, Sequence end,
                                     const ReadLimits& limits, Rows& rows) {
  if (overlay_ == nullptr) return ReadTable(partition, from, end, limits, rows);
  Sequence next = from;
  for (int look = 0; look < kLooksMax; ++look) {
    ABSL_RETURN_IF_ERROR(overlay_->Refresh());
    rows = {};
    ABSL_RETURN_IF_ERROR(ReadTable(partition, from, end, limits, rows));
    if (!rows.ended) return absl::OkStatus();
    next = rows.rows.empty() ? from : rows.rows.back().sequence + 1;
    const bool whole =
        overlay_->ForEach(partition, next, end, [&](Sequence sequence, std::string_view bytes) {
          rows.ended = rows.Add(sequence, bytes, limits);
          return rows.ended;
        });
    // Otherwise another reader has found a file of the journal used again since this one looked
    // into the table, which has by now what the journal had.
    if (whole) return absl::OkStatus();
  }
  return DataLossAt(partition, next, "missing; the journal goes on behind it");
}

absl::Status LogFileReader::ReadTable(Partition partition, Sequence from, Sequence end,
                                      const ReadLimits& limits, Rows& rows) {
  // A connection that met an error is not used again.
  ABSL_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Take());
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement* const range, session->Range(partition));
  range->Bind(1, static_cast<int64_t>(from)).Bind(2, static_cast<int64_t>(end));
  while (true) {
    absl::StatusOr<bool> row = range->Step();
    if (!row.ok()) {
      const Sequence after = rows.rows.empty() ? from - 1 : rows.rows.back().sequence;
      return WithPlace(row.status(), partition, after);
    }
    rows.ended = !*row;
    if (rows.ended) break;
    if (!rows.Add(static_cast<Sequence>(range->Int(0)), range->Blob(1), limits)) break;
  }
  range->Reset();
  GiveBack(std::move(session));
  return absl::OkStatus();
}

absl::Status LogFileReader::CheckAtEnd(Partition partition, const FoldState& at,
                                       std::optional<Sequence> end) {
  if (end.has_value() && at.next < *end) {
    return DataLossAt(partition, at.next, absl::StrCat("missing; the log goes to ", *end - 1));
  }
  if (at.next == 1) {
    if (at.head_hash == InitialHash(identity_, partition)) return absl::OkStatus();
    return DataLossAt(partition, 0, "the reader is not on the chain of this log");
  }
  Rows rows;
  ABSL_RETURN_IF_ERROR(ReadRows(partition, at.next - 1, at.next, {1, 1}, rows));
  if (rows.rows.empty()) {
    return DataLossAt(partition, at.next - 1, "the log ends before this entry");
  }
  absl::StatusOr<EntryView> entry = ParseEntry(rows.bytes);
  if (!entry.ok()) return DataLossAt(partition, at.next - 1, StdView(entry.status().message()));
  if (EntryHash(entry->header.previous_hash, rows.bytes) != at.head_hash) {
    return DataLossAt(partition, at.next - 1, "the reader is not on the chain of this log");
  }
  return absl::OkStatus();
}

absl::Status LogFileReader::Read(Partition partition, FoldState& at, std::optional<Sequence> end,
                                 const ReadLimits& limits,
                                 absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  if (at.next > kSequenceMax) return DataLossAt(partition, at.next, "there is no such sequence");
  Rows rows;
  ABSL_RETURN_IF_ERROR(ReadRows(partition, at.next, end.value_or(kSequenceMax), limits, rows));
  FoldState moved = at;
  for (const Rows::Row& row : rows.rows) {
    if (row.sequence != at.next) {
      return DataLossAt(partition, at.next,
                        absl::StrCat("missing; the next entry is ", row.sequence));
    }
    const std::string_view bytes = std::string_view(rows.bytes).substr(row.offset, row.size);
    ABSL_ASSIGN_OR_RETURN(const FoldResult folded, FoldStored(moved, partition, bytes));
    ABSL_RETURN_IF_ERROR(visit(folded.entry));
    at.epoch = moved.epoch;
    at.next = moved.next;
    at.head_hash = moved.head_hash;
    // The owner changes with an epoch record only, and is a string that is dear to copy.
    if (folded.entry.header.kind == EntryKind::kEpoch) at.owner = moved.owner;
  }
  const bool at_end = rows.ended && (rows.rows.empty() || (end.has_value() && at.next < *end));
  return at_end ? CheckAtEnd(partition, at, end) : absl::OkStatus();
}

absl::Status LogFileReader::ReadEntries(Partition partition, absl::Span<const Sequence> sequences,
                                        ReadRoom& room,
                                        absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  if (sequences.empty()) return absl::OkStatus();
  // A connection that met an error is not used again.
  ABSL_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Take());
  {
    // One for all of them: SQLite takes its locks and looks for what is new once.
    ABSL_ASSIGN_OR_RETURN(const sqlite::Transaction transaction, session->Begin());
    ABSL_ASSIGN_OR_RETURN(sqlite::Statement* const one, session->One(partition));
    for (const Sequence sequence : sequences) {
      one->Bind(1, static_cast<int64_t>(sequence));
      const absl::StatusOr<bool> row = one->Step();
      if (!row.ok()) return WithPlace(row.status(), partition, sequence - 1);
      if (!*row) return DataLossAt(partition, sequence, "missing; the log goes on behind it");
      const std::string_view bytes = one->Blob(0);
      if (!room.Take(bytes.size())) break;
      ABSL_ASSIGN_OR_RETURN(const EntryView entry, ParseAt(partition, sequence, bytes));
      ABSL_RETURN_IF_ERROR(visit(entry));
      one->Reset();
    }
    one->Reset();
  }
  GiveBack(std::move(session));
  return absl::OkStatus();
}

absl::StatusOr<FoldState> LogFileReader::Seek(Partition partition, Sequence from) {
  CHECK(from >= 1);
  if (from > kSequenceMax) return absl::OutOfRangeError("there is no such sequence");
  Rows rows;
  ABSL_RETURN_IF_ERROR(ReadRows(partition, from, from + 1, {1, 1}, rows));
  if (rows.rows.empty()) {
    return absl::OutOfRangeError(
        absl::StrCat("partition ", partition, " ends before sequence ", from));
  }
  absl::StatusOr<EntryView> entry = ParseEntry(rows.bytes);
  if (absl::IsDataLoss(entry.status())) {
    return DataLossAt(partition, from, StdView(entry.status().message()));
  }
  ABSL_RETURN_IF_ERROR(entry.status());
  return PlaceBefore(*entry);
}

absl::StatusOr<Sequence> LogFileReader::LastSequence(Partition partition) {
  Sequence in_journal = 0;
  if (overlay_ != nullptr) {
    ABSL_RETURN_IF_ERROR(overlay_->Refresh());
    // Now: what another reader makes it forget meanwhile is in the table.
    in_journal = overlay_->Last(partition);
  }
  ABSL_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Take());
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement* const last, session->Last(partition));
  absl::StatusOr<bool> row = last->Step();
  ABSL_RETURN_IF_ERROR(WithPlace(row.status(), partition, 0));
  const Sequence in_table = *row ? static_cast<Sequence>(last->Int(0)) : 0;
  last->Reset();
  GiveBack(std::move(session));
  return std::max(in_table, in_journal);
}

absl::StatusOr<FoldState> LogFileReader::VerifyTail(Partition partition, const KnownHead& known) {
  ABSL_ASSIGN_OR_RETURN(const Sequence last, LastSequence(partition));
  if (last < known.sequence) {
    return DataLossAt(partition, last + 1,
                      absl::StrCat("missing; the log was known to go to ", known.sequence));
  }
  Sequence first = last > kVerifiedAtOpenMin ? last - kVerifiedAtOpenMin + 1 : 1;
  if (known.sequence > 0) first = std::min(first, known.sequence);
  if (last >= first + kVerifiedAtOpenMax) first = last - kVerifiedAtOpenMax + 1;
  if (known.sequence > 0) {
    FoldState at;
    at.next = known.sequence + 1;
    at.head_hash = known.hash;
    ABSL_RETURN_IF_ERROR(CheckAtEnd(partition, at, std::nullopt));
  }
  FoldState state = InitialFoldState(identity_, partition);
  if (first > 1) {
    absl::StatusOr<FoldState> begun = Seek(partition, first);
    if (absl::IsOutOfRange(begun.status())) {
      return DataLossAt(partition, first, absl::StrCat("missing; the log goes to ", last));
    }
    ABSL_RETURN_IF_ERROR(begun.status());
    state = *std::move(begun);
  }
  while (state.next <= last) {
    ABSL_RETURN_IF_ERROR(
        Read(partition, state, last + 1, {}, [](const EntryView&) { return absl::OkStatus(); }));
  }
  return state;
}

absl::StatusOr<LogFileChanges> LogFileChanges::Open(const SqliteLogOptions& options,
                                                    JournalOverlay& overlay) {
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection connection, OpenReadOnly(options));
  return LogFileChanges(std::move(connection), overlay);
}

absl::StatusOr<bool> LogFileChanges::Changed() {
  ABSL_RETURN_IF_ERROR(overlay_->Refresh());
  sqlite::Statement& statement = connection_.Cached("PRAGMA data_version");
  ABSL_ASSIGN_OR_RETURN(const bool row, statement.Step());
  const int64_t version = row ? statement.Int(0) : -1;
  statement.Reset();
  const bool moved = std::exchange(version_, version) != version;
  const uint64_t batches = overlay_->batches();
  return (std::exchange(batches_, batches) != batches) || moved;
}

}  // namespace buurtlog::eventlog
