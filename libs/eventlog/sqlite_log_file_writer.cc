#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/sqlite_log_file.h"
#include "libs/sqlite/wal_rewrite.h"

namespace buurtlog::eventlog {
namespace {

// As many tables as the view for people shows; SQLite joins no more than 500.
constexpr uint32_t kViewPartitionsMax = 256;

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

int CountWalPages(void* pages, sqlite3*, const char*, int count) {
  *static_cast<int*>(pages) = count;
  return SQLITE_OK;
}

}  // namespace

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
  // A header that asks for a writer who knows a later format, or a file without the right to write.
  if (sqlite3_db_readonly(connection.handle(), "main") == 1) {
    return absl::DataLossError(
        absl::StrCat(LogFilePath(options.folder), " is damaged, or may not be written"));
  }
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

absl::Status LogFileWriter::KeepMessagePlace(Partition partition, const MessagePlace& place) {
  return connection_
      .Cached(
          "INSERT INTO message_place(\"partition\", sequence, message_offset, owner) "
          "VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET sequence = ?2, message_offset = ?3, "
          "owner = CASE WHEN ?4 = '' THEN owner ELSE ?4 END")
      .Bind(1, static_cast<int64_t>(partition))
      .Bind(2, static_cast<int64_t>(place.sequence))
      .Bind(3, place.offset)
      .Bind(4, place.owner)
      .Run();
}

absl::StatusOr<std::vector<MessagePlace>> LogFileWriter::MessagePlaces() {
  ABSL_RETURN_IF_ERROR(
      connection_.Execute("CREATE TABLE IF NOT EXISTS message_place(\"partition\" INTEGER PRIMARY "
                          "KEY, sequence INTEGER NOT NULL, message_offset INTEGER NOT NULL, "
                          "owner TEXT NOT NULL)"));
  std::vector<MessagePlace> places(inserts_.size());
  ABSL_ASSIGN_OR_RETURN(
      sqlite::Statement rows,
      connection_.Prepare(
          "SELECT \"partition\", sequence, message_offset, owner FROM message_place"));
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return places;
    const auto partition = static_cast<size_t>(rows.Int(0));
    if (partition >= places.size()) return absl::DataLossError("the place of no partition");
    places[partition] = {static_cast<Sequence>(rows.Int(1)), rows.Int(2),
                         std::string(rows.Text(3))};
  }
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

}  // namespace buurtlog::eventlog
