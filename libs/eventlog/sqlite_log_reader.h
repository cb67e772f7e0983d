// Reads a sqlite log beside its writer, which may be another process.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/files.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventlog/sqlite_event_log.h"
#include "libs/eventlog/sqlite_log_file.h"
#include "libs/eventlog/watchers.h"

namespace buurtlog::eventlog {

// How often a watched log is asked whether it changed.
inline constexpr absl::Duration kReaderPollPeriod = absl::Milliseconds(20);
// Entries by which a known head is brought up to date one by one; beyond it only the tail is looked
// at.
inline constexpr Sequence kHeadFollowMax = 1024;

// INVALID_ARGUMENT for a partition or place that no log has.
absl::Status CheckPlace(const LogIdentity& identity, Partition partition, Sequence next);

// Identity, head file and the tails of all partitions, verified.
absl::StatusOr<std::vector<FoldState>> VerifyTails(LogFileReader& reader, Files& files,
                                                   const SqliteLogOptions& options);

class SqliteLogReader final : public LogReader {
 public:
  // `file` has an overlay.
  SqliteLogReader(std::unique_ptr<LogFileReader> file, std::vector<FoldState> heads,
                  SqliteLogOptions options, Scheduler& scheduler);
  ~SqliteLogReader() override;

  const LogIdentity& identity() const override { return file_->identity(); }
  absl::Status Read(Partition partition, FoldState& at, const ReadLimits& limits,
                    absl::FunctionRef<absl::Status(const EntryView&)> visit) override;
  absl::StatusOr<FoldState> Seek(Partition partition, Sequence from) override;
  std::unique_ptr<Subscription> Watch(absl::AnyInvocable<void(Partition)> grew) override;
  absl::StatusOr<FoldState> Head(Partition partition) override;

 private:
  void Poll();
  absl::StatusOr<std::vector<Partition>> Grown();

  const std::unique_ptr<LogFileReader> file_;
  const SqliteLogOptions options_;
  Watchers watchers_;

  absl::Mutex mutex_;
  std::vector<FoldState> heads_ ABSL_GUARDED_BY(mutex_);
  bool polling_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;

  // Touched by the queue's tasks alone.
  std::optional<LogFileChanges> changes_;
  std::vector<Sequence> seen_;

  std::unique_ptr<TaskQueue> queue_;
};

}  // namespace buurtlog::eventlog
