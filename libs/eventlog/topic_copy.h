// A replica's copy of the entries of a topic that count, as a log.db in a folder of its own, and
// the offset up to which it goes: entries are read by their sequence from here, and a replica that
// starts again goes on where its copy ends. Everything in it can be had again from the topic, so
// what a crash took from its end is no loss, and a damaged one is thrown away.
//
// The folder holds: identity and place (of which log and of which topic), log.db, lock.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/files.h"
#include "libs/eventlog/sqlite_log_file.h"
#include "libs/eventlog/topic.h"

namespace buurtlog::eventlog {

struct TopicCopy {
  // FAILED_PRECONDITION with reason DATA_FOLDER_IN_USE (another process), or FOREIGN_LOG: the
  // folder is a copy of another log or of another topic.
  static absl::StatusOr<TopicCopy> Open(const SqliteLogOptions& options, const Topic& topic,
                                        Files& files);

  std::unique_ptr<FileLock> lock;
  std::unique_ptr<LogFileReader> file;
  LogFileWriter writer;
  std::vector<FoldState> heads;
  std::vector<FoldState> before_heads;  // where the last entry of each partition is folded from
  std::vector<Offset> offsets;  // of the message with that entry; kFirstEntryOffset without one
  std::string discarded;        // why the copy that was there was thrown away; empty: it was not
};

}  // namespace buurtlog::eventlog
