// An SQLite VFS that does what disks do on a bad day: runs full, or fails to sync. Everything else
// goes to the default VFS.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "libs/sqlite/forwarding_vfs.h"

namespace buurtlog::eventlog::testing {

// Registered while it lives; databases on it are closed before it goes. Thread-safe.
class FaultyVfs {
 public:
  explicit FaultyVfs(std::string name);
  ~FaultyVfs();
  FaultyVfs(const FaultyVfs&) = delete;
  FaultyVfs& operator=(const FaultyVfs&) = delete;

  const std::string& name() const { return vfs_.name; }
  // Files may grow by so many bytes from now on, together.
  void SetRoom(int64_t bytes) { room_ = bytes; }
  // The next so many syncs fail; what was written may or may not be on the disk.
  void FailSyncs(int syncs) { failing_syncs_ = syncs; }

  // For the VFS itself.
  bool TakeRoom(int64_t bytes);
  bool TakeSync();

 private:
  std::atomic<int64_t> room_ = INT64_MAX;
  std::atomic<int> failing_syncs_ = 0;
  sqlite::ForwardingVfs vfs_;
};

}  // namespace buurtlog::eventlog::testing
