#include "libs/eventlog/sqlite_event_log.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/about.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/head_file.h"
#include "libs/eventlog/identity_file.h"
#include "libs/eventlog/journal.h"
#include "libs/eventlog/journal_overlay.h"
#include "libs/eventlog/journal_recovery.h"
#include "libs/eventlog/log_mover.h"
#include "libs/eventlog/log_tail.h"
#include "libs/eventlog/sqlite_log_file.h"
#include "libs/eventlog/sqlite_log_flusher.h"
#include "libs/eventlog/sqlite_log_reader.h"
#include "libs/eventlog/stored_log.h"
#include "libs/eventlog/watchers.h"

namespace buurtlog::eventlog {
namespace {

constexpr size_t kServiceNameBytesMax = 32;

std::string LockPath(const std::string& folder) { return absl::StrCat(folder, "/lock"); }

absl::Status CheckIdentity(const LogIdentity& identity) {
  if (identity.partitions == 0 || identity.partitions > kPartitionsMax) {
    return absl::InvalidArgumentError(absl::StrCat("partitions must be 1 to ", kPartitionsMax));
  }
  if (identity.record_bytes_max <= kHeaderBytes || identity.record_bytes_max > kRecordBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("record_bytes_max must be over ", kHeaderBytes,
                                                   " and at most ", kRecordBytesMax));
  }
  if (identity.service.empty() || identity.service.size() > kServiceNameBytesMax ||
      identity.log_id.IsNil()) {
    return absl::InvalidArgumentError("a log has an id and the name of a service");
  }
  return absl::OkStatus();
}

// Writes the head file: a period after a change or an attempt that failed, and at the end.
class HeadKeeper {
 public:
  HeadKeeper(Files& files, Scheduler& scheduler, const SqliteLogOptions& options,
             const LogIdentity& identity, LogTail& tail)
      : files_(files), options_(options), identity_(identity), tail_(tail) {
    queue_ = scheduler.NewQueue("log heads", QueueKind::kBlocking);
  }

  ~HeadKeeper() {
    {
      absl::MutexLock lock(&mutex_);
      armed_ = true;  // nothing more is posted
    }
    queue_.reset();
    Write();
  }

  void Changed() {
    absl::MutexLock lock(&mutex_);
    if (armed_) return;
    armed_ = true;
    queue_->PostAfter(options_.head_file_period, [this] {
      Disarm();
      if (!Write()) Changed();
    });
  }

 private:
  void Disarm() {
    absl::MutexLock lock(&mutex_);
    armed_ = false;
  }

  // False when it could not be written; the older one that is there is a right one too.
  bool Write() {
    std::vector<KnownHead> heads = KnownHeads(tail_.Heads());
    if (heads == written_) return true;
    if (!WriteHeadFile(files_, options_.folder, identity_, heads).ok()) return false;
    written_ = std::move(heads);
    return true;
  }

  Files& files_;
  const SqliteLogOptions& options_;
  const LogIdentity& identity_;
  LogTail& tail_;
  std::vector<KnownHead> written_;  // touched by the queue's tasks, and by the destructor
  absl::Mutex mutex_;
  bool armed_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<TaskQueue> queue_;
};

}  // namespace

class SqliteEventLog::Impl {
 public:
  Impl(std::unique_ptr<FileLock> lock, std::unique_ptr<LogFileReader> file,
       std::vector<FoldState> heads, LogFileWriter writer, Journal journal,
       const SqliteLogOptions& options, Files& files, Scheduler& scheduler)
      : options_(options),
        lock_(std::move(lock)),
        stored_(std::move(file), std::move(heads)),
        head_keeper_(files, scheduler, options_, stored_.identity(), stored_.tail()),
        mover_(std::move(writer), stored_.tail(), scheduler),
        flusher_({stored_.identity(), stored_.tail(), mover_, scheduler, *options_.clock,
                  *options_.random,
                  [this](const std::vector<Partition>& grown) {
                    head_keeper_.Changed();
                    watchers_.Notify(grown);
                  }},
                 std::move(journal)) {}

  const LogIdentity& identity() const { return stored_.identity(); }
  StoredLog& stored() { return stored_; }
  Watchers& watchers() { return watchers_; }
  SqliteLogFlusher& flusher() { return flusher_; }
  absl::Status health() { return mover_.trouble(); }

 private:
  // Destroyed from the last to the first: the flusher finishes and has all moved, the heads are
  // written, the lock goes.
  const SqliteLogOptions options_;
  const std::unique_ptr<FileLock> lock_;
  StoredLog stored_;
  Watchers watchers_;
  HeadKeeper head_keeper_;
  LogMover mover_;
  SqliteLogFlusher flusher_;
};

absl::Status SqliteEventLog::Create(const LogIdentity& identity, const SqliteLogOptions& options,
                                    Files& files) {
  ABSL_RETURN_IF_ERROR(CheckIdentity(identity));
  ABSL_RETURN_IF_ERROR(files.MakeFolder(options.folder));
  ABSL_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock, files.Lock(LockPath(options.folder)));
  if (HasIdentityFile(files, options.folder)) {
    return absl::AlreadyExistsError(absl::StrCat("there is a log in ", options.folder));
  }
  const absl::Status created = CreateLogFile(options, identity.partitions);
  // Entries without an identity: a log that has lost it.
  if (absl::IsAlreadyExists(created)) return absl::DataLossError(created.message());
  ABSL_RETURN_IF_ERROR(created);
  ABSL_RETURN_IF_ERROR(MakeMissingJournals(options.folder, files));
  std::vector<KnownHead> heads;
  for (Partition partition = 0; partition < identity.partitions; ++partition) {
    heads.push_back({0, InitialHash(identity, partition)});
  }
  ABSL_RETURN_IF_ERROR(WriteHeadFile(files, options.folder, identity, heads));
  // Last: what a crash leaves before this is no log, and may be made again.
  return WriteIdentityFile(files, options.folder, identity);
}

absl::StatusOr<std::unique_ptr<SqliteEventLog>> SqliteEventLog::Open(
    const SqliteLogOptions& options, Files& files, Scheduler& scheduler) {
  ABSL_ASSIGN_OR_RETURN(LogIdentity identity, ReadIdentityFile(files, options.folder));
  ABSL_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock, files.Lock(LockPath(options.folder)));
  if (!files.Exists(LogFilePath(options.folder))) {
    return absl::DataLossError(absl::StrCat(LogFilePath(options.folder), " is missing"));
  }
  if (options.accept_shortened) ABSL_RETURN_IF_ERROR(MakeMissingJournals(options.folder, files));
  ABSL_RETURN_IF_ERROR(CheckJournalFiles(options, files));
  ABSL_ASSIGN_OR_RETURN(LogFileWriter writer, LogFileWriter::Open(options, identity.partitions));
  // A writer that was killed may have left a commit that only the machine's memory holds, and may
  // have been told that it could not be synced; nobody may build on it before the disk has it.
  ABSL_RETURN_IF_ERROR(writer.SyncWal());
  auto file = std::make_unique<LogFileReader>(std::move(identity), options);
  ABSL_ASSIGN_OR_RETURN(const uint64_t generation, RecoverJournal(options, *file, writer));
  ABSL_ASSIGN_OR_RETURN(std::vector<FoldState> heads, VerifyTails(*file, files, options));
  ABSL_ASSIGN_OR_RETURN(Journal journal,
                        Journal::Open(options, file->identity().log_id, generation));
  return std::unique_ptr<SqliteEventLog>(new SqliteEventLog(
      std::make_unique<Impl>(std::move(lock), std::move(file), std::move(heads), std::move(writer),
                             std::move(journal), options, files, scheduler)));
}

absl::StatusOr<std::unique_ptr<LogReader>> SqliteEventLog::OpenReader(
    const SqliteLogOptions& options, Files& files, Scheduler& scheduler) {
  ABSL_ASSIGN_OR_RETURN(LogIdentity identity, ReadIdentityFile(files, options.folder));
  ABSL_RETURN_IF_ERROR(CheckJournalFiles(options, files));
  std::unique_ptr<JournalOverlay> overlay;
  if (options.accept_shortened) {
    ABSL_ASSIGN_OR_RETURN(overlay, OverlayOfRecovery(options, identity));
  } else {
    overlay = std::make_unique<JournalOverlay>(options, identity);
  }
  auto file = std::make_unique<LogFileReader>(std::move(identity), options, std::move(overlay));
  ABSL_ASSIGN_OR_RETURN(std::vector<FoldState> heads, VerifyTails(*file, files, options));
  return std::unique_ptr<LogReader>(
      std::make_unique<SqliteLogReader>(std::move(file), std::move(heads), options, scheduler));
}

SqliteEventLog::SqliteEventLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

SqliteEventLog::~SqliteEventLog() = default;

const LogIdentity& SqliteEventLog::identity() const { return impl_->identity(); }

absl::Status SqliteEventLog::Read(Partition partition, FoldState& at, const ReadLimits& limits,
                                  absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  return impl_->stored().Read(partition, at, limits, visit);
}

absl::StatusOr<FoldState> SqliteEventLog::Seek(Partition partition, Sequence from) {
  return impl_->stored().Seek(partition, from);
}

absl::Status SqliteEventLog::ReadEntries(Partition partition, absl::Span<const Sequence> sequences,
                                         const ReadLimits& limits,
                                         absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  return impl_->stored().ReadEntries(partition, sequences, limits, visit);
}

std::unique_ptr<Subscription> SqliteEventLog::Watch(absl::AnyInvocable<void(Partition)> grew) {
  return impl_->watchers().Add(std::move(grew));
}

absl::StatusOr<FoldState> SqliteEventLog::Head(Partition partition) {
  return impl_->stored().Head(partition);
}

void SqliteEventLog::BeginEpoch(Partition partition, std::string owner,
                                absl::AnyInvocable<void(absl::StatusOr<FoldState>)> done) {
  impl_->flusher().BeginEpoch(partition, std::move(owner), std::move(done));
}

void SqliteEventLog::Append(Partition partition, Epoch epoch, std::vector<std::string> entries,
                            absl::AnyInvocable<void(absl::Status)> done) {
  impl_->flusher().Append(partition, epoch, std::move(entries), std::move(done));
}

absl::Status SqliteEventLog::health() {
  const absl::Status trouble = impl_->health();
  return trouble.ok() ? trouble : About("the journal cannot be moved into log.db", trouble);
}

void SqliteEventLog::OnProgress(absl::AnyInvocable<void(const LogProgress&)> observer) {
  impl_->flusher().OnProgress(std::move(observer));
}

}  // namespace buurtlog::eventlog
