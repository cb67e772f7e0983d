#include "libs/sqlite/testing/simulated_disk.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/absl_view.h"
#include "libs/base/check.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/sqlite/testing/simulated_vfs.h"

namespace buurtlog::sqlite::testing {
namespace {

// What a disk writes whole or not at all.
constexpr size_t kSectorBytes = 512;

std::string FolderOf(const std::string& path) { return path.substr(0, path.find_last_of('/')); }

uint64_t HashOf(uint64_t seed, std::string_view bytes) {
  uint64_t hash = seed + bytes.size();
  while (!bytes.empty()) {
    uint64_t word = 0;
    const size_t taken = bytes.copy(reinterpret_cast<char*>(&word), sizeof word);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
    bytes.remove_prefix(taken);
  }
  return hash;
}

// Puts `bytes` at `offset`, with zeros before them where the file is too short.
void Put(std::string& file, size_t offset, std::string_view bytes) {
  if (bytes.empty()) return;
  if (file.size() < offset + bytes.size()) file.resize(offset + bytes.size());
  std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(offset));
}

void Apply(std::string& file, const SimulatedFile::Change& change) {
  if (change.after.empty()) {
    file.resize(change.size_after);
  } else {
    Put(file, change.offset, change.after);
  }
}

class SimulatedLock final : public FileLock {
 public:
  SimulatedLock(std::set<std::string>& locks, std::string path)
      : locks_(locks), path_(std::move(path)) {}
  ~SimulatedLock() override { locks_.erase(path_); }

 private:
  std::set<std::string>& locks_;
  const std::string path_;
};

class SimulatedFiles final : public Files {
 public:
  explicit SimulatedFiles(SimulatedDisk& disk) : disk_(disk) {}

  absl::StatusOr<std::string> Read(const std::string& path) override {
    const SimulatedFilePtr file = disk_.Find(path);
    if (file == nullptr) return NotFound(path);
    return file->bytes;
  }

  absl::Status WriteAtomically(const std::string& path, std::string_view bytes) override {
    const std::string temporary = path + ".tmp";
    absl::Status status = WriteAndSync(temporary, bytes);
    if (status.ok()) status = Checked(disk_.Rename(temporary, path), "renaming", path);
    if (!status.ok()) {
      disk_.Remove(temporary);
      return status;
    }
    return Checked(disk_.SyncFolder(path), "syncing the folder of", path);
  }

  absl::Status WriteOnce(const std::string& path, std::string_view bytes) override {
    if (Exists(path)) return absl::AlreadyExistsError(path);
    return WriteAtomically(path, bytes);
  }

  absl::Status Remove(const std::string& path) override {
    if (!Exists(path)) return NotFound(path);
    ABSL_RETURN_IF_ERROR(Checked(disk_.Remove(path), "removing", path));
    return Checked(disk_.SyncFolder(path), "syncing the folder of", path);
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (!Exists(from)) return NotFound(from);
    ABSL_RETURN_IF_ERROR(Checked(disk_.Rename(from, to), "renaming", from));
    return Checked(disk_.SyncFolder(to), "syncing the folder of", to);
  }

  // Folders are made for good: nothing here depends on their coming late.
  absl::Status MakeFolder(const std::string& path) override {
    disk_.folders().insert(path);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override {
    if (!disk_.folders().contains(folder)) return NotFound(folder);
    std::vector<std::string> names;
    for (const std::string& path : disk_.Paths()) {
      if (FolderOf(path) == folder) names.push_back(path.substr(folder.size() + 1));
    }
    return names;
  }

  bool Exists(const std::string& path) override { return disk_.Find(path) != nullptr; }

  absl::StatusOr<FileId> Identify(const std::string& path) override {
    const SimulatedFilePtr file = disk_.Find(path);
    if (file == nullptr) return NotFound(path);
    return FileId{1, file->number};
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    if (!disk_.locks().insert(path).second) {
      return WithReason(absl::FailedPreconditionError(absl::StrCat(path, " is locked")),
                        "DATA_FOLDER_IN_USE");
    }
    return std::make_unique<SimulatedLock>(disk_.locks(), path);
  }

 private:
  static absl::Status NotFound(const std::string& path) {
    return absl::NotFoundError(absl::StrCat("there is no ", path));
  }
  static absl::Status Checked(int code, const char* doing, const std::string& path) {
    if (code == SQLITE_OK) return absl::OkStatus();
    const std::string message = absl::StrCat(doing, " ", path, " failed");
    return code == SQLITE_FULL ? absl::ResourceExhaustedError(message)
                               : absl::UnavailableError(message);
  }

  absl::Status WriteAndSync(const std::string& path, std::string_view bytes) {
    SimulatedFilePtr file = disk_.Find(path);
    if (file == nullptr) ABSL_RETURN_IF_ERROR(Checked(disk_.Create(path, file), "making", path));
    ABSL_RETURN_IF_ERROR(Checked(disk_.Truncate(path, *file, 0), "emptying", path));
    ABSL_RETURN_IF_ERROR(Checked(disk_.Write(path, *file, bytes, 0), "writing", path));
    return Checked(disk_.Sync(path, *file), "syncing", path);
  }

  SimulatedDisk& disk_;
};

}  // namespace

SimulatedDisk::SimulatedDisk(std::string name, uint64_t seed)
    : name_(std::move(name)), engine_(seed), files_(std::make_unique<SimulatedFiles>(*this)) {
  AddToVfs(*this, engine_());
}

SimulatedDisk::~SimulatedDisk() {
  CHECK(locks_.empty());
  RemoveFromVfs(*this);
}

bool SimulatedDisk::Begin(std::string_view what, const std::string& path, uint64_t detail,
                          bool& half) {
  half = false;
  if (crashed_) return false;
  ++operations_;
  trace_ = HashOf(HashOf(trace_, what), path) * 31 + detail;
  if (!crash_at_.has_value() || operations_ < *crash_at_) return true;
  crash_at_.reset();
  crashed_ = true;
  half = Draw(2) == 0;
  return false;
}

SimulatedFilePtr SimulatedDisk::Find(const std::string& path) const {
  const auto found = names_.find(path);
  return found == names_.end() ? nullptr : found->second;
}

int SimulatedDisk::Create(const std::string& path, SimulatedFilePtr& file) {
  bool half = false;
  const bool begun = Begin("create", path, 0, half);
  if (!begun && !half) return SQLITE_CANTOPEN;
  file = std::make_shared<SimulatedFile>();
  file->number = next_number_++;
  ChangeNames({{{path, nullptr, file}}});
  return begun ? SQLITE_OK : SQLITE_CANTOPEN;
}

int SimulatedDisk::Write(const std::string& path, SimulatedFile& file, std::string_view bytes,
                         size_t offset) {
  bool half = false;
  const bool begun = Begin("write", path, HashOf(offset, bytes), half);
  if (!begun && !half) return SQLITE_IOERR_WRITE;
  SimulatedFile::Change change;
  change.offset = offset;
  change.size_after = std::max(file.bytes.size(), offset + bytes.size());
  const auto growth = static_cast<int64_t>(change.size_after - file.bytes.size());
  if (growth > room_) return SQLITE_FULL;
  room_ -= growth;
  change.after = bytes;
  Put(file.bytes, offset, bytes);
  file.unsynced.push_back(std::move(change));
  return begun ? SQLITE_OK : SQLITE_IOERR_WRITE;
}

int SimulatedDisk::Truncate(const std::string& path, SimulatedFile& file, size_t size) {
  bool half = false;
  const bool begun = Begin("truncate", path, size, half);
  if (!begun && !half) return SQLITE_IOERR_TRUNCATE;
  SimulatedFile::Change change;
  change.offset = size;
  change.size_after = size;
  file.bytes.resize(size);
  file.unsynced.push_back(std::move(change));
  return begun ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
}

int SimulatedDisk::Sync(const std::string& path, SimulatedFile& file) {
  bool half = false;
  const bool begun = Begin("sync", path, 0, half);
  if (!begun && !half) return SQLITE_IOERR_FSYNC;
  if (on_sync_) on_sync_();
  if (failing_syncs_ > 0) {
    --failing_syncs_;
    const uint64_t kept_of_ten = Draw(10);
    for (const SimulatedFile::Change& change : file.unsynced) {
      WriteSomeSectors(file.on_disk, change, kept_of_ten);
    }
    file.unsynced.clear();
    return SQLITE_IOERR_FSYNC;
  }
  for (const SimulatedFile::Change& change : file.unsynced) Apply(file.on_disk, change);
  file.unsynced.clear();
  return begun ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

int SimulatedDisk::Remove(const std::string& path) {
  const SimulatedFilePtr file = Find(path);
  if (file == nullptr) return SQLITE_IOERR_DELETE_NOENT;
  bool half = false;
  const bool begun = Begin("remove", path, 0, half);
  if (begun || half) ChangeNames({{{path, file, nullptr}}});
  return begun ? SQLITE_OK : SQLITE_IOERR_DELETE;
}

int SimulatedDisk::Rename(const std::string& from, const std::string& to) {
  bool half = false;
  const bool begun = Begin("rename", from, HashOf(0, to), half);
  const SimulatedFilePtr file = Find(from);
  if ((begun || half) && file != nullptr) {
    ChangeNames({{{from, file, nullptr}, {to, Find(to), file}}});
  }
  return begun ? SQLITE_OK : SQLITE_IOERR;
}

int SimulatedDisk::SyncFolder(const std::string& path_in_it) {
  bool half = false;
  const std::string folder = FolderOf(path_in_it);
  const bool begun = Begin("sync folder", folder, 0, half);
  if (begun || half) unsynced_names_.erase(folder);
  return begun ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
}

void SimulatedDisk::ChangeNames(NameChange change) {
  for (const NameChange::Name& name : change.names) {
    if (name.after == nullptr) {
      names_.erase(name.path);
    } else {
      names_[name.path] = name.after;
    }
  }
  const std::string folder = FolderOf(change.names.front().path);
  unsynced_names_[folder].push_back(std::move(change));
}

void SimulatedDisk::Restart(AfterCrash after) {
  CHECK(locks_.empty());
  UndoNames(after);
  for (const auto& [path, file] : names_) {
    CHECK(file->mapped == 0 && file->shared == 0);
    if (after != AfterCrash::kAll) LosePower(*file, after);
  }
  unsynced_names_.clear();
  crash_at_.reset();
  crashed_ = false;
  failing_syncs_ = 0;
  room_ = INT64_MAX;
  trace_ = trace_ * 31 + static_cast<uint64_t>(after);
}

// A folder's changes come to the disk in their order, those of two folders in none.
void SimulatedDisk::UndoNames(AfterCrash after) {
  if (after == AfterCrash::kAll) return;
  for (auto& [folder, changes] : unsynced_names_) {
    const size_t kept = after == AfterCrash::kNothing ? 0 : Draw(changes.size() + 1);
    while (changes.size() > kept) {
      for (const NameChange::Name& name : changes.back().names) {
        if (name.before == nullptr) {
          names_.erase(name.path);
        } else {
          names_[name.path] = name.before;
        }
      }
      changes.pop_back();
    }
  }
}

void SimulatedDisk::WriteSomeSectors(std::string& to, const SimulatedFile::Change& change,
                                     uint64_t kept_of_ten) {
  if (change.after.empty()) {
    if (Draw(10) < kept_of_ten) to.resize(change.size_after);
    return;
  }
  // A file's length may come to the disk before what stands there.
  if (to.size() < change.size_after && Draw(10) == 0) to.resize(change.size_after);
  for (size_t at = 0; at < change.after.size();) {
    const size_t end =
        std::min(change.after.size(), at + kSectorBytes - (change.offset + at) % kSectorBytes);
    if (Draw(10) < kept_of_ten) {
      Put(to, change.offset + at, std::string_view(change.after).substr(at, end - at));
    }
    at = end;
  }
}

void SimulatedDisk::LosePower(SimulatedFile& file, AfterCrash after) {
  if (after != AfterCrash::kNothing && !file.unsynced.empty()) {
    const size_t whole = after == AfterCrash::kInOrder ? Draw(file.unsynced.size() + 1) : 0;
    const uint64_t kept_of_ten = 1 + Draw(9);
    for (size_t i = 0; i < file.unsynced.size(); ++i) {
      if (i < whole) {
        Apply(file.on_disk, file.unsynced[i]);
        continue;
      }
      WriteSomeSectors(file.on_disk, file.unsynced[i], kept_of_ten);
      if (after == AfterCrash::kInOrder) break;  // this one is torn, and the last
    }
  }
  file.bytes = file.on_disk;
  file.unsynced.clear();
}

std::vector<std::string> SimulatedDisk::Paths() const {
  std::vector<std::string> paths;
  paths.reserve(names_.size());
  for (const auto& [path, file] : names_) paths.push_back(path);
  return paths;
}

std::string SimulatedDisk::Contents(const std::string& path) const {
  const SimulatedFilePtr file = Find(path);
  return file == nullptr ? std::string() : file->bytes;
}

std::map<std::string, std::string> SimulatedDisk::Image() const {
  std::map<std::string, std::string> image;
  for (const auto& [path, file] : names_) image[path] = file->bytes;
  return image;
}

void SimulatedDisk::SetImage(const std::map<std::string, std::string>& image) {
  CHECK(locks_.empty());
  names_.clear();
  unsynced_names_.clear();
  for (const auto& [path, bytes] : image) {
    SimulatedFilePtr& file = names_[path];
    file = std::make_shared<SimulatedFile>();
    file->number = next_number_++;
    file->bytes = bytes;
    file->on_disk = bytes;
  }
}

void SimulatedDisk::FlipBit(const std::string& path, size_t offset, int bit) {
  const SimulatedFilePtr file = Find(path);
  CHECK(file != nullptr && offset < file->bytes.size());
  for (std::string* const bytes : {&file->bytes, &file->on_disk}) {
    if (offset < bytes->size()) {
      (*bytes)[offset] = static_cast<char>((*bytes)[offset] ^ (1 << bit));
    }
  }
}

}  // namespace buurtlog::sqlite::testing
