#include "libs/eventlog/log_import.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/chain_check.h"
#include "libs/eventlog/head_file.h"
#include "libs/eventlog/identity_file.h"
#include "libs/eventlog/journal.h"
#include "libs/eventlog/sqlite_log_file.h"
#include "libs/eventlog/topic_message.h"

namespace buurtlog::eventlog {
namespace {

constexpr ReadLimits kCopyLimits = {.entries_max = 4'096, .bytes_max = 4 << 20};
// For how long the brokers may say nothing new of a partition that is waited for.
constexpr absl::Duration kSilenceMax = absl::Seconds(30);

class SqliteImport final : public LogImport {
 public:
  SqliteImport(LogIdentity identity, std::string folder, Files& files,
               std::unique_ptr<FileLock> lock, LogFileWriter writer)
      : identity_(std::move(identity)),
        folder_(std::move(folder)),
        files_(files),
        lock_(std::move(lock)),
        writer_(std::move(writer)) {}

  absl::Status FindHeads() {
    SqliteLogOptions options;
    options.folder = folder_;
    LogFileReader reader(identity_, options);
    for (Partition partition = 0; partition < identity_.partitions; ++partition) {
      ABSL_ASSIGN_OR_RETURN(FoldState head, reader.VerifyTail(partition, {}));
      heads_.push_back(std::move(head));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<FoldState> Head(Partition partition) override { return heads_[partition]; }

  absl::Status Add(Partition partition, std::vector<std::string> entries,
                   const FoldState& behind) override {
    Sequence sequence = heads_[partition].next;
    ABSL_ASSIGN_OR_RETURN(sqlite::Transaction transaction, writer_.Begin(/*synced=*/true));
    for (const std::string& entry : entries) {
      ABSL_RETURN_IF_ERROR(writer_.Insert(partition, sequence++, entry));
    }
    ABSL_RETURN_IF_ERROR(writer_.Commit(transaction));
    heads_[partition] = behind;
    if (writer_.wal_pages() < sqlite::kWalPagesMax) return absl::OkStatus();
    return writer_.Checkpoint(CheckpointMode::kPassive).status();
  }

  absl::Status Finish() override {
    ABSL_RETURN_IF_ERROR(writer_.Checkpoint(CheckpointMode::kTruncate).status());
    ABSL_RETURN_IF_ERROR(WriteHeadFile(files_, folder_, identity_, KnownHeads(heads_)));
    return WriteIdentityFile(files_, folder_, identity_);
  }

 private:
  const LogIdentity identity_;
  const std::string folder_;
  Files& files_;
  const std::unique_ptr<FileLock> lock_;
  LogFileWriter writer_;
  std::vector<FoldState> heads_;
};

class TopicImport final : public LogImport {
 public:
  explicit TopicImport(std::unique_ptr<Topic> topic)
      : topic_(std::move(topic)), producer_(topic_->NewProducer()) {
    for (Partition partition = 0; partition < topic_->identity().partitions; ++partition) {
      partitions_.push_back({InitialFoldState(topic_->identity(), partition), 0, {}});
    }
  }

  absl::Status ReadToEnd() {
    ABSL_ASSIGN_OR_RETURN(const std::vector<Offset> ends, topic_->Ends());
    following_ = topic_->Follow(
        std::vector<Offset>(ends.size(), 0),
        {[this](absl::Span<const TopicMessage> messages) { Take(messages); },
         [this](Partition partition, absl::Status why) { Fail(partition, std::move(why)); }});
    for (Partition partition = 0; partition < ends.size(); ++partition) {
      ABSL_RETURN_IF_ERROR(Await(
          partition, [end = ends[partition]](const InTopic& at) { return at.next_offset >= end; }));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<FoldState> Head(Partition partition) override {
    absl::MutexLock lock(&mutex_);
    return partitions_[partition].head;
  }

  absl::Status Add(Partition partition, std::vector<std::string> entries,
                   const FoldState& behind) override {
    for (std::string& message : PackMessages(std::move(entries))) {
      Send(partition, std::move(message));
    }
    return Await(partition, [next = behind.next, hash = behind.head_hash](const InTopic& at) {
      return at.head.next == next && at.head.head_hash == hash;
    });
  }

  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  struct InTopic {
    FoldState head;
    Offset next_offset = 0;
    absl::Status failure;
  };

  void Send(Partition partition, std::string message) {
    producer_->Send(partition, MessageKey(topic_->identity(), ++sends_), std::move(message),
                    [this, partition](absl::Status status) {
                      if (!status.ok()) Fail(partition, std::move(status));
                    });
  }

  void Take(absl::Span<const TopicMessage> messages) {
    absl::MutexLock lock(&mutex_);
    for (const TopicMessage& message : messages) {
      InTopic& at = partitions_[message.partition];
      if (at.failure.ok()) at.failure = TakeMessage(message, at.head);
      at.next_offset = message.offset + 1;
    }
  }

  absl::Status TakeMessage(const TopicMessage& message, FoldState& head) {
    ABSL_ASSIGN_OR_RETURN(const uint64_t send, SendOf(topic_->identity(), message));
    if (send == kIdentitySend) return absl::OkStatus();
    ABSL_ASSIGN_OR_RETURN(const std::vector<std::string_view> entries, EntriesOf(message));
    for (const std::string_view entry : entries) {
      ABSL_RETURN_IF_ERROR(Fold(head, message.partition, entry).status());
    }
    return absl::OkStatus();
  }

  void Fail(Partition partition, absl::Status why) {
    absl::MutexLock lock(&mutex_);
    partitions_[partition].failure = std::move(why);
  }

  template <typename Reached>
  absl::Status Await(Partition partition, Reached reached) {
    const auto done = [this, partition, &reached]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return !partitions_[partition].failure.ok() || reached(partitions_[partition]);
    };
    absl::MutexLock lock(&mutex_);
    while (true) {
      const Offset before = partitions_[partition].next_offset;
      if (mutex_.AwaitWithTimeout(absl::Condition(&done), kSilenceMax)) {
        return partitions_[partition].failure;
      }
      if (partitions_[partition].next_offset > before) continue;
      return absl::UnavailableError(
          absl::StrCat("partition ", partition, ": nothing more is read of the topic"));
    }
  }

  const std::unique_ptr<Topic> topic_;
  absl::Mutex mutex_;
  std::vector<InTopic> partitions_ ABSL_GUARDED_BY(mutex_);
  uint64_t sends_ = kIdentitySend;
  std::unique_ptr<TopicProducer> producer_;
  std::unique_ptr<Subscription> following_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LogImport>> ImportIntoSqlite(const LogIdentity& identity,
                                                            const std::string& folder,
                                                            Files& files) {
  ABSL_RETURN_IF_ERROR(files.MakeFolder(folder));
  ABSL_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock, files.Lock(folder + "/lock"));
  // Without it the folder is no log yet: an import that was interrupted, or nothing.
  if (HasIdentityFile(files, folder)) {
    return absl::AlreadyExistsError(absl::StrCat("there is a log in ", folder));
  }
  SqliteLogOptions options;
  options.folder = folder;
  if (!files.Exists(LogFilePath(folder))) {
    ABSL_RETURN_IF_ERROR(CreateLogFile(options, identity.partitions));
  }
  ABSL_RETURN_IF_ERROR(MakeMissingJournals(folder, files));
  ABSL_ASSIGN_OR_RETURN(LogFileWriter writer, LogFileWriter::Open(options, identity.partitions));
  ABSL_RETURN_IF_ERROR(writer.SyncWal());
  auto import =
      std::make_unique<SqliteImport>(identity, folder, files, std::move(lock), std::move(writer));
  ABSL_RETURN_IF_ERROR(import->FindHeads());
  return std::unique_ptr<LogImport>(std::move(import));
}

absl::StatusOr<std::unique_ptr<LogImport>> ImportIntoTopic(std::unique_ptr<Topic> topic) {
  auto import = std::make_unique<TopicImport>(std::move(topic));
  ABSL_RETURN_IF_ERROR(import->ReadToEnd());
  return std::unique_ptr<LogImport>(std::move(import));
}

absl::Status CopyLog(LogReader& from, LogImport& to, CopyProgress progress) {
  for (Partition partition = 0; partition < from.identity().partitions; ++partition) {
    ABSL_ASSIGN_OR_RETURN(FoldState at, to.Head(partition));
    const absl::Status on_chain = CheckOnChain(from, partition, at);
    if (absl::IsDataLoss(on_chain)) {
      return WithReason(absl::FailedPreconditionError(absl::StrCat(
                            "the target holds what the source does not: ", on_chain.message())),
                        "OTHER_HISTORY");
    }
    ABSL_RETURN_IF_ERROR(on_chain);
    while (true) {
      std::vector<std::string> entries;
      ABSL_RETURN_IF_ERROR(from.Read(partition, at, kCopyLimits, [&](const EntryView& entry) {
        entries.emplace_back(entry.bytes);
        return absl::OkStatus();
      }));
      if (entries.empty()) break;
      const size_t count = entries.size();
      ABSL_RETURN_IF_ERROR(to.Add(partition, std::move(entries), at));
      progress(partition, count);
    }
  }
  return absl::OkStatus();
}

}  // namespace buurtlog::eventlog
