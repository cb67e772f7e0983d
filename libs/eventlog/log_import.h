// Makes a log out of another one's entries, byte for byte: the same identity, positions and hashes
// on another engine. What was taken over before is kept, so an import that was interrupted goes on
// where it was.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/files.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventlog/topic.h"

namespace buurtlog::eventlog {

// Not thread-safe.
class LogImport {
 public:
  virtual ~LogImport() = default;
  // How far the partition was taken over.
  virtual absl::StatusOr<FoldState> Head(Partition partition) = 0;
  // Takes entries that follow the head, canonical as a reader sees them; durable when it returns.
  virtual absl::Status Add(Partition partition, std::vector<std::string> entries,
                           const FoldState& behind) = 0;
  // All is there: from now on it is a log that opens.
  virtual absl::Status Finish() = 0;
};

// A log in `folder`. ALREADY_EXISTS when there is a whole one.
absl::StatusOr<std::unique_ptr<LogImport>> ImportIntoSqlite(const LogIdentity& identity,
                                                            const std::string& folder,
                                                            Files& files);

// A log in a topic that has this identity. While nobody else writes to it.
absl::StatusOr<std::unique_ptr<LogImport>> ImportIntoTopic(std::unique_ptr<Topic> topic);

// Entries taken over and known to be there, of all partitions.
using CopyProgress = absl::FunctionRef<void(Partition, uint64_t entries)>;

// Brings `to` up to what `from` has, which may grow meanwhile: once more brings over what came
// since. FAILED_PRECONDITION with reason OTHER_HISTORY when `to` holds something that `from` does
// not; other errors as theirs.
absl::Status CopyLog(LogReader& from, LogImport& to, CopyProgress progress);

}  // namespace buurtlog::eventlog
