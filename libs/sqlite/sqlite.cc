#include "libs/sqlite/sqlite.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/absl_view.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/sqlite/checksum_vfs.h"
#include "libs/sqlite/wal_rewrite.h"

namespace buurtlog::sqlite {
namespace {

// SQLite would count what it allocates, under one mutex for all connections. It can be told so only
// before it is used for the first time, which is not always through this file.
[[maybe_unused]] const int kStatisticsAreOff = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);

// A null pointer would bind NULL, where an empty value is meant.
const char* Data(std::string_view bytes) { return bytes.data() == nullptr ? "" : bytes.data(); }

absl::StatusCode CodeOf(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL: return absl::StatusCode::kResourceExhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR: return absl::StatusCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return absl::StatusCode::kDataLoss;
    case SQLITE_CONSTRAINT: return absl::StatusCode::kAlreadyExists;
    case SQLITE_CANTOPEN: return absl::StatusCode::kNotFound;
    default: return absl::StatusCode::kInternal;
  }
}

std::string_view SqlView(sqlite3_stmt* statement) {
  const char* const sql = sqlite3_sql(statement);
  return sql == nullptr ? std::string_view() : sql;
}

}  // namespace

absl::Status ErrorStatus(int code, sqlite3* handle, std::string_view doing) {
  std::string message =
      absl::StrCat(AbslView(doing), ": ", sqlite3_errstr(code), " (SQLite ", code, ")");
  // Only of these errors is SQLite's own text known to hold names of tables and columns, and no
  // bound values.
  if ((code & 0xff) == SQLITE_CONSTRAINT && handle != nullptr) {
    absl::StrAppend(&message, ": ", sqlite3_errmsg(handle));
  }
  return absl::Status(CodeOf(code), message);
}

Statement& Statement::Bind(int parameter, int64_t value) {
  if (handle_ == nullptr) return *this;
  CHECK(sqlite3_bind_int64(handle_.get(), parameter, value) == SQLITE_OK);
  return *this;
}

Statement& Statement::Bind(int parameter, double value) {
  if (handle_ == nullptr) return *this;
  CHECK(sqlite3_bind_double(handle_.get(), parameter, value) == SQLITE_OK);
  return *this;
}

Statement& Statement::Bind(int parameter, std::string_view text) {
  if (handle_ == nullptr) return *this;
  CHECK(sqlite3_bind_text64(handle_.get(), parameter, Data(text), text.size(), SQLITE_TRANSIENT,
                            SQLITE_UTF8) == SQLITE_OK);
  return *this;
}

Statement& Statement::BindBlob(int parameter, std::string_view bytes) {
  if (handle_ == nullptr) return *this;
  CHECK(sqlite3_bind_blob64(handle_.get(), parameter, Data(bytes), bytes.size(),
                            SQLITE_TRANSIENT) == SQLITE_OK);
  return *this;
}

Statement& Statement::BindBlobView(int parameter, std::string_view bytes) {
  if (handle_ == nullptr) return *this;
  CHECK(sqlite3_bind_blob64(handle_.get(), parameter, Data(bytes), bytes.size(), SQLITE_STATIC) ==
        SQLITE_OK);
  return *this;
}

Statement& Statement::BindNull(int parameter) {
  if (handle_ == nullptr) return *this;
  CHECK(sqlite3_bind_null(handle_.get(), parameter) == SQLITE_OK);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  if (handle_ == nullptr) return failed_;
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  // Made before the reset, which may change what the connection says of the error.
  absl::Status status = ErrorStatus(code, sqlite3_db_handle(handle_.get()), SqlView(handle_.get()));
  sqlite3_reset(handle_.get());
  return status;
}

absl::Status Statement::Run() {
  const absl::StatusOr<bool> row = Step();
  Reset();
  return row.status();
}

void Statement::Reset() { sqlite3_reset(handle_.get()); }

int Statement::columns() const { return sqlite3_column_count(handle_.get()); }

bool Statement::IsNull(int column) const { return ColumnType(column) == SQLITE_NULL; }

int64_t Statement::Int(int column) const { return sqlite3_column_int64(handle_.get(), column); }

double Statement::Double(int column) const { return sqlite3_column_double(handle_.get(), column); }

std::string_view Statement::Text(int column) const {
  const unsigned char* const text = sqlite3_column_text(handle_.get(), column);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text),
          static_cast<size_t>(sqlite3_column_bytes(handle_.get(), column))};
}

std::string_view Statement::Blob(int column) const {
  const void* const bytes = sqlite3_column_blob(handle_.get(), column);
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes),
          static_cast<size_t>(sqlite3_column_bytes(handle_.get(), column))};
}

int Statement::ColumnType(int column) const { return sqlite3_column_type(handle_.get(), column); }

absl::StatusOr<Connection> Connection::Open(const std::string& path, const OpenOptions& options) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  flags |= options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
  if (options.create && !options.read_only) flags |= SQLITE_OPEN_CREATE;
  const std::string vfs = options.page_checksums ? ChecksumVfs(options.vfs) : options.vfs;
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &handle, flags, vfs.empty() ? nullptr : vfs.c_str());
  // A failed open gives a handle too, which must be closed.
  Connection connection(handle);
  if (code != SQLITE_OK) return ErrorStatus(code, handle, absl::StrCat("opening ", path));
  sqlite3_busy_timeout(handle, options.busy_timeout_ms);
  if (options.page_checksums) {
    // Of a file that has pages already it changes nothing.
    int reserved = kPageChecksumBytes;
    sqlite3_file_control(handle, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
  }
  return connection;
}

absl::Status Connection::Execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : ErrorStatus(code, handle_.get(), sql);
}

absl::StatusOr<Statement> Connection::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) {
    // Nothing is bound yet, so SQLite's text is about the SQL alone.
    return ErrorStatus(code, nullptr,
                       absl::StrCat(AbslView(sql), ": ", sqlite3_errmsg(handle_.get())));
  }
  if (statement == nullptr) return absl::InternalError("preparing no SQL at all");
  return Statement(statement);
}

Statement& Connection::Cached(std::string_view sql) {
  const auto found = cached_.find(AbslView(sql));
  if (found != cached_.end() && found->second->handle_ != nullptr) {
    sqlite3_stmt* const statement = found->second->handle_.get();
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return *found->second;
  }
  absl::StatusOr<Statement> prepared = Prepare(sql);
  CHECK(!absl::IsInternal(prepared.status()));
  Statement statement = prepared.ok() ? *std::move(prepared) : Statement(prepared.status());
  if (found == cached_.end()) {
    return *(cached_[AbslView(sql)] = std::make_unique<Statement>(std::move(statement)));
  }
  // In its place: whoever was given the failed one may still hold it.
  return *found->second = std::move(statement);
}

namespace {

int MoveWal(void* pages_max, sqlite3* handle, const char* name, int pages);
int MoveDoubtfulWal(void* pages_max, sqlite3* handle, const char* name, int pages);

// Doubtful: the disk may not have what a sync that succeeds next would stand for (wal_rewrite.h).
// Then nothing is moved at the close either, which would believe that sync.
void MoveWalBehindCommits(sqlite3* handle, void* pages_max, bool doubtful) {
  sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, doubtful ? 1 : 0, nullptr);
  sqlite3_wal_hook(handle, doubtful ? MoveDoubtfulWal : MoveWal, pages_max);
}

bool IsMany(void* pages_max, int pages) {
  return pages >= static_cast<int>(reinterpret_cast<intptr_t>(pages_max));
}

int MoveWal(void* pages_max, sqlite3* handle, const char* name, int pages) {
  if (!IsMany(pages_max, pages)) return SQLITE_OK;
  int in_wal = 0;
  int moved = 0;
  int code = sqlite3_wal_checkpoint_v2(handle, name, SQLITE_CHECKPOINT_PASSIVE, &in_wal, &moved);
  // A reader of older pages holds the rest up; it is tried again behind the next commit.
  if (code == SQLITE_OK && in_wal == moved) {
    sqlite3_busy_timeout(handle, kReadersWaitMs);
    code = sqlite3_wal_checkpoint_v2(handle, name, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
    sqlite3_busy_timeout(handle, kBusyWaitMs);
  }
  const bool failed = code != SQLITE_OK && code != SQLITE_BUSY && code != SQLITE_LOCKED;
  if (failed) MoveWalBehindCommits(handle, pages_max, true);
  return SQLITE_OK;
}

int MoveDoubtfulWal(void* pages_max, sqlite3* handle, const char* name, int pages) {
  if (!IsMany(pages_max, pages) || !RewriteWal(handle).ok()) return SQLITE_OK;
  MoveWalBehindCommits(handle, pages_max, false);
  return MoveWal(pages_max, handle, name, pages);
}

// A query that was left in the middle would keep its view of the file: the connection's next
// transaction would read old rows.
void ResetStatements(sqlite3* handle) {
  for (sqlite3_stmt* statement = sqlite3_next_stmt(handle, nullptr); statement != nullptr;
       statement = sqlite3_next_stmt(handle, statement)) {
    sqlite3_reset(statement);
  }
}

}  // namespace

void Connection::CheckpointWhole(int pages) {
  // Whoever wrote what the WAL holds may have been told of a sync that failed, and was killed.
  const bool doubtful = !RewriteWal(handle_.get()).ok();
  MoveWalBehindCommits(handle_.get(), reinterpret_cast<void*>(static_cast<intptr_t>(pages)),
                       doubtful);
}

absl::StatusOr<Transaction> Transaction::Begin(Connection& connection, Mode mode) {
  ABSL_RETURN_IF_ERROR(connection.Cached(mode == Mode::kWrite ? "BEGIN IMMEDIATE" : "BEGIN").Run());
  return Transaction(connection);
}

Transaction::~Transaction() {
  // SQLite rolls back by itself after some errors; a second rollback would be an error of its own.
  if (connection_ != nullptr) ResetStatements(connection_->handle());
  if (connection_ == nullptr || sqlite3_get_autocommit(connection_->handle()) != 0) return;
  connection_->Cached("ROLLBACK").Run().IgnoreError();
}

absl::Status Transaction::Commit() {
  CHECK(connection_ != nullptr);
  ResetStatements(connection_->handle());
  ABSL_RETURN_IF_ERROR(connection_->Cached("COMMIT").Run());
  connection_ = nullptr;
  return absl::OkStatus();
}

}  // namespace buurtlog::sqlite
