#include "libs/sqlite/wal_rewrite.h"

#include <algorithm>
#include <string>

#include "libs/sqlite/sqlite.h"

namespace buurtlog::sqlite {
namespace {

// The VFS of Unix takes less than 128 KiB at a time.
constexpr sqlite3_int64 kPartBytes = 64 << 10;

int Rewrite(sqlite3* database) {
  sqlite3_file* wal = nullptr;
  int code = sqlite3_file_control(database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
  if (code != SQLITE_OK || wal == nullptr || wal->pMethods == nullptr) return code;
  sqlite3_int64 size = 0;
  code = wal->pMethods->xFileSize(wal, &size);
  std::string part;
  for (sqlite3_int64 at = 0; code == SQLITE_OK && at < size; at += kPartBytes) {
    const auto bytes = static_cast<int>(std::min(kPartBytes, size - at));
    part.resize(static_cast<size_t>(bytes));
    code = wal->pMethods->xRead(wal, part.data(), bytes, at);
    if (code == SQLITE_OK) code = wal->pMethods->xWrite(wal, part.data(), bytes, at);
  }
  return code;
}

}  // namespace

absl::Status RewriteWal(sqlite3* database) {
  // So that nobody writes to the log meanwhile, or begins it anew.
  int code = sqlite3_exec(database, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return ErrorStatus(code, nullptr, "beginning to write a WAL again");
  code = Rewrite(database);
  sqlite3_exec(database, "ROLLBACK", nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : ErrorStatus(code, nullptr, "writing a WAL again");
}

}  // namespace buurtlog::sqlite
