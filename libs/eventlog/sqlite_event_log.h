// The sqlite engine: one folder, one machine, many readers, one writer. One flusher writes the
// waiting batches of all partitions to a journal in one write (group commit), so that one sync of
// the disk answers many callers; a mover brings them into the database behind the callers' way.
//
// The folder holds: identity (what is fixed), log.db (the entries), journal-0 and journal-1 (those
// that are not in log.db yet; empty after a clean stop), heads (sequence and hash of each
// partition, written every second and at a clean stop; a damaged end looks like a crash, and the
// heads tell the two apart), lock.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/random.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"

namespace buurtlog::eventlog {

struct SqliteLogOptions {
  std::string folder;
  std::string vfs;  // SQLite VFS to use; empty for the default. For tests.
  absl::Duration head_file_period = absl::Seconds(1);
  // By how much a journal file is made longer at a time.
  uint64_t journal_chunk_bytes = 1 << 20;
  // From this length of a journal file on the other one is used, as soon as it is free.
  uint64_t journal_bytes_wanted = 8 << 20;
  // Opens a log that lost its end too: whatever the head file says, or though there is none, and
  // for writing though a file of the journal is gone. What then is there is what counts, and a
  // writer's head file says so.
  bool accept_shortened = false;
  // For the time and the nonce in epoch records. Outlive the log.
  Clock* clock = &SystemClock();
  Random* random = &SystemRandom();
};

class SqliteEventLog final : public EventLog {
 public:
  // Makes a new log. ALREADY_EXISTS when the folder holds one; DATA_LOSS when it holds the entries
  // of one that has lost its identity.
  static absl::Status Create(const LogIdentity& identity, const SqliteLogOptions& options,
                             Files& files);

  // Opens for writing. NOT_FOUND: no log there. FAILED_PRECONDITION with reason DATA_FOLDER_IN_USE
  // (another writer), NEWER_RELEASE (made by a later release) or NOT_SYNTHETIC. DATA_LOSS naming
  // (partition, sequence): the tail is damaged or the head file is ahead of the log. `files` and
  // `scheduler` outlive the log.
  static absl::StatusOr<std::unique_ptr<SqliteEventLog>> Open(const SqliteLogOptions& options,
                                                              Files& files, Scheduler& scheduler);

  // Opens for reading only, beside a writer in this or another process; takes no lock, changes
  // nothing. Watch polls `PRAGMA data_version`.
  static absl::StatusOr<std::unique_ptr<LogReader>> OpenReader(const SqliteLogOptions& options,
                                                               Files& files, Scheduler& scheduler);

  // Finishes what was handed over, writes the head file, and lets the lock go.
  ~SqliteEventLog() override;

  const LogIdentity& identity() const override;
  absl::Status Read(Partition partition, FoldState& at, const ReadLimits& limits,
                    absl::FunctionRef<absl::Status(const EntryView&)> visit) override;
  absl::StatusOr<FoldState> Seek(Partition partition, Sequence from) override;
  absl::Status ReadEntries(Partition partition, absl::Span<const Sequence> sequences,
                           const ReadLimits& limits,
                           absl::FunctionRef<absl::Status(const EntryView&)> visit) override;
  std::unique_ptr<Subscription> Watch(absl::AnyInvocable<void(Partition)> grew) override;
  absl::StatusOr<FoldState> Head(Partition partition) override;
  void BeginEpoch(Partition partition, std::string owner,
                  absl::AnyInvocable<void(absl::StatusOr<FoldState>)> done) override;
  void Append(Partition partition, Epoch epoch, std::vector<std::string> entries,
              absl::AnyInvocable<void(absl::Status)> done) override;

  // Why what is in the journal could not be brought into log.db when that was last tried; it is
  // tried again. Appends go on for as long as the journal has room.
  absl::Status health() override;

  // After each flush, from the flusher.
  void OnProgress(absl::AnyInvocable<void(const LogProgress&)> observer) override;

  class Impl;

 private:
  explicit SqliteEventLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace buurtlog::eventlog
