#include "libs/eventlog/testing/faulty_vfs.h"

#include <utility>

#include "libs/base/check.h"

namespace buurtlog::eventlog::testing {
namespace {

FaultyVfs& Of(sqlite3_file* file) {
  return *static_cast<FaultyVfs*>(sqlite::ForwardingOf(sqlite::Forwarded(file).vfs).owner);
}

int Write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  sqlite3_file* const real = sqlite::RealFile(file);
  sqlite3_int64 end = 0;
  const int code = real->pMethods->xFileSize(real, &end);
  if (code != SQLITE_OK) return code;
  // As the VFS of Unix answers ENOSPC.
  if (offset + size > end && !Of(file).TakeRoom(offset + size - end)) return SQLITE_FULL;
  return real->pMethods->xWrite(real, from, size, offset);
}

int Sync(sqlite3_file* file, int flags) {
  if (!Of(file).TakeSync()) return SQLITE_IOERR_FSYNC;
  return sqlite::RealFile(file)->pMethods->xSync(sqlite::RealFile(file), flags);
}

const sqlite3_io_methods& FaultyMethods() {
  static const sqlite3_io_methods methods = [] {
    sqlite3_io_methods changed = sqlite::ForwardingMethods();
    changed.xWrite = Write;
    changed.xSync = Sync;
    return changed;
  }();
  return methods;
}

}  // namespace

FaultyVfs::FaultyVfs(std::string name) {
  vfs_.name = std::move(name);
  vfs_.base = sqlite3_vfs_find(nullptr);
  CHECK(vfs_.base != nullptr);
  vfs_.methods = &FaultyMethods();
  vfs_.owner = this;
  sqlite::FillIn(vfs_);
  CHECK(sqlite3_vfs_register(&vfs_.vfs, 0) == SQLITE_OK);
}

FaultyVfs::~FaultyVfs() { CHECK(sqlite3_vfs_unregister(&vfs_.vfs) == SQLITE_OK); }

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
