// Owners of SQLite handles, with absl::Status for errors. The only place that includes sqlite3.h.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace buurtlog::sqlite {

class Connection;

// Whoever writes to a file waits this long for another who does. Transactions take milliseconds, so
// one that lasts longer hangs; an rpc has given up by then.
inline constexpr int kBusyWaitMs = 5000;
// A writer waits this long for readers before it begins a write-ahead log anew: longer than a read
// takes mostly, short enough for the commits behind it. It is tried again.
inline constexpr int kReadersWaitMs = 50;
// A write-ahead log is moved into its database when it has so many pages: 16 MiB of a follower's
// 4 KiB, 32 MiB of the log's 8 KiB. More of them bring more changes of one page together; fewer
// make a start after a crash shorter, which reads them all.
inline constexpr int kWalPagesMax = 4096;

// One prepared statement of a Connection. Not thread-safe. Columns count from 0, parameters from 1.
class Statement {
 public:
  Statement(Statement&&) noexcept = default;
  Statement& operator=(Statement&&) noexcept = default;

  Statement& Bind(int parameter, int64_t value);
  Statement& Bind(int parameter, double value);
  // Text. The bytes are copied.
  Statement& Bind(int parameter, std::string_view text);
  Statement& BindBlob(int parameter, std::string_view bytes);
  // Not copied: the bytes stay until the statement has run.
  Statement& BindBlobView(int parameter, std::string_view bytes);
  Statement& BindNull(int parameter);

  // True when there is a row, false at the end. Errors as ErrorStatus.
  absl::StatusOr<bool> Step();
  // Runs a statement that gives no rows, then resets it.
  absl::Status Run();
  void Reset();

  int columns() const;
  bool IsNull(int column) const;
  int64_t Int(int column) const;
  double Double(int column) const;
  // Valid until the next Step or Reset.
  std::string_view Text(int column) const;
  std::string_view Blob(int column) const;
  int ColumnType(int column) const;  // SQLITE_INTEGER and so on

 private:
  friend class Connection;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  explicit Statement(sqlite3_stmt* handle) : handle_(handle) {}
  explicit Statement(absl::Status failed) : failed_(std::move(failed)) {}
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
  absl::Status failed_;  // why there is no handle
};

struct OpenOptions {
  bool read_only = false;
  bool create = true;
  std::string vfs;  // empty for the default
  int busy_timeout_ms = kBusyWaitMs;
  // Every page ends with a checksum (checksum_vfs.h); a page that does not go with its own is
  // DATA_LOSS, as is a file that was made without.
  bool page_checksums = false;
};

// SQLITE_FULL is RESOURCE_EXHAUSTED, BUSY and LOCKED are UNAVAILABLE, CORRUPT and NOTADB are
// DATA_LOSS, CONSTRAINT is ALREADY_EXISTS, CANTOPEN is NOT_FOUND, IOERR is UNAVAILABLE, anything
// else is INTERNAL. The message never holds bound values.
absl::Status ErrorStatus(int code, sqlite3* handle, std::string_view doing);

// One connection. Not thread-safe.
class Connection {
 public:
  static absl::StatusOr<Connection> Open(const std::string& path, const OpenOptions& options = {});
  Connection(Connection&&) noexcept = default;
  Connection& operator=(Connection&&) noexcept = default;

  // One or more statements without parameters or results.
  absl::Status Execute(const std::string& sql);
  absl::StatusOr<Statement> Prepare(std::string_view sql);
  // Prepares once and keeps it; the reference stays valid as long as the connection. Reset and with
  // bindings cleared. A CHECK fails when `sql` is not valid SQL: it is ours. When the file does not
  // let it be prepared, the statement gives that error instead of rows, and the next call for it
  // tries again.
  Statement& Cached(std::string_view sql);
  sqlite3* handle() { return handle_.get(); }
  // Moves the WAL into the database when it has so many pages behind a commit, and begins it anew
  // with an empty file when that could be done to its end: what is moved and what is kept are then
  // not of different times. Takes the place of `PRAGMA wal_autocheckpoint`.
  void CheckpointWhole(int pages);

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };
  explicit Connection(sqlite3* handle) : handle_(handle) {}
  std::unique_ptr<sqlite3, Close> handle_;
  absl::flat_hash_map<std::string, std::unique_ptr<Statement>> cached_;
};

// BEGIN IMMEDIATE (or BEGIN for readers) ... COMMIT; rolls back when destroyed before Commit. One
// at a time on a connection.
class Transaction {
 public:
  enum class Mode { kRead, kWrite };
  static absl::StatusOr<Transaction> Begin(Connection& connection, Mode mode);
  Transaction(Transaction&& other) noexcept : connection_(other.connection_) {
    other.connection_ = nullptr;
  }
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  absl::Status Commit();

 private:
  explicit Transaction(Connection& connection) : connection_(&connection) {}
  Connection* connection_;
};

}  // namespace buurtlog::sqlite
