#include "libs/sqlite/forwarding_vfs.h"

namespace buurtlog::sqlite {
namespace {

int Close(sqlite3_file* file) { return RealFile(file)->pMethods->xClose(RealFile(file)); }
int Read(sqlite3_file* file, void* to, int size, sqlite3_int64 offset) {
  return RealFile(file)->pMethods->xRead(RealFile(file), to, size, offset);
}
int Write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  return RealFile(file)->pMethods->xWrite(RealFile(file), from, size, offset);
}
int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  return RealFile(file)->pMethods->xTruncate(RealFile(file), size);
}
int Sync(sqlite3_file* file, int flags) {
  return RealFile(file)->pMethods->xSync(RealFile(file), flags);
}
int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  return RealFile(file)->pMethods->xFileSize(RealFile(file), size);
}
int Lock(sqlite3_file* file, int level) {
  return RealFile(file)->pMethods->xLock(RealFile(file), level);
}
int Unlock(sqlite3_file* file, int level) {
  return RealFile(file)->pMethods->xUnlock(RealFile(file), level);
}
int CheckReservedLock(sqlite3_file* file, int* held) {
  return RealFile(file)->pMethods->xCheckReservedLock(RealFile(file), held);
}
int FileControl(sqlite3_file* file, int operation, void* argument) {
  return RealFile(file)->pMethods->xFileControl(RealFile(file), operation, argument);
}
int SectorSize(sqlite3_file* file) { return RealFile(file)->pMethods->xSectorSize(RealFile(file)); }
int DeviceCharacteristics(sqlite3_file* file) {
  return RealFile(file)->pMethods->xDeviceCharacteristics(RealFile(file));
}
int ShmMap(sqlite3_file* file, int page, int size, int extend, void volatile** to) {
  return RealFile(file)->pMethods->xShmMap(RealFile(file), page, size, extend, to);
}
int ShmLock(sqlite3_file* file, int offset, int count, int flags) {
  return RealFile(file)->pMethods->xShmLock(RealFile(file), offset, count, flags);
}
void ShmBarrier(sqlite3_file* file) { RealFile(file)->pMethods->xShmBarrier(RealFile(file)); }
int ShmUnmap(sqlite3_file* file, int remove) {
  return RealFile(file)->pMethods->xShmUnmap(RealFile(file), remove);
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

}  // namespace

const sqlite3_io_methods& ForwardingMethods() { return kMethods; }

int OpenForwarded(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags,
                  int* out_flags) {
  ForwardingVfs& mine = ForwardingOf(vfs);
  auto* const opened = reinterpret_cast<ForwardedFile*>(file);
  opened->file.pMethods = nullptr;
  opened->vfs = vfs;
  opened->real = reinterpret_cast<sqlite3_file*>(opened + 1);
  opened->real->pMethods = nullptr;
  const int code = mine.base->xOpen(mine.base, name, opened->real, flags, out_flags);
  // Set even after a failure when the base's were: SQLite then closes the file.
  if (opened->real->pMethods != nullptr) opened->file.pMethods = mine.methods;
  return code;
}

void FillIn(ForwardingVfs& mine) {
  sqlite3_vfs& vfs = mine.vfs;
  vfs.iVersion = 2;
  vfs.szOsFile = static_cast<int>(sizeof(ForwardedFile)) + mine.base->szOsFile;
  vfs.mxPathname = mine.base->mxPathname;
  vfs.zName = mine.name.c_str();
  vfs.pAppData = &mine;
  vfs.xOpen = OpenForwarded;
  vfs.xDelete = [](sqlite3_vfs* v, const char* path, int sync) {
    return ForwardingOf(v).base->xDelete(ForwardingOf(v).base, path, sync);
  };
  vfs.xAccess = [](sqlite3_vfs* v, const char* path, int flags, int* result) {
    return ForwardingOf(v).base->xAccess(ForwardingOf(v).base, path, flags, result);
  };
  vfs.xFullPathname = [](sqlite3_vfs* v, const char* path, int size, char* full) {
    return ForwardingOf(v).base->xFullPathname(ForwardingOf(v).base, path, size, full);
  };
  vfs.xRandomness = [](sqlite3_vfs* v, int size, char* to) {
    return ForwardingOf(v).base->xRandomness(ForwardingOf(v).base, size, to);
  };
  vfs.xSleep = [](sqlite3_vfs* v, int microseconds) {
    return ForwardingOf(v).base->xSleep(ForwardingOf(v).base, microseconds);
  };
  vfs.xCurrentTime = [](sqlite3_vfs* v, double* now) {
    return ForwardingOf(v).base->xCurrentTime(ForwardingOf(v).base, now);
  };
  vfs.xGetLastError = [](sqlite3_vfs* v, int size, char* to) {
    return ForwardingOf(v).base->xGetLastError(ForwardingOf(v).base, size, to);
  };
  vfs.xCurrentTimeInt64 = [](sqlite3_vfs* v, sqlite3_int64* now) {
    return ForwardingOf(v).base->xCurrentTimeInt64(ForwardingOf(v).base, now);
  };
}

}  // namespace buurtlog::sqlite
