// What the journal holds that log.db does not have yet: what a writer does first when it opens a
// log, and what can still be had of one that has lost its end.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/files.h"
#include "libs/eventlog/journal_overlay.h"
#include "libs/eventlog/sqlite_event_log.h"
#include "libs/eventlog/sqlite_log_file.h"

namespace buurtlog::eventlog {

// DATA_LOSS naming the file when one of the journal's is missing.
absl::Status CheckJournalFiles(const SqliteLogOptions& options, Files& files);

// Entries that log.db does not have yet are verified through the fold, inserted, and safe on the
// disk when this returns. The result is the generation with which the journal goes on. DATA_LOSS
// naming the place: between log.db and the journal entries are missing, the journal's do not follow
// from those of log.db, or a batch is damaged that was synced, as a later one with entries that
// log.db does not have stands behind it. With `accept_shortened` each partition then goes on where
// it ends, and what the journal has of it behind that is gone.
absl::StatusOr<uint64_t> RecoverJournal(const SqliteLogOptions& options, LogFileReader& reader,
                                        LogFileWriter& writer);

// What RecoverJournal would bring into log.db, for whoever reads a stopped log only.
absl::StatusOr<std::unique_ptr<JournalOverlay>> OverlayOfRecovery(const SqliteLogOptions& options,
                                                                  const LogIdentity& identity);

// The last sequence of each partition in whole batches of the journal, wherever they stand; 0 when
// there is none. A file that is missing has none.
absl::StatusOr<std::vector<Sequence>> NewestInJournal(const SqliteLogOptions& options,
                                                      const LogIdentity& identity, Files& files);

}  // namespace buurtlog::eventlog
