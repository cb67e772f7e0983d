// What an SQLite VFS needs that stands on another one and changes a few of its ways: everything
// else goes to the one it stands on. Private to VFSs of ours.
#pragma once

#include <sqlite3.h>

#include <string>

namespace buurtlog::sqlite {

// The base's file lies behind ours in the memory that SQLite gives.
struct ForwardedFile {
  sqlite3_file file;
  sqlite3_file* real;
  sqlite3_vfs* vfs;  // that opened it
};
inline ForwardedFile& Forwarded(sqlite3_file* file) {
  return *reinterpret_cast<ForwardedFile*>(file);
}
inline sqlite3_file* RealFile(sqlite3_file* file) { return Forwarded(file).real; }

// Every method of a file as its base has it. Of version 2: without memory maps, which would go past
// us.
const sqlite3_io_methods& ForwardingMethods();

// The application data of a VFS that FillIn made.
struct ForwardingVfs {
  std::string name;
  sqlite3_vfs* base = nullptr;
  const sqlite3_io_methods* methods = nullptr;  // of the files that it opens; live as long
  void* owner = nullptr;                        // whose VFS it is; not looked at here
  sqlite3_vfs vfs{};
};
inline ForwardingVfs& ForwardingOf(sqlite3_vfs* vfs) {
  return *static_cast<ForwardingVfs*>(vfs->pAppData);
}

// Makes `mine.vfs` from the other members; it is not registered yet. `mine` stays in its place.
void FillIn(ForwardingVfs& mine);
// The xOpen that FillIn sets.
int OpenForwarded(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags,
                  int* out_flags);

}  // namespace buurtlog::sqlite
