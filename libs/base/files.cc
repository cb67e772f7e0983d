#include "libs/base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/absl_view.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"

namespace buurtlog {
namespace {

constexpr size_t kReadChunkBytes = 64 << 10;

absl::Status ErrnoStatus(int error, std::string_view doing, const std::string& path) {
  const std::string message = absl::StrCat(AbslView(doing), " ", path);
  if (error == EIO) return absl::UnavailableError(absl::StrCat(message, ": input/output error"));
  return absl::ErrnoToStatus(error, message);
}

// Owner of a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  // Closes now, to hear of an error.
  int Close() { return close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

absl::StatusOr<Descriptor> OpenFile(const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, "opening", path);
  return Descriptor(fd);
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status SyncFolder(const std::string& folder) {
  ABSL_ASSIGN_OR_RETURN(Descriptor file, OpenFile(folder, O_RDONLY | O_DIRECTORY));
  if (fsync(file.get()) != 0) return ErrnoStatus(errno, "syncing", folder);
  return absl::OkStatus();
}

absl::Status WriteAll(const Descriptor& file, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(file.get(), bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "writing", path);
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status WriteAndSync(const std::string& path, std::string_view bytes) {
  ABSL_ASSIGN_OR_RETURN(Descriptor file, OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW));
  // A file left by a crash keeps its old mode.
  if (fchmod(file.get(), 0600) != 0) return ErrnoStatus(errno, "setting the mode of", path);
  ABSL_RETURN_IF_ERROR(WriteAll(file, path, bytes));
  if (fsync(file.get()) != 0) return ErrnoStatus(errno, "syncing", path);
  if (file.Close() != 0) return ErrnoStatus(errno, "closing", path);
  return absl::OkStatus();
}

// The lock goes with the open file, so the kernel lets it go however the process ends.
class OpenFileLock final : public FileLock {
 public:
  explicit OpenFileLock(Descriptor file) : file_(std::move(file)) {}

 private:
  Descriptor file_;
};

class MachineFiles final : public Files {
 public:
  absl::StatusOr<std::string> Read(const std::string& path) override {
    ABSL_ASSIGN_OR_RETURN(Descriptor file, OpenFile(path, O_RDONLY));
    std::string bytes;
    while (true) {
      const size_t size = bytes.size();
      bytes.resize(size + kReadChunkBytes);
      const ssize_t got = read(file.get(), bytes.data() + size, kReadChunkBytes);
      const int error = errno;
      bytes.resize(size + static_cast<size_t>(std::max<ssize_t>(got, 0)));
      if (got == 0) return bytes;
      if (got < 0 && error != EINTR) return ErrnoStatus(error, "reading", path);
    }
  }

  absl::Status WriteAtomically(const std::string& path, std::string_view bytes) override {
    // One name for all temporary files of a path: what a crash leaves is overwritten by the next
    // write and does not pile up. So writers of one path take turns.
    const std::string temporary = absl::StrCat(path, ".tmp");
    Enter(path);
    const absl::Cleanup leave = [&] { Leave(path); };
    if (absl::Status status = WriteAndSync(temporary, bytes); !status.ok()) {
      unlink(temporary.c_str());
      return status;
    }
    if (rename(temporary.c_str(), path.c_str()) != 0) {
      const int error = errno;
      unlink(temporary.c_str());
      return ErrnoStatus(error, "renaming to", path);
    }
    return SyncFolder(FolderOf(path));
  }

  absl::Status WriteOnce(const std::string& path, std::string_view bytes) override {
    const std::string temporary = absl::StrCat(path, ".tmp.", getpid());
    Enter(path);
    const absl::Cleanup leave = [&] { Leave(path); };
    const absl::Cleanup remove = [&] { unlink(temporary.c_str()); };
    ABSL_RETURN_IF_ERROR(WriteAndSync(temporary, bytes));
    // Unlike a rename, a link fails where the name is taken.
    if (link(temporary.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, "making", path);
    return SyncFolder(FolderOf(path));
  }

  absl::Status Remove(const std::string& path) override {
    if (unlink(path.c_str()) != 0) return ErrnoStatus(errno, "removing", path);
    return SyncFolder(FolderOf(path));
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) != 0) return ErrnoStatus(errno, "renaming", from);
    return SyncFolder(FolderOf(to));
  }

  absl::Status MakeFolder(const std::string& path) override {
    if (mkdir(path.c_str(), 0700) == 0) return SyncFolder(FolderOf(path));
    const int error = errno;
    if (error == ENOENT && FolderOf(path) != path) {
      ABSL_RETURN_IF_ERROR(MakeFolder(FolderOf(path)));
      if (mkdir(path.c_str(), 0700) == 0) return SyncFolder(FolderOf(path));
      return errno == EEXIST ? absl::OkStatus() : ErrnoStatus(errno, "making", path);
    }
    struct stat found {};
    if (error == EEXIST && stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode)) {
      return absl::OkStatus();
    }
    return ErrnoStatus(error, "making", path);
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override {
    DIR* const entries = opendir(folder.c_str());
    if (entries == nullptr) return ErrnoStatus(errno, "listing", folder);
    const absl::Cleanup close_entries = [entries] { closedir(entries); };
    std::vector<std::string> names;
    while (true) {
      errno = 0;
      const dirent* const entry = readdir(entries);
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return ErrnoStatus(errno, "listing", folder);
    std::sort(names.begin(), names.end());
    return names;
  }

  bool Exists(const std::string& path) override { return access(path.c_str(), F_OK) == 0; }

  absl::StatusOr<FileId> Identify(const std::string& path) override {
    struct stat found {};
    if (stat(path.c_str(), &found) != 0) return ErrnoStatus(errno, "looking at", path);
    return FileId{found.st_dev, found.st_ino};
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    ABSL_ASSIGN_OR_RETURN(Descriptor file, OpenFile(path, O_RDWR | O_CREAT));
    if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return ErrnoStatus(errno, "locking", path);
      return WithReason(
          absl::FailedPreconditionError(absl::StrCat(path, " is locked by another process")),
          "DATA_FOLDER_IN_USE");
    }
    return std::make_unique<OpenFileLock>(std::move(file));
  }

 private:
  void Enter(const std::string& path) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    while (!writing_.insert(path).second) written_.Wait(&mutex_);
  }
  void Leave(const std::string& path) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    writing_.erase(path);
    written_.SignalAll();
  }

  absl::Mutex mutex_;
  absl::CondVar written_;
  absl::flat_hash_set<std::string> writing_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

Files& SystemFiles() {
  static Files* const files = new MachineFiles;
  return *files;
}

}  // namespace buurtlog
