#include "libs/sqlite/testing/simulated_vfs.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <utility>

#include "libs/base/check.h"
#include "libs/sqlite/testing/simulated_disk.h"

namespace buurtlog::sqlite::testing {
namespace {

constexpr int kPathBytesMax = 512;
constexpr int kSectorBytes = 4096;  // as the VFS of Unix says
// SQLite asks for the time in milliseconds since 4714 BC; this is a moment in 2025.
constexpr sqlite3_int64 kTimeMillis = 212'627'000'000'000;

// Lies in the memory that SQLite gives; SQLite closes it, so it owns its parts by pointer.
struct OpenFile {
  sqlite3_file base;
  SimulatedDisk* disk;  // null for a temporary file without a name
  std::string* path;
  SimulatedFilePtr* file;
  int level;
  bool sync_folder;  // with the next sync, as SQLite does for a log it has made
  bool remove_at_close;
  bool mapped;
  bool read_only;
};

struct Vfs {
  sqlite3_vfs base{};
  sqlite3_vfs* replaced = nullptr;
  std::map<std::string, SimulatedDisk*> disks;
  std::mt19937_64 engine;
};

Vfs& TheVfs() {
  static Vfs* const vfs = new Vfs;
  return *vfs;
}

OpenFile& Mine(sqlite3_file* file) { return *reinterpret_cast<OpenFile*>(file); }
SimulatedFile& Bytes(sqlite3_file* file) { return **Mine(file).file; }

SimulatedDisk* DiskOf(std::string_view path) {
  if (path.empty() || path[0] != '/') return nullptr;
  const std::string name(path.substr(1, path.find('/', 1) - 1));
  const auto found = TheVfs().disks.find(name);
  return found == TheVfs().disks.end() ? nullptr : found->second;
}

int Unlock(sqlite3_file* file, int level) {
  OpenFile& mine = Mine(file);
  SimulatedFile& bytes = Bytes(file);
  if (mine.level <= level) return SQLITE_OK;
  if (bytes.exclusive == file) bytes.exclusive = nullptr;
  if (bytes.reserved == file) bytes.reserved = nullptr;
  if (level == SQLITE_LOCK_NONE && mine.level >= SQLITE_LOCK_SHARED) --bytes.shared;
  mine.level = level;
  return SQLITE_OK;
}

int ShmUnmap(sqlite3_file* file, int) {
  OpenFile& mine = Mine(file);
  SimulatedFile& bytes = Bytes(file);
  if (!std::exchange(mine.mapped, false)) return SQLITE_OK;
  if (--bytes.mapped == 0) bytes.index.clear();
  return SQLITE_OK;
}

int Close(sqlite3_file* file) {
  OpenFile& mine = Mine(file);
  Unlock(file, SQLITE_LOCK_NONE);
  ShmUnmap(file, 0);
  if (mine.remove_at_close) mine.disk->Remove(*mine.path);
  delete mine.path;
  delete mine.file;
  return SQLITE_OK;
}

int Read(sqlite3_file* file, void* to, int size, sqlite3_int64 offset) {
  const std::string& bytes = Bytes(file).bytes;
  const auto wanted = static_cast<size_t>(size);
  const auto from = std::min(static_cast<size_t>(offset), bytes.size());
  const size_t there = std::min(wanted, bytes.size() - from);
  std::memcpy(to, bytes.data() + from, there);
  if (there == wanted) return SQLITE_OK;
  std::memset(static_cast<char*>(to) + there, 0, wanted - there);
  return SQLITE_IOERR_SHORT_READ;
}

int Write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  OpenFile& mine = Mine(file);
  const std::string_view bytes(static_cast<const char*>(from), static_cast<size_t>(size));
  if (mine.disk != nullptr) {
    return mine.disk->Write(*mine.path, Bytes(file), bytes, static_cast<size_t>(offset));
  }
  std::string& to = Bytes(file).bytes;
  to.resize(std::max(to.size(), static_cast<size_t>(offset) + bytes.size()));
  to.replace(static_cast<size_t>(offset), bytes.size(), bytes);
  return SQLITE_OK;
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  OpenFile& mine = Mine(file);
  if (mine.disk != nullptr) {
    return mine.disk->Truncate(*mine.path, Bytes(file), static_cast<size_t>(size));
  }
  Bytes(file).bytes.resize(static_cast<size_t>(size));
  return SQLITE_OK;
}

int Sync(sqlite3_file* file, int) {
  OpenFile& mine = Mine(file);
  if (mine.disk == nullptr) return SQLITE_OK;
  const int code = mine.disk->Sync(*mine.path, Bytes(file));
  if (code != SQLITE_OK || !mine.sync_folder) return code;
  mine.sync_folder = false;
  return mine.disk->SyncFolder(*mine.path);
}

int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  *size = static_cast<sqlite3_int64>(Bytes(file).bytes.size());
  return SQLITE_OK;
}

int Lock(sqlite3_file* file, int level) {
  OpenFile& mine = Mine(file);
  SimulatedFile& bytes = Bytes(file);
  if (mine.level >= level) return SQLITE_OK;
  // As Unix refuses a lock for writing: whoever only reads does not move the log when it closes.
  if (mine.read_only && level > SQLITE_LOCK_SHARED) return SQLITE_IOERR_LOCK;
  if (bytes.exclusive != nullptr && bytes.exclusive != file) return SQLITE_BUSY;
  if (level == SQLITE_LOCK_SHARED) {
    ++bytes.shared;
  } else {
    if (bytes.reserved != nullptr && bytes.reserved != file) return SQLITE_BUSY;
    if (level == SQLITE_LOCK_RESERVED) {
      bytes.reserved = file;
    } else {
      bytes.exclusive = file;  // from here on nobody comes in any more
      mine.level = SQLITE_LOCK_PENDING;
      if (level == SQLITE_LOCK_EXCLUSIVE && bytes.shared > 1) return SQLITE_BUSY;
    }
  }
  mine.level = level;
  return SQLITE_OK;
}

int CheckReservedLock(sqlite3_file* file, int* held) {
  const SimulatedFile& bytes = Bytes(file);
  *held = bytes.reserved != nullptr || bytes.exclusive != nullptr;
  return SQLITE_OK;
}

// Whoever closes a database that was replaced must not take the new one's log away; so SQLite asks.
int FileControl(sqlite3_file* file, int operation, void* argument) {
  const OpenFile& mine = Mine(file);
  if (operation != SQLITE_FCNTL_HAS_MOVED) return SQLITE_NOTFOUND;
  *static_cast<int*>(argument) = mine.disk != nullptr && mine.disk->Find(*mine.path) != *mine.file;
  return SQLITE_OK;
}
int SectorSize(sqlite3_file*) { return kSectorBytes; }
int DeviceCharacteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

int ShmMap(sqlite3_file* file, int region, int size, int extend, void volatile** to) {
  OpenFile& mine = Mine(file);
  SimulatedFile& bytes = Bytes(file);
  if (!std::exchange(mine.mapped, true)) ++bytes.mapped;
  *to = nullptr;
  const auto wanted = static_cast<size_t>(region);
  while (bytes.index.size() <= wanted) {
    if (extend == 0) return SQLITE_OK;
    if (!mine.disk->has_room()) return SQLITE_IOERR_SHMSIZE;
    bytes.index.push_back(std::make_unique<char[]>(static_cast<size_t>(size)));
  }
  *to = bytes.index[wanted].get();
  return SQLITE_OK;
}

int ShmLock(sqlite3_file* file, int offset, int count, int flags) {
  SimulatedFile& bytes = Bytes(file);
  const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
  if ((flags & SQLITE_SHM_UNLOCK) != 0) {
    for (int i = offset; i < offset + count; ++i) {
      if (!exclusive) {
        --bytes.index_shared[i];
      } else if (bytes.index_exclusive[i] == file) {
        bytes.index_exclusive[i] = nullptr;
      }
    }
    return SQLITE_OK;
  }
  for (int i = offset; i < offset + count; ++i) {
    if (bytes.index_exclusive[i] != nullptr) return SQLITE_BUSY;
    if (exclusive && bytes.index_shared[i] > 0) return SQLITE_BUSY;
  }
  for (int i = offset; i < offset + count; ++i) {
    if (exclusive) {
      bytes.index_exclusive[i] = file;
    } else {
      ++bytes.index_shared[i];
    }
  }
  return SQLITE_OK;
}

void ShmBarrier(sqlite3_file*) {}

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

int Open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  OpenFile& mine = Mine(file);
  mine = {};
  SimulatedFilePtr found;
  if (name == nullptr) {
    found = std::make_shared<SimulatedFile>();
  } else {
    mine.disk = DiskOf(name);
    if (mine.disk == nullptr) return SQLITE_CANTOPEN;
    found = mine.disk->Find(name);
    if (found == nullptr) {
      if ((flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
      if (const int code = mine.disk->Create(name, found); code != SQLITE_OK) return code;
      mine.sync_folder = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
    }
    mine.remove_at_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
  }
  mine.read_only = (flags & SQLITE_OPEN_READONLY) != 0;
  mine.path = new std::string(name == nullptr ? "" : name);
  mine.file = new SimulatedFilePtr(std::move(found));
  mine.base.pMethods = &kMethods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int Delete(sqlite3_vfs*, const char* name, int sync_folder) {
  SimulatedDisk* const disk = DiskOf(name);
  if (disk == nullptr) return SQLITE_IOERR_DELETE_NOENT;
  const int code = disk->Remove(name);
  return code == SQLITE_OK && sync_folder != 0 ? disk->SyncFolder(name) : code;
}

int Access(sqlite3_vfs*, const char* name, int flags, int* result) {
  SimulatedDisk* const disk = DiskOf(name);
  const SimulatedFilePtr file = disk == nullptr ? nullptr : disk->Find(name);
  // As the VFS of Unix: an empty file does not exist.
  *result = file != nullptr && (flags != SQLITE_ACCESS_EXISTS || !file->bytes.empty());
  return SQLITE_OK;
}

int FullPathname(sqlite3_vfs*, const char* name, int size, char* full) {
  const size_t bytes = std::strlen(name) + 1;
  if (bytes > static_cast<size_t>(size)) return SQLITE_CANTOPEN;
  std::memcpy(full, name, bytes);
  return SQLITE_OK;
}

int Randomness(sqlite3_vfs*, int size, char* to) {
  for (int i = 0; i < size; ++i) to[i] = static_cast<char>(TheVfs().engine());
  return size;
}

int CurrentTimeInt64(sqlite3_vfs*, sqlite3_int64* now) {
  *now = kTimeMillis;
  return SQLITE_OK;
}

void Register(Vfs& vfs) {
  vfs.replaced = sqlite3_vfs_find(nullptr);
  CHECK(vfs.replaced != nullptr);
  vfs.base.iVersion = 2;
  vfs.base.szOsFile = sizeof(OpenFile);
  vfs.base.mxPathname = kPathBytesMax;
  vfs.base.zName = "simulated";
  vfs.base.xOpen = Open;
  vfs.base.xDelete = Delete;
  vfs.base.xAccess = Access;
  vfs.base.xFullPathname = FullPathname;
  vfs.base.xRandomness = Randomness;
  // Whoever waits for a lock waits for somebody who cannot go on before this one ends.
  vfs.base.xSleep = [](sqlite3_vfs*, int micros) { return micros; };
  vfs.base.xCurrentTimeInt64 = CurrentTimeInt64;
  vfs.base.xGetLastError = [](sqlite3_vfs*, int, char*) { return 0; };
  CHECK(sqlite3_vfs_register(&vfs.base, /*makeDflt=*/1) == SQLITE_OK);
}

}  // namespace

void AddToVfs(SimulatedDisk& disk, uint64_t seed) {
  Vfs& vfs = TheVfs();
  if (vfs.disks.empty()) Register(vfs);
  CHECK(vfs.disks.emplace(disk.name(), &disk).second);
  vfs.engine.seed(seed);
  sqlite3_randomness(0, nullptr);  // forgets what it was seeded with
}

void RemoveFromVfs(SimulatedDisk& disk) {
  Vfs& vfs = TheVfs();
  vfs.disks.erase(disk.name());
  if (!vfs.disks.empty()) return;
  CHECK(sqlite3_vfs_unregister(&vfs.base) == SQLITE_OK);
  CHECK(sqlite3_vfs_register(vfs.replaced, /*makeDflt=*/1) == SQLITE_OK);
  sqlite3_randomness(0, nullptr);
}

}  // namespace buurtlog::sqlite::testing
