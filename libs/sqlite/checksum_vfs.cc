#include "libs/sqlite/checksum_vfs.h"

#include <libdeflate.h>
#include <sqlite3.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/check.h"
#include "libs/sqlite/forwarding_vfs.h"

namespace buurtlog::sqlite {
namespace {

constexpr std::string_view kMark = "PAGE";
constexpr int kPageBytesMin = 512;
constexpr int kPageBytesMax = 65536;
// In the header of the database.
constexpr int kReservedBytesAt = 20;

bool IsPage(int size, sqlite3_int64 offset) {
  return size >= kPageBytesMin && size <= kPageBytesMax && (size & (size - 1)) == 0 &&
         offset % size == 0;
}

void PutChecksum(const uint8_t* page, int size, sqlite3_int64 offset, uint8_t* to) {
  const auto number = static_cast<uint32_t>(offset / size);
  const uint8_t numbered[] = {static_cast<uint8_t>(number), static_cast<uint8_t>(number >> 8),
                              static_cast<uint8_t>(number >> 16),
                              static_cast<uint8_t>(number >> 24)};
  uint32_t crc = libdeflate_crc32(0, numbered, sizeof(numbered));
  crc = libdeflate_crc32(crc, page, static_cast<size_t>(size - kPageChecksumBytes));
  for (int i = 0; i < 4; ++i) to[i] = static_cast<uint8_t>(crc >> (8 * i));
  std::copy(kMark.begin(), kMark.end(), to + 4);
}

bool IsIntact(const uint8_t* page, int size, sqlite3_int64 offset) {
  if (offset == 0 && page[kReservedBytesAt] != kPageChecksumBytes) return false;
  uint8_t wanted[kPageChecksumBytes];
  PutChecksum(page, size, offset, wanted);
  if (std::memcmp(wanted, page + size - kPageChecksumBytes, sizeof(wanted)) == 0) return true;
  // SQLite leaves out the writing of a page that has become free again: a hole.
  return offset != 0 && std::all_of(page, page + size, [](uint8_t byte) { return byte == 0; });
}

int Read(sqlite3_file* file, void* to, int size, sqlite3_int64 offset) {
  const int code = RealFile(file)->pMethods->xRead(RealFile(file), to, size, offset);
  if (!IsPage(size, offset)) return code;
  // A page of which only a part is there would be taken for whole, with zeros at its end.
  if (code == SQLITE_IOERR_SHORT_READ) return SQLITE_CORRUPT;
  if (code != SQLITE_OK) return code;
  return IsIntact(static_cast<const uint8_t*>(to), size, offset) ? SQLITE_OK : SQLITE_CORRUPT;
}

int Write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  if (!IsPage(size, offset))
    return RealFile(file)->pMethods->xWrite(RealFile(file), from, size, offset);
  // SQLite's own page is not ours to change: others may be reading it.
  thread_local std::vector<uint8_t> page;
  const auto* const bytes = static_cast<const uint8_t*>(from);
  page.assign(bytes, bytes + size);
  PutChecksum(page.data(), size, offset, page.data() + size - kPageChecksumBytes);
  return RealFile(file)->pMethods->xWrite(RealFile(file), page.data(), size, offset);
}

const sqlite3_io_methods& ChecksumMethods() {
  static const sqlite3_io_methods methods = [] {
    sqlite3_io_methods changed = ForwardingMethods();
    changed.xRead = Read;
    changed.xWrite = Write;
    return changed;
  }();
  return methods;
}

int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  sqlite3_vfs* const base = ForwardingOf(vfs).base;
  // WAL and journals stay as they are.
  if ((flags & SQLITE_OPEN_MAIN_DB) == 0) return base->xOpen(base, name, file, flags, out_flags);
  return OpenForwarded(vfs, name, file, flags, out_flags);
}

}  // namespace

std::string ChecksumVfs(const std::string& base) {
  static absl::Mutex mutex;
  // For ever: SQLite may look at them until the end.
  static auto* const made = new std::map<std::string, std::unique_ptr<ForwardingVfs>>;
  absl::MutexLock lock(&mutex);
  sqlite3_vfs* const real = sqlite3_vfs_find(base.empty() ? nullptr : base.c_str());
  CHECK(real != nullptr);
  std::unique_ptr<ForwardingVfs>& mine = (*made)[base];
  if (mine == nullptr) {
    mine = std::make_unique<ForwardingVfs>();
    mine->name = absl::StrCat("checksum-", real->zName);
    mine->base = real;
    mine->methods = &ChecksumMethods();
    FillIn(*mine);
    mine->vfs.xOpen = Open;
    CHECK(sqlite3_vfs_register(&mine->vfs, 0) == SQLITE_OK);
  }
  // A VFS of a test comes and goes under its name; any other stays, and is being read by other
  // threads.
  if (mine->base != real) mine->base = real;
  return mine->name;
}

}  // namespace buurtlog::sqlite
