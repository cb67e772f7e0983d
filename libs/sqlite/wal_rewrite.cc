#include "libs/sqlite/wal_rewrite.h"

#include <algorithm>
#include <set>
#include <string>

#include "libs/sqlite/sqlite.h"
#include "libs/sqlite/wal_format.h"

namespace buurtlog::sqlite {
namespace {

// The VFS of Unix takes less than 128 KiB at a time.
constexpr sqlite3_int64 kPartBytes = 64 << 10;

int RewriteLog(sqlite3_file* wal, sqlite3_int64 size) {
  std::string part;
  int code = SQLITE_OK;
  for (sqlite3_int64 at = 0; code == SQLITE_OK && at < size; at += kPartBytes) {
    const auto bytes = static_cast<int>(std::min(kPartBytes, size - at));
    part.resize(static_cast<size_t>(bytes));
    code = wal->pMethods->xRead(wal, part.data(), bytes, at);
    if (code == SQLITE_OK) code = wal->pMethods->xWrite(wal, part.data(), bytes, at);
  }
  return code;
}

// SQLite moves as much of the log as its readers have left, and syncs only when all is moved; when
// that fails, it goes on behind what was moved before.
int RewriteMovedPages(sqlite3_file* wal, sqlite3_int64 size, sqlite3_file* file) {
  char header[kWalHeaderBytes];
  if (size < static_cast<sqlite3_int64>(sizeof(header))) return SQLITE_OK;
  int code = wal->pMethods->xRead(wal, header, sizeof(header), 0);
  if (code != SQLITE_OK) return code;
  const size_t page_bytes = WalNumber({header, sizeof(header)}, kPageBytesAt);
  // SQLite takes such a log for none.
  if (page_bytes < kPageBytesMin || page_bytes > kPageBytesMax) return SQLITE_OK;
  const auto bytes = static_cast<sqlite3_int64>(page_bytes);
  const sqlite3_int64 frame_bytes = static_cast<sqlite3_int64>(kFrameHeaderBytes) + bytes;
  std::set<uint32_t> numbers;  // ascending: the disk is written in order
  for (sqlite3_int64 at = sizeof(header); at + frame_bytes <= size; at += frame_bytes) {
    char frame[4];
    code = wal->pMethods->xRead(wal, frame, sizeof(frame),
                                at + static_cast<sqlite3_int64>(kPageNumberAt));
    if (code != SQLITE_OK) return code;
    numbers.insert(WalNumber({frame, sizeof(frame)}, 0));
  }
  sqlite3_int64 file_size = 0;
  code = file->pMethods->xFileSize(file, &file_size);
  std::string page(page_bytes, '\0');
  for (const uint32_t number : numbers) {
    if (code != SQLITE_OK) return code;
    const sqlite3_int64 at = (static_cast<sqlite3_int64>(number) - 1) * bytes;
    if (at < 0 || at + bytes > file_size) continue;
    code = file->pMethods->xRead(file, page.data(), static_cast<int>(bytes), at);
    if (code == SQLITE_OK) {
      code = file->pMethods->xWrite(file, page.data(), static_cast<int>(bytes), at);
    } else if (code == SQLITE_CORRUPT) {
      // It was damaged before; whoever reads it is told.
      code = SQLITE_OK;
    }
  }
  return code;
}

int Rewrite(sqlite3* database) {
  sqlite3_file* wal = nullptr;
  sqlite3_file* file = nullptr;
  int code = sqlite3_file_control(database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
  if (code != SQLITE_OK || wal == nullptr || wal->pMethods == nullptr) return code;
  code = sqlite3_file_control(database, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  sqlite3_int64 size = 0;
  if (code == SQLITE_OK) code = wal->pMethods->xFileSize(wal, &size);
  if (code == SQLITE_OK) code = RewriteLog(wal, size);
  if (code == SQLITE_OK) code = RewriteMovedPages(wal, size, file);
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
