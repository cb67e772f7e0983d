#include "libs/sqlite/checksum_vfs.h"

#include <sqlite3.h>
#include <zlib.h>

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

namespace buurtlog::sqlite {
namespace {

constexpr std::string_view kMark = "PAGE";
constexpr int kPageBytesMin = 512;
constexpr int kPageBytesMax = 65536;
// In the header of the database.
constexpr int kReservedBytesAt = 20;

struct ChecksumVfsOfBase {
  std::string name;
  sqlite3_vfs* base = nullptr;
  sqlite3_vfs vfs{};
};

// The base's file lies behind ours in the memory that SQLite gives.
struct ChecksumFile {
  sqlite3_file file;
  sqlite3_file* real;
};

sqlite3_file* Real(sqlite3_file* file) { return reinterpret_cast<ChecksumFile*>(file)->real; }
sqlite3_vfs* Base(sqlite3_vfs* vfs) { return static_cast<ChecksumVfsOfBase*>(vfs->pAppData)->base; }

bool IsPage(int size, sqlite3_int64 offset) {
  return size >= kPageBytesMin && size <= kPageBytesMax && (size & (size - 1)) == 0 &&
         offset % size == 0;
}

void PutChecksum(const uint8_t* page, int size, sqlite3_int64 offset, uint8_t* to) {
  const auto number = static_cast<uint32_t>(offset / size);
  const uint8_t numbered[] = {static_cast<uint8_t>(number), static_cast<uint8_t>(number >> 8),
                              static_cast<uint8_t>(number >> 16),
                              static_cast<uint8_t>(number >> 24)};
  uLong crc = crc32(0, numbered, sizeof(numbered));
  crc = crc32(crc, page, static_cast<uInt>(size - kPageChecksumBytes));
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

int Close(sqlite3_file* file) { return Real(file)->pMethods->xClose(Real(file)); }

int Read(sqlite3_file* file, void* to, int size, sqlite3_int64 offset) {
  const int code = Real(file)->pMethods->xRead(Real(file), to, size, offset);
  if (!IsPage(size, offset)) return code;
  // A page of which only a part is there would be taken for whole, with zeros at its end.
  if (code == SQLITE_IOERR_SHORT_READ) return SQLITE_CORRUPT;
  if (code != SQLITE_OK) return code;
  return IsIntact(static_cast<const uint8_t*>(to), size, offset) ? SQLITE_OK : SQLITE_CORRUPT;
}

int Write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  if (!IsPage(size, offset)) return Real(file)->pMethods->xWrite(Real(file), from, size, offset);
  // SQLite's own page is not ours to change: others may be reading it.
  thread_local std::vector<uint8_t> page;
  const auto* const bytes = static_cast<const uint8_t*>(from);
  page.assign(bytes, bytes + size);
  PutChecksum(page.data(), size, offset, page.data() + size - kPageChecksumBytes);
  return Real(file)->pMethods->xWrite(Real(file), page.data(), size, offset);
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  return Real(file)->pMethods->xTruncate(Real(file), size);
}
int Sync(sqlite3_file* file, int flags) { return Real(file)->pMethods->xSync(Real(file), flags); }
int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  return Real(file)->pMethods->xFileSize(Real(file), size);
}
int Lock(sqlite3_file* file, int level) { return Real(file)->pMethods->xLock(Real(file), level); }
int Unlock(sqlite3_file* file, int level) {
  return Real(file)->pMethods->xUnlock(Real(file), level);
}
int CheckReservedLock(sqlite3_file* file, int* held) {
  return Real(file)->pMethods->xCheckReservedLock(Real(file), held);
}
int FileControl(sqlite3_file* file, int operation, void* argument) {
  return Real(file)->pMethods->xFileControl(Real(file), operation, argument);
}
int SectorSize(sqlite3_file* file) { return Real(file)->pMethods->xSectorSize(Real(file)); }
int DeviceCharacteristics(sqlite3_file* file) {
  return Real(file)->pMethods->xDeviceCharacteristics(Real(file));
}
int ShmMap(sqlite3_file* file, int page, int size, int extend, void volatile** to) {
  return Real(file)->pMethods->xShmMap(Real(file), page, size, extend, to);
}
int ShmLock(sqlite3_file* file, int offset, int count, int flags) {
  return Real(file)->pMethods->xShmLock(Real(file), offset, count, flags);
}
void ShmBarrier(sqlite3_file* file) { Real(file)->pMethods->xShmBarrier(Real(file)); }
int ShmUnmap(sqlite3_file* file, int remove) {
  return Real(file)->pMethods->xShmUnmap(Real(file), remove);
}

// Version 2: without memory maps, which would go past us.
constexpr sqlite3_io_methods kMethods = {2,
                                         Close,
                                         Read,
                                         Write,
                                         Truncate,
                                         Sync,
                                         FileSize,
                                         Lock,
                                         Unlock,
                                         CheckReservedLock,
                                         FileControl,
                                         SectorSize,
                                         DeviceCharacteristics,
                                         ShmMap,
                                         ShmLock,
                                         ShmBarrier,
                                         ShmUnmap,
                                         nullptr,
                                         nullptr};

int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  sqlite3_vfs* const base = Base(vfs);
  // WAL and journals stay as they are.
  if ((flags & SQLITE_OPEN_MAIN_DB) == 0) return base->xOpen(base, name, file, flags, out_flags);
  auto* const mine = reinterpret_cast<ChecksumFile*>(file);
  mine->file.pMethods = nullptr;
  mine->real = reinterpret_cast<sqlite3_file*>(mine + 1);
  mine->real->pMethods = nullptr;
  const int code = base->xOpen(base, name, mine->real, flags, out_flags);
  // Set even after a failure when the base's were: SQLite then closes the file.
  if (mine->real->pMethods != nullptr) mine->file.pMethods = &kMethods;
  return code;
}

void FillIn(ChecksumVfsOfBase& mine) {
  sqlite3_vfs& vfs = mine.vfs;
  vfs.iVersion = 2;
  vfs.szOsFile = static_cast<int>(sizeof(ChecksumFile)) + mine.base->szOsFile;
  vfs.mxPathname = mine.base->mxPathname;
  vfs.zName = mine.name.c_str();
  vfs.pAppData = &mine;
  vfs.xOpen = Open;
  vfs.xDelete = [](sqlite3_vfs* v, const char* path, int sync) {
    return Base(v)->xDelete(Base(v), path, sync);
  };
  vfs.xAccess = [](sqlite3_vfs* v, const char* path, int flags, int* result) {
    return Base(v)->xAccess(Base(v), path, flags, result);
  };
  vfs.xFullPathname = [](sqlite3_vfs* v, const char* path, int size, char* full) {
    return Base(v)->xFullPathname(Base(v), path, size, full);
  };
  vfs.xRandomness = [](sqlite3_vfs* v, int size, char* to) {
    return Base(v)->xRandomness(Base(v), size, to);
  };
  vfs.xSleep = [](sqlite3_vfs* v, int microseconds) {
    return Base(v)->xSleep(Base(v), microseconds);
  };
  vfs.xCurrentTime = [](sqlite3_vfs* v, double* now) {
    return Base(v)->xCurrentTime(Base(v), now);
  };
  vfs.xGetLastError = [](sqlite3_vfs* v, int size, char* to) {
    return Base(v)->xGetLastError(Base(v), size, to);
  };
  vfs.xCurrentTimeInt64 = [](sqlite3_vfs* v, sqlite3_int64* now) {
    return Base(v)->xCurrentTimeInt64(Base(v), now);
  };
}

}  // namespace

std::string ChecksumVfs(const std::string& base) {
  static absl::Mutex mutex;
  // For ever: SQLite may look at them until the end.
  static auto* const made = new std::map<std::string, std::unique_ptr<ChecksumVfsOfBase>>;
  absl::MutexLock lock(&mutex);
  sqlite3_vfs* const real = sqlite3_vfs_find(base.empty() ? nullptr : base.c_str());
  CHECK(real != nullptr);
  std::unique_ptr<ChecksumVfsOfBase>& mine = (*made)[base];
  if (mine == nullptr) {
    mine = std::make_unique<ChecksumVfsOfBase>();
    mine->name = absl::StrCat("checksum-", real->zName);
    mine->base = real;
    FillIn(*mine);
    CHECK(sqlite3_vfs_register(&mine->vfs, 0) == SQLITE_OK);
  }
  // A VFS of a test comes and goes under its name.
  mine->base = real;
  return mine->name;
}

}  // namespace buurtlog::sqlite
