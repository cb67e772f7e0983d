// What an engine has of its log on this machine: log.db, and the newest entries in memory. Engines
// that keep both are read in this one way.
#pragma once

#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventlog/log_tail.h"
#include "libs/eventlog/sqlite_log_file.h"

namespace buurtlog::eventlog {

// Thread-safe. All as EventLog has it.
class StoredLog {
 public:
  StoredLog(std::unique_ptr<LogFileReader> file, std::vector<FoldState> heads)
      : file_(std::move(file)), tail_(std::move(heads)) {}

  const LogIdentity& identity() const { return file_->identity(); }
  LogTail& tail() { return tail_; }

  absl::Status Read(Partition partition, FoldState& at, const ReadLimits& limits,
                    absl::FunctionRef<absl::Status(const EntryView&)> visit);
  absl::StatusOr<FoldState> Seek(Partition partition, Sequence from);
  absl::Status ReadEntries(Partition partition, absl::Span<const Sequence> sequences,
                           const ReadLimits& limits,
                           absl::FunctionRef<absl::Status(const EntryView&)> visit);
  absl::StatusOr<FoldState> Head(Partition partition);

 private:
  const std::unique_ptr<LogFileReader> file_;
  LogTail tail_;
};

}  // namespace buurtlog::eventlog
