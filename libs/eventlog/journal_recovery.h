// What a writer does first when it opens a log: brings what the journal holds into log.db.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "libs/base/files.h"
#include "libs/eventlog/sqlite_event_log.h"
#include "libs/eventlog/sqlite_log_file.h"

namespace buurtlog::eventlog {

// DATA_LOSS naming the file when one of the journal's is missing.
absl::Status CheckJournalFiles(const SqliteLogOptions& options, Files& files);

// Entries that log.db does not have yet are verified through the fold, inserted, and safe on the
// disk when this returns. The result is the generation with which the journal goes on. DATA_LOSS
// naming the place: between log.db and the journal entries are missing, or the journal's do not
// follow from those of log.db.
absl::StatusOr<uint64_t> RecoverJournal(const SqliteLogOptions& options, LogFileReader& reader,
                                        LogFileWriter& writer);

}  // namespace buurtlog::eventlog
