#include "libs/eventlog/sqlite_log_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/head_file.h"

namespace buurtlog::eventlog {

absl::Status CheckPlace(const LogIdentity& identity, Partition partition, Sequence next) {
  if (partition >= identity.partitions) {
    return absl::InvalidArgumentError(absl::StrCat("no partition ", partition));
  }
  if (next == 0) return absl::InvalidArgumentError("sequences begin at 1");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<FoldState>> VerifyTails(LogFileReader& reader, Files& files,
                                                   const SqliteLogOptions& options) {
  const LogIdentity& identity = reader.identity();
  if (!files.Exists(LogFilePath(options.folder))) {
    return absl::DataLossError(absl::StrCat(LogFilePath(options.folder), " is missing"));
  }
  // Read before the log, which may be growing: then the log can only be ahead.
  std::vector<KnownHead> known(identity.partitions);
  if (!options.accept_shortened) {
    ABSL_ASSIGN_OR_RETURN(known, ReadHeadFile(files, options.folder, identity));
  }
  std::vector<FoldState> heads;
  heads.reserve(identity.partitions);
  for (Partition partition = 0; partition < identity.partitions; ++partition) {
    ABSL_ASSIGN_OR_RETURN(FoldState head, reader.VerifyTail(partition, known[partition]));
    heads.push_back(std::move(head));
  }
  return heads;
}

SqliteLogReader::SqliteLogReader(std::unique_ptr<LogFileReader> file, std::vector<FoldState> heads,
                                 SqliteLogOptions options, Scheduler& scheduler)
    : file_(std::move(file)), options_(std::move(options)), heads_(std::move(heads)) {
  seen_.reserve(heads_.size());
  for (const FoldState& head : heads_) seen_.push_back(head.next - 1);
  queue_ = scheduler.NewQueue("log reader", QueueKind::kBlocking);
}

SqliteLogReader::~SqliteLogReader() {
  {
    absl::MutexLock lock(&mutex_);
    closing_ = true;
  }
  queue_.reset();
}

absl::Status SqliteLogReader::Read(Partition partition, FoldState& at, const ReadLimits& limits,
                                   absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  ABSL_RETURN_IF_ERROR(CheckPlace(identity(), partition, at.next));
  return file_->Read(partition, at, std::nullopt, limits, visit);
}

absl::StatusOr<FoldState> SqliteLogReader::Seek(Partition partition, Sequence from) {
  ABSL_RETURN_IF_ERROR(CheckPlace(identity(), partition, from));
  return file_->Seek(partition, from);
}

absl::StatusOr<FoldState> SqliteLogReader::Head(Partition partition) {
  ABSL_RETURN_IF_ERROR(CheckPlace(identity(), partition, 1));
  FoldState head;
  {
    absl::MutexLock lock(&mutex_);
    head = heads_[partition];
  }
  ABSL_ASSIGN_OR_RETURN(const Sequence last, file_->LastSequence(partition));
  if (last + 1 == head.next) return head;
  if (last > head.next + kHeadFollowMax) {
    ABSL_ASSIGN_OR_RETURN(FoldState tail, file_->VerifyTail(partition, KnownHead()));
    if (tail.owner.empty() && tail.epoch == head.epoch) tail.owner = head.owner;
    head = std::move(tail);
  }
  while (head.next <= last) {
    ABSL_RETURN_IF_ERROR(file_->Read(partition, head, std::nullopt, {},
                                     [](const EntryView&) { return absl::OkStatus(); }));
  }
  absl::MutexLock lock(&mutex_);
  if (heads_[partition].next < head.next) heads_[partition] = head;
  return head;
}

std::unique_ptr<Subscription> SqliteLogReader::Watch(absl::AnyInvocable<void(Partition)> grew) {
  std::unique_ptr<Subscription> subscription = watchers_.Add(std::move(grew));
  absl::MutexLock lock(&mutex_);
  if (!polling_) {
    polling_ = true;
    queue_->Post([this] { Poll(); });
  }
  return subscription;
}

void SqliteLogReader::Poll() {
  // An error is met again, and told, when somebody reads.
  if (absl::StatusOr<std::vector<Partition>> grown = Grown(); grown.ok()) {
    watchers_.Notify(*grown);
  }
  absl::MutexLock lock(&mutex_);
  polling_ = !closing_ && !watchers_.empty();
  if (polling_) queue_->PostAfter(kReaderPollPeriod, [this] { Poll(); });
}

absl::StatusOr<std::vector<Partition>> SqliteLogReader::Grown() {
  if (!changes_.has_value()) {
    ABSL_ASSIGN_OR_RETURN(changes_, LogFileChanges::Open(options_, *file_->overlay()));
  }
  std::vector<Partition> grown;
  ABSL_ASSIGN_OR_RETURN(const bool changed, changes_->Changed());
  if (!changed) return grown;
  for (Partition partition = 0; partition < seen_.size(); ++partition) {
    absl::StatusOr<Sequence> last = file_->LastSequence(partition);
    if (!last.ok()) {
      // All partitions are looked at again next time; those that were found grown are told now.
      changes_.reset();
      continue;
    }
    if (*last <= seen_[partition]) continue;
    seen_[partition] = *last;
    grown.push_back(partition);
  }
  return grown;
}

}  // namespace buurtlog::eventlog
