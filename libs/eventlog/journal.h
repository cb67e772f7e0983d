// The journal of the sqlite engine: where an append becomes durable before it stands in log.db. Two
// files, `journal-0` and `journal-1`, are written in turn from the front: a batch is one write into
// room that was made before and one fdatasync, which is the least that a disk can be asked for. A
// file is used again when all it holds is safe in log.db. docs/log-format.md gives the bytes.
//
// Journals are opened through the SQLite VFS of the log, so that a test that simulates the disk has
// all files of a log on it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/files.h"
#include "libs/base/ids.h"
#include "libs/eventlog/sqlite_event_log.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::eventlog {

inline constexpr size_t kJournalFiles = 2;
// A journal file that has come to this while log.db could not take its entries takes no more.
inline constexpr uint64_t kJournalBytesMax = 128 << 20;
inline constexpr size_t kBatchHeaderBytes = 40;

std::string JournalPath(const std::string& folder, size_t index);
// Empty files in the place of those that are not there.
absl::Status MakeMissingJournals(const std::string& folder, Files& files);

// One open file of a VFS. Not thread-safe.
class VfsFile {
 public:
  // The file exists. UNAVAILABLE when it cannot be opened.
  static absl::StatusOr<VfsFile> Open(const std::string& path, const std::string& vfs,
                                      bool read_only);

  // What lies behind the end reads as zeros.
  absl::Status Read(uint64_t offset, size_t count, char* to);
  absl::Status Write(uint64_t offset, std::string_view bytes);
  absl::Status Sync();
  absl::StatusOr<uint64_t> Size();
  absl::Status Truncate();
  // True when the newest Write failed for lack of room.
  bool no_room() const { return no_room_; }

 private:
  struct Close {
    void operator()(sqlite3_file* file) const;
  };
  VfsFile(std::string path, std::unique_ptr<sqlite3_file, Close> file)
      : path_(std::make_unique<std::string>(std::move(path))), file_(std::move(file)) {}

  std::unique_ptr<std::string> path_;  // the VFS keeps a pointer to it
  std::unique_ptr<sqlite3_file, Close> file_;
  bool no_room_ = false;
};

// How far a journal file has been read.
struct JournalPlace {
  uint64_t generation = 0;  // 0: nothing was read yet
  uint64_t number = 0;      // of the next batch
  uint64_t offset = 0;
};

// Reads the batch at `place` into `entries` (one entry after the other, as stored) and moves
// `place` behind it. False when there is no whole batch, with this generation and number, of this
// log. A place that has read nothing takes the generation it finds. DATA_LOSS when a whole batch
// has not as many entries as it says.
absl::StatusOr<bool> ReadBatch(VfsFile& file, const Uuid& log_id, JournalPlace& place,
                               std::string& entries);

// Visits every whole batch of this log that begins at `from` or behind, of any generation and
// wherever it begins, with its own place.
absl::Status ForEachBatch(
    VfsFile& file, const Uuid& log_id, uint64_t from,
    absl::FunctionRef<absl::Status(const JournalPlace&, std::string_view entries)> visit);

// The generation that the file holds; 0 when it begins with no batch of this log.
absl::StatusOr<uint64_t> ReadGeneration(VfsFile& file, const Uuid& log_id);

// Splits the entries of a batch. DATA_LOSS when they are not what a batch holds.
absl::Status ForEachEntry(std::string_view entries,
                          absl::FunctionRef<absl::Status(std::string_view)> visit);

// The writing half; one for a log. Not thread-safe.
class Journal {
 public:
  // The files exist; `generation` is larger than every one found in them. What they hold is not
  // needed any more.
  static absl::StatusOr<Journal> Open(const SqliteLogOptions& options, const Uuid& log_id,
                                      uint64_t generation);

  // Makes the entries durable, all or none.
  //   OK                  they are
  //   RESOURCE_EXHAUSTED  they are not and never will be: no room on the disk, or log.db has not
  //                       taken over enough
  //   UNAVAILABLE         unknown; nothing more is appended before Restart
  absl::Status Append(const std::vector<std::string_view>& entries);

  // The generation that Append wrote to last.
  uint64_t generation() const { return generation_; }
  // All entries of generations before `generation` are safe in log.db.
  void Release(uint64_t generation) { released_before_ = std::max(released_before_, generation); }
  // Whether entries of an older generation occupy the other file.
  bool other_is_free() const { return generation_of_[1 - current_] < released_before_; }
  // True when the file in use has grown enough for the other one to be wanted.
  bool wants_other() const { return offset_ >= bytes_wanted_; }

  // Everything the journal holds is safe in log.db: begins anew, with a new generation.
  void Restart();
  // Gives the room back; only when everything is safe in log.db.
  absl::Status Empty();

 private:
  Journal(std::vector<VfsFile> files, std::vector<uint64_t> sizes, const Uuid& log_id,
          uint64_t generation, const SqliteLogOptions& options)
      : files_(std::move(files)),
        room_(std::move(sizes)),
        log_id_(log_id),
        chunk_bytes_(options.journal_chunk_bytes),
        bytes_wanted_(options.journal_bytes_wanted),
        generation_(generation),
        released_before_(generation) {}
  absl::Status MakeRoom(uint64_t end);
  absl::Status WriteBatch();

  std::vector<VfsFile> files_;
  std::vector<uint64_t> room_;  // written to once, of each file
  Uuid log_id_;
  uint64_t chunk_bytes_;
  uint64_t bytes_wanted_;
  size_t current_ = 0;
  std::array<uint64_t, kJournalFiles> generation_of_{};  // that each file holds; 0 is none
  uint64_t generation_;
  uint64_t number_ = 0;
  uint64_t offset_ = 0;
  uint64_t released_before_;
  std::string buffer_;
};

}  // namespace buurtlog::eventlog
