#include "libs/eventlog/topic_copy.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/identity_file.h"
#include "libs/eventlog/topic_message.h"

namespace buurtlog::eventlog {
namespace {

absl::Status Foreign(const std::string& folder, std::string_view what) {
  return WithReason(absl::FailedPreconditionError(
                        absl::StrCat(folder, " is a copy of another ", std::string(what))),
                    "FOREIGN_LOG");
}

absl::Status CheckBelongs(const std::string& folder, const Topic& topic, Files& files) {
  const std::string place_file = folder + "/place";
  if (!HasIdentityFile(files, folder)) {
    // First: what a crash leaves before the identity is no copy, and is made again.
    ABSL_RETURN_IF_ERROR(files.WriteAtomically(place_file, topic.place_id()));
    return WriteIdentityFile(files, folder, topic.identity());
  }
  ABSL_ASSIGN_OR_RETURN(const LogIdentity identity, ReadIdentityFile(files, folder));
  if (identity != topic.identity()) return Foreign(folder, "log");
  ABSL_ASSIGN_OR_RETURN(const std::string place, files.Read(place_file));
  return place == topic.place_id() ? absl::OkStatus() : Foreign(folder, "topic or cluster");
}

absl::Status MakeFile(const SqliteLogOptions& options, uint32_t partitions, Files& files) {
  if (!files.Exists(LogFilePath(options.folder))) {
    ABSL_RETURN_IF_ERROR(CreateLogFile(options, partitions));
  }
  return absl::OkStatus();
}

absl::Status RemoveFile(const SqliteLogOptions& options, Files& files) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const std::string path = LogFilePath(options.folder) + suffix;
    if (files.Exists(path)) ABSL_RETURN_IF_ERROR(files.Remove(path));
  }
  return absl::OkStatus();
}

absl::StatusOr<TopicCopy> OpenFile(const SqliteLogOptions& options, const LogIdentity& identity) {
  ABSL_ASSIGN_OR_RETURN(LogFileWriter writer, LogFileWriter::Open(options, identity.partitions));
  // A writer that was killed may have left a commit that only the machine's memory holds.
  ABSL_RETURN_IF_ERROR(writer.SyncWal());
  TopicCopy copy{
      nullptr, std::make_unique<LogFileReader>(identity, options), std::move(writer), {}, {}, {},
      {}};
  ABSL_ASSIGN_OR_RETURN(const std::vector<MessagePlace> places, copy.writer.MessagePlaces());
  for (Partition partition = 0; partition < identity.partitions; ++partition) {
    ABSL_ASSIGN_OR_RETURN(FoldState head, copy.file->VerifyTail(partition, {}));
    const MessagePlace& place = places[partition];
    if (place.sequence != head.next - 1) {
      return DataLossAt(partition, head.next, "the copy does not end where it says");
    }
    head.owner = place.owner;
    FoldState before = head;
    if (place.sequence > 0) {
      ABSL_ASSIGN_OR_RETURN(before, copy.file->Seek(partition, place.sequence));
    }
    copy.heads.push_back(std::move(head));
    copy.before_heads.push_back(std::move(before));
    copy.offsets.push_back(place.sequence > 0 ? place.offset : kFirstEntryOffset);
  }
  return copy;
}

}  // namespace

absl::StatusOr<TopicCopy> TopicCopy::Open(const SqliteLogOptions& options, const Topic& topic,
                                          Files& files) {
  ABSL_RETURN_IF_ERROR(files.MakeFolder(options.folder));
  ABSL_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock, files.Lock(options.folder + "/lock"));
  ABSL_RETURN_IF_ERROR(CheckBelongs(options.folder, topic, files));
  const uint32_t partitions = topic.identity().partitions;
  ABSL_RETURN_IF_ERROR(MakeFile(options, partitions, files));
  absl::StatusOr<TopicCopy> copy = OpenFile(options, topic.identity());
  std::string discarded;
  if (absl::IsDataLoss(copy.status())) {
    discarded = std::string(copy.status().message());
    ABSL_RETURN_IF_ERROR(RemoveFile(options, files));
    ABSL_RETURN_IF_ERROR(MakeFile(options, partitions, files));
    copy = OpenFile(options, topic.identity());
  }
  ABSL_RETURN_IF_ERROR(copy.status());
  copy->lock = std::move(lock);
  copy->discarded = std::move(discarded);
  return copy;
}

}  // namespace buurtlog::eventlog
