// A disk wholly in memory that knows what was synced: databases (an SQLite VFS), small files and
// locks live on it together, and a test decides when it is full, slow or failing, and when the
// machine crashes, at any of its operations. What becomes of that which was not synced is drawn
// from a seed, so a run can be repeated exactly.
//
// While there is a disk, SQLite's default VFS is the simulated one: a database at `/name/...` is on
// the disk of that name, and SQLite's random numbers come from the disk that was made last.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/files.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::sqlite::testing {

// What a crash leaves of the writes, truncations, renames and removals that were not synced.
enum class AfterCrash {
  kAll,      // the process was killed, and the machine went on
  kNothing,  // the power failed, and nothing of it had come to the disk
  kInOrder,  // the power failed in the middle of it
  kTorn,  // of each write some sectors are there, in no order; of each folder's changes the first
};

// One file as SQLite and readers see it now, what the disk has of it for certain, and what the
// machine would still write there. A sync that fails leaves a part that the disk has not, and that
// nobody will write any more, though it can be read until the power goes.
struct SimulatedFile {
  struct Change {
    size_t offset = 0;
    std::string after;  // empty when the file was cut
    size_t size_after = 0;
  };
  uint64_t number = 0;
  std::string bytes;
  std::string on_disk;
  std::vector<Change> unsynced;

  // SQLite's locks on a database file, and its index of the write-ahead log.
  static constexpr int kShmLocks = 8;
  int shared = 0;
  const void* reserved = nullptr;
  const void* exclusive = nullptr;  // also of one that waits for readers to go (PENDING)
  int mapped = 0;
  std::vector<std::unique_ptr<char[]>> index;
  int index_shared[kShmLocks] = {};
  const void* index_exclusive[kShmLocks] = {};
};
using SimulatedFilePtr = std::shared_ptr<SimulatedFile>;

// Not thread-safe. Databases and locks on it are closed before it goes, and before Restart.
class SimulatedDisk {
 public:
  // Paths on it begin with `/name/`.
  SimulatedDisk(std::string name, uint64_t seed);
  ~SimulatedDisk();
  SimulatedDisk(const SimulatedDisk&) = delete;
  SimulatedDisk& operator=(const SimulatedDisk&) = delete;

  const std::string& name() const { return name_; }
  Files& files() { return *files_; }

  // Files may grow by so many bytes from now on, together.
  void SetRoom(int64_t bytes) { room_ = bytes; }
  // The next so many syncs fail. Of what was to be synced any sectors come to the disk, and a later
  // sync that succeeds brings no more of it, as machines do that take a page for written once they
  // have told that it could not be.
  void FailSyncs(int syncs) { failing_syncs_ = syncs; }
  // Called at every sync: lets simulated time go by.
  void OnSync(std::function<void()> on_sync) { on_sync_ = std::move(on_sync); }
  // The machine crashes in the middle of the `operations`th of what changes something, counted from
  // now; from there on all of them fail and change nothing, until Restart. Reading goes on: whoever
  // reads is dead already.
  void CrashAfter(uint64_t operations) { crash_at_ = operations_ + operations; }
  void Crash() { crashed_ = true; }
  bool crashed() const { return crashed_; }
  void Restart(AfterCrash after);

  // Operations so far, and a hash of all they did: two runs with the same hash did the same.
  uint64_t operations() const { return operations_; }
  uint64_t trace() const { return trace_; }

  // Paths of all files, sorted, and one file's bytes. For damage, and for looking at what is there.
  std::vector<std::string> Paths() const;
  std::string Contents(const std::string& path) const;
  // All files with their bytes, and a disk that holds just these, all of it synced.
  std::map<std::string, std::string> Image() const;
  void SetImage(const std::map<std::string, std::string>& image);
  void FlipBit(const std::string& path, size_t offset, int bit);

  // ---- for the VFS and the Files of this disk; codes are SQLite's
  SimulatedFilePtr Find(const std::string& path) const;
  int Create(const std::string& path, SimulatedFilePtr& file);
  int Write(const std::string& path, SimulatedFile& file, std::string_view bytes, size_t offset);
  int Truncate(const std::string& path, SimulatedFile& file, size_t size);
  int Sync(const std::string& path, SimulatedFile& file);
  int Remove(const std::string& path);
  int Rename(const std::string& from, const std::string& to);
  int SyncFolder(const std::string& path_in_it);
  bool has_room() const { return room_ > 0; }
  std::set<std::string>& folders() { return folders_; }
  std::set<std::string>& locks() { return locks_; }

 private:
  // Names that changed together.
  struct NameChange {
    struct Name {
      std::string path;
      SimulatedFilePtr before;
      SimulatedFilePtr after;
    };
    std::vector<Name> names;
  };

  // Counts an operation. False when it must fail; `half` is true when the crash comes in the middle
  // of it and a coin says that it still takes effect.
  bool Begin(std::string_view what, const std::string& path, uint64_t detail, bool& half);
  void ChangeNames(NameChange change);
  void UndoNames(AfterCrash after);
  void LosePower(SimulatedFile& file, AfterCrash after);
  void WriteSomeSectors(std::string& to, const SimulatedFile::Change& change, uint64_t kept_of_ten);
  uint64_t Draw(uint64_t below) { return engine_() % below; }

  const std::string name_;
  std::mt19937_64 engine_;
  const std::unique_ptr<Files> files_;
  std::map<std::string, SimulatedFilePtr> names_;
  std::map<std::string, std::vector<NameChange>> unsynced_names_;  // by folder
  std::set<std::string> folders_;
  std::set<std::string> locks_;
  uint64_t next_number_ = 1;
  uint64_t operations_ = 0;
  uint64_t trace_ = 0;
  std::optional<uint64_t> crash_at_;
  bool crashed_ = false;
  int64_t room_ = INT64_MAX;
  int failing_syncs_ = 0;
  std::function<void()> on_sync_;
};

}  // namespace buurtlog::sqlite::testing
