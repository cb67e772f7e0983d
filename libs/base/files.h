// Files as a seam: small whole ones (head files, keys), locks, and which files there are. What
// stands inside a database goes through SQLite, which has a seam of its own (a VFS).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace buurtlog {

// Tells files apart: one that was put in the place of another is not the same.
struct FileId {
  uint64_t device = 0;
  uint64_t number = 0;
  friend bool operator==(const FileId&, const FileId&) = default;
};

// Held until it is destroyed, or until the process ends, however it ends.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

// Paths are absolute or relative to the working folder. Thread-safe.
class Files {
 public:
  virtual ~Files() = default;
  // NOT_FOUND when there is none.
  virtual absl::StatusOr<std::string> Read(const std::string& path) = 0;
  // All of `bytes` or nothing: temporary file, sync, rename, sync of the folder. Mode 0600.
  // RESOURCE_EXHAUSTED when the disk is full.
  virtual absl::Status WriteAtomically(const std::string& path, std::string_view bytes) = 0;
  // As WriteAtomically, where no such file is yet; ALREADY_EXISTS where there is one. Of several
  // processes that try at once exactly one writes. For keys: whoever comes late reads the first.
  virtual absl::Status WriteOnce(const std::string& path, std::string_view bytes) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  // Puts the file at `from` in the place of what stands at `to`, if anything; both are in one
  // folder, which is then synced.
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status MakeFolder(const std::string& path) = 0;
  // Names (not paths) in the folder, sorted. NOT_FOUND when there is no such folder.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& folder) = 0;
  virtual bool Exists(const std::string& path) = 0;
  // Which file stands there now. NOT_FOUND when there is none.
  virtual absl::StatusOr<FileId> Identify(const std::string& path) = 0;
  // FAILED_PRECONDITION with reason DATA_FOLDER_IN_USE when another holder has it, in this process
  // or another.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
};

// The file system of the machine. Lives for ever.
Files& SystemFiles();

}  // namespace buurtlog
