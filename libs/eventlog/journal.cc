#include "libs/eventlog/journal.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/bytes.h"

namespace buurtlog::eventlog {
namespace {

// Places in the header of a batch; docs/log-format.md.
constexpr char kMagic[] = {'B', 'L', 'J', '1'};
constexpr size_t kCrcPlace = 4;
constexpr size_t kBytesPlace = 8;
constexpr size_t kEntriesPlace = 12;
constexpr size_t kGenerationPlace = 16;
constexpr size_t kNumberPlace = 24;
// The first half of the log's id: a journal that was put into another folder is not believed.
constexpr size_t kLogIdPlace = 32;
static_assert(kLogIdPlace + 8 == kBatchHeaderBytes);

// SQLite never asks its VFS for more than a page, and the one of Unix takes less than 128 KiB.
constexpr size_t kTransferBytesMax = 64 << 10;
constexpr size_t kSearchBytes = 1 << 20;

// Over what follows the CRC.
uint32_t BatchCrc(std::string_view batch) { return Crc32(0, batch.substr(kBytesPlace)); }

std::string_view ShortId(const Uuid& log_id) {
  return {reinterpret_cast<const char*>(log_id.bytes.data()), 8};
}

bool IsHeaderOf(const char* header, const Uuid& log_id) {
  return std::memcmp(header, kMagic, sizeof kMagic) == 0 &&
         std::string_view(header + kLogIdPlace, 8) == ShortId(log_id);
}

absl::Status CheckCount(std::string_view entries, uint32_t told, const JournalPlace& place) {
  uint32_t count = 0;
  ABSL_RETURN_IF_ERROR(ForEachEntry(entries, [&](std::string_view) {
    ++count;
    return absl::OkStatus();
  }));
  if (count == told) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("batch ", place.number, " of the journal, at byte ",
                                          place.offset, ", has ", count, " entries and says ",
                                          told));
}

}  // namespace

std::string JournalPath(const std::string& folder, size_t index) {
  return absl::StrCat(folder, "/journal-", index);
}

absl::Status MakeMissingJournals(const std::string& folder, Files& files) {
  for (size_t i = 0; i < kJournalFiles; ++i) {
    const std::string path = JournalPath(folder, i);
    if (!files.Exists(path)) ABSL_RETURN_IF_ERROR(files.WriteAtomically(path, {}));
  }
  return absl::OkStatus();
}

void VfsFile::Close::operator()(sqlite3_file* file) const {
  if (file->pMethods != nullptr) file->pMethods->xClose(file);
  std::free(file);
}

absl::StatusOr<VfsFile> VfsFile::Open(const std::string& path, const std::string& vfs,
                                      bool read_only) {
  sqlite3_vfs* const found = sqlite3_vfs_find(vfs.empty() ? nullptr : vfs.c_str());
  CHECK(found != nullptr);
  auto* const memory =
      static_cast<sqlite3_file*>(std::calloc(1, static_cast<size_t>(found->szOsFile)));
  CHECK(memory != nullptr);
  VfsFile file(path, std::unique_ptr<sqlite3_file, Close>(memory));
  // Of the kinds that SQLite knows this is the one that it opens by any name and never locks.
  const int flags =
      SQLITE_OPEN_SUPER_JOURNAL | (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
  const int code = found->xOpen(found, file.path_->c_str(), memory, flags, nullptr);
  if (code != SQLITE_OK) {
    return absl::UnavailableError(absl::StrCat("opening ", path, ": ", sqlite3_errstr(code)));
  }
  return file;
}

absl::Status VfsFile::Read(uint64_t offset, size_t count, char* to) {
  while (count > 0) {
    const size_t part = std::min(count, kTransferBytesMax);
    const int code = file_->pMethods->xRead(file_.get(), to, static_cast<int>(part),
                                            static_cast<sqlite3_int64>(offset));
    // A short read has filled the rest with zeros.
    if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ) {
      return sqlite::ErrorStatus(code, nullptr, "reading a journal");
    }
    offset += part;
    to += part;
    count -= part;
  }
  return absl::OkStatus();
}

absl::Status VfsFile::Write(uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, kTransferBytesMax);
    const int code =
        file_->pMethods->xWrite(file_.get(), part.data(), static_cast<int>(part.size()),
                                static_cast<sqlite3_int64>(offset));
    no_room_ = code == SQLITE_FULL;
    if (code != SQLITE_OK) return sqlite::ErrorStatus(code, nullptr, "writing a journal");
    offset += part.size();
    bytes.remove_prefix(part.size());
  }
  return absl::OkStatus();
}

absl::Status VfsFile::Sync() {
  const int code = file_->pMethods->xSync(file_.get(), SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
  return code == SQLITE_OK ? absl::OkStatus()
                           : sqlite::ErrorStatus(code, nullptr, "syncing a journal");
}

absl::StatusOr<uint64_t> VfsFile::Size() {
  sqlite3_int64 size = 0;
  const int code = file_->pMethods->xFileSize(file_.get(), &size);
  if (code != SQLITE_OK) return sqlite::ErrorStatus(code, nullptr, "measuring a journal");
  return static_cast<uint64_t>(size);
}

absl::Status VfsFile::Truncate() {
  const int code = file_->pMethods->xTruncate(file_.get(), 0);
  return code == SQLITE_OK ? absl::OkStatus()
                           : sqlite::ErrorStatus(code, nullptr, "emptying a journal");
}

absl::StatusOr<uint64_t> ReadGeneration(VfsFile& file, const Uuid& log_id) {
  char header[kBatchHeaderBytes];
  ABSL_RETURN_IF_ERROR(file.Read(0, sizeof header, header));
  return IsHeaderOf(header, log_id) ? Load<uint64_t>(header + kGenerationPlace) : 0;
}

absl::StatusOr<bool> ReadBatch(VfsFile& file, const Uuid& log_id, JournalPlace& place,
                               std::string& entries) {
  char header[kBatchHeaderBytes];
  ABSL_RETURN_IF_ERROR(file.Read(place.offset, sizeof header, header));
  const auto bytes = Load<uint32_t>(header + kBytesPlace);
  const auto generation = Load<uint64_t>(header + kGenerationPlace);
  if (!IsHeaderOf(header, log_id) || bytes > kJournalBytesMax || generation == 0 ||
      (place.generation != 0 && generation != place.generation) ||
      Load<uint64_t>(header + kNumberPlace) != place.number) {
    return false;
  }
  std::string batch(header, sizeof header);
  batch.resize(sizeof header + bytes);
  ABSL_RETURN_IF_ERROR(
      file.Read(place.offset + sizeof header, bytes, batch.data() + sizeof header));
  if (Load<uint32_t>(header + kCrcPlace) != BatchCrc(batch)) return false;
  entries.assign(batch, sizeof header);
  ABSL_RETURN_IF_ERROR(CheckCount(entries, Load<uint32_t>(header + kEntriesPlace), place));
  place.generation = generation;
  ++place.number;
  place.offset += batch.size();
  return true;
}

absl::Status ForEachBatch(
    VfsFile& file, const Uuid& log_id, uint64_t from,
    absl::FunctionRef<absl::Status(const JournalPlace&, std::string_view entries)> visit) {
  ABSL_ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  const std::string_view magic(kMagic, sizeof kMagic);
  uint64_t part_at = 0;
  std::string part;
  std::string entries;
  while (from + kBatchHeaderBytes <= size) {
    if (from + magic.size() > part_at + part.size()) {
      part_at = from;
      part.resize(std::min<uint64_t>(kSearchBytes, size - from));
      ABSL_RETURN_IF_ERROR(file.Read(from, part.size(), part.data()));
    }
    const size_t found = part.find(magic, from - part_at);
    if (found == std::string::npos) {
      from = part_at + part.size() - (magic.size() - 1);  // it may go on in the next part
      continue;
    }
    from = part_at + found;
    char header[kBatchHeaderBytes];
    ABSL_RETURN_IF_ERROR(file.Read(from, sizeof header, header));
    const JournalPlace at{0, Load<uint64_t>(header + kNumberPlace), from};
    JournalPlace place = at;
    const absl::StatusOr<bool> read = ReadBatch(file, log_id, place, entries);
    if (!read.ok() && !absl::IsDataLoss(read.status())) return read.status();
    if (!read.value_or(false)) {
      ++from;
      continue;
    }
    ABSL_RETURN_IF_ERROR(visit({place.generation, at.number, at.offset}, entries));
    from = place.offset;
  }
  return absl::OkStatus();
}

absl::Status ForEachEntry(std::string_view entries,
                          absl::FunctionRef<absl::Status(std::string_view)> visit) {
  while (!entries.empty()) {
    ABSL_ASSIGN_OR_RETURN(const size_t bytes, EntryBytes(entries));
    ABSL_RETURN_IF_ERROR(visit(entries.substr(0, bytes)));
    entries.remove_prefix(bytes);
  }
  return absl::OkStatus();
}

absl::StatusOr<Journal> Journal::Open(const SqliteLogOptions& options, const Uuid& log_id,
                                      uint64_t generation) {
  std::vector<VfsFile> files;
  std::vector<uint64_t> sizes;
  for (size_t i = 0; i < kJournalFiles; ++i) {
    ABSL_ASSIGN_OR_RETURN(VfsFile file,
                          VfsFile::Open(JournalPath(options.folder, i), options.vfs, false));
    ABSL_ASSIGN_OR_RETURN(const uint64_t size, file.Size());
    files.push_back(std::move(file));
    sizes.push_back(size);
  }
  CHECK(options.journal_chunk_bytes > 0);
  return Journal(std::move(files), std::move(sizes), log_id, generation, options);
}

// Zeros are written ahead, so that the sync of a batch need not wait for the file system to note
// where a file has grown.
absl::Status Journal::MakeRoom(uint64_t end) {
  uint64_t& room = room_[current_];
  if (end <= room) return absl::OkStatus();
  const std::string zeros(chunk_bytes_, '\0');
  while (room < end) {
    ABSL_RETURN_IF_ERROR(files_[current_].Write(room, zeros));
    room += zeros.size();
  }
  return absl::OkStatus();
}

absl::Status Journal::Append(const std::vector<std::string_view>& entries) {
  if (wants_other() && other_is_free()) {
    current_ = 1 - current_;
    ++generation_;
    number_ = 0;
    offset_ = 0;
  }
  buffer_.assign(kBatchHeaderBytes, '\0');
  for (const std::string_view entry : entries) buffer_.append(entry);
  if (offset_ > 0 && offset_ + buffer_.size() > kJournalBytesMax) {
    return absl::ResourceExhaustedError("log.db cannot keep up with the journal");
  }
  char* const header = buffer_.data();
  std::memcpy(header, kMagic, sizeof kMagic);
  Store<uint32_t>(header + kBytesPlace, static_cast<uint32_t>(buffer_.size() - kBatchHeaderBytes));
  Store<uint32_t>(header + kEntriesPlace, static_cast<uint32_t>(entries.size()));
  Store<uint64_t>(header + kGenerationPlace, generation_);
  Store<uint64_t>(header + kNumberPlace, number_);
  std::memcpy(header + kLogIdPlace, ShortId(log_id_).data(), 8);
  Store<uint32_t>(header + kCrcPlace, BatchCrc(buffer_));

  ABSL_RETURN_IF_ERROR(WriteBatch());
  generation_of_[current_] = generation_;
  ++number_;
  offset_ += buffer_.size();
  return absl::OkStatus();
}

absl::Status Journal::WriteBatch() {
  VfsFile& file = files_[current_];
  absl::Status status = MakeRoom(offset_ + buffer_.size());
  if (status.ok()) status = file.Write(offset_, buffer_);
  // A write without room was cut short, so its batch is not whole; the next one overwrites it.
  if (!status.ok() && file.no_room()) {
    return absl::ResourceExhaustedError("the disk of the log is full");
  }
  if (status.ok()) status = file.Sync();
  if (status.ok()) return status;
  // Readers beside us would believe it, and the machine may tell them that it is on the disk. The
  // rest of its header stays, so that its generation is not used again.
  char* const crc = buffer_.data() + kCrcPlace;
  Store<uint32_t>(crc, ~Load<uint32_t>(crc));
  file.Write(offset_ + kCrcPlace, std::string(crc, sizeof(uint32_t))).IgnoreError();
  return absl::UnavailableError(absl::StrCat("unknown whether it was stored: ", status.message()));
}

void Journal::Restart() {
  ++generation_;
  released_before_ = generation_;
  number_ = 0;
  offset_ = 0;
}

absl::Status Journal::Empty() {
  for (VfsFile& file : files_) ABSL_RETURN_IF_ERROR(file.Truncate());
  std::fill(room_.begin(), room_.end(), 0);
  Restart();
  return absl::OkStatus();
}

}  // namespace buurtlog::eventlog
