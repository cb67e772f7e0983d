#include "libs/eventlog/testing/faulty_vfs.h"

#include <utility>

#include "libs/base/check.h"

namespace buurtlog::eventlog::testing {
namespace {

// The default VFS's file lies behind ours in the memory that SQLite gives.
struct FaultyFile {
  sqlite3_file base;
  FaultyVfs* vfs;
  sqlite3_file* real;
};

FaultyFile& Mine(sqlite3_file* file) { return *reinterpret_cast<FaultyFile*>(file); }
sqlite3_file* Real(sqlite3_file* file) { return Mine(file).real; }
sqlite3_vfs* Default(sqlite3_vfs* vfs) { return static_cast<FaultyVfs*>(vfs->pAppData)->real(); }

int Close(sqlite3_file* file) { return Real(file)->pMethods->xClose(Real(file)); }

int Read(sqlite3_file* file, void* to, int size, sqlite3_int64 offset) {
  return Real(file)->pMethods->xRead(Real(file), to, size, offset);
}

int Write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  sqlite3_int64 end = 0;
  const int code = Real(file)->pMethods->xFileSize(Real(file), &end);
  if (code != SQLITE_OK) return code;
  // As the VFS of Unix answers ENOSPC.
  if (offset + size > end && !Mine(file).vfs->TakeRoom(offset + size - end)) return SQLITE_FULL;
  return Real(file)->pMethods->xWrite(Real(file), from, size, offset);
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  return Real(file)->pMethods->xTruncate(Real(file), size);
}

int Sync(sqlite3_file* file, int flags) {
  if (!Mine(file).vfs->TakeSync()) return SQLITE_IOERR_FSYNC;
  return Real(file)->pMethods->xSync(Real(file), flags);
}

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
  FaultyFile& mine = Mine(file);
  mine.base.pMethods = nullptr;
  mine.vfs = static_cast<FaultyVfs*>(vfs->pAppData);
  mine.real = reinterpret_cast<sqlite3_file*>(&mine + 1);
  const int code = Default(vfs)->xOpen(Default(vfs), name, mine.real, flags, out_flags);
  // Set even after a failure when the default VFS did: SQLite then closes the file.
  if (mine.real->pMethods != nullptr) mine.base.pMethods = &kMethods;
  return code;
}

}  // namespace

FaultyVfs::FaultyVfs(std::string name) : name_(std::move(name)), real_(sqlite3_vfs_find(nullptr)) {
  CHECK(real_ != nullptr);
  vfs_ = *real_;
  vfs_.szOsFile = static_cast<int>(sizeof(FaultyFile)) + real_->szOsFile;
  vfs_.zName = name_.c_str();
  vfs_.pNext = nullptr;
  vfs_.pAppData = this;
  vfs_.xOpen = Open;
  vfs_.xDelete = [](sqlite3_vfs* vfs, const char* path, int sync) {
    return Default(vfs)->xDelete(Default(vfs), path, sync);
  };
  vfs_.xAccess = [](sqlite3_vfs* vfs, const char* path, int flags, int* result) {
    return Default(vfs)->xAccess(Default(vfs), path, flags, result);
  };
  vfs_.xFullPathname = [](sqlite3_vfs* vfs, const char* path, int size, char* full) {
    return Default(vfs)->xFullPathname(Default(vfs), path, size, full);
  };
  CHECK(sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK);
}

FaultyVfs::~FaultyVfs() { CHECK(sqlite3_vfs_unregister(&vfs_) == SQLITE_OK); }

bool FaultyVfs::TakeRoom(int64_t bytes) {
  int64_t room = room_;
  while (room >= bytes) {
    if (room_.compare_exchange_weak(room, room - bytes)) return true;
  }
  return false;
}

bool FaultyVfs::TakeSync() {
  int failing = failing_syncs_;
  while (failing > 0) {
    if (failing_syncs_.compare_exchange_weak(failing, failing - 1)) return false;
  }
  return true;
}

}  // namespace buurtlog::eventlog::testing
