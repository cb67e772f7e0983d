// How far each partition was known to be durable, in a small file beside the log: SQLite takes a
// damaged end of its WAL for a crash and forgets it; this file tells the two apart. It only ever
// names durable entries, and may stand behind the log by as much as was written in one period.
// A log is made with it, and it is replaced as a whole: a log without it has lost it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/files.h"
#include "libs/eventlog/fold.h"
#include "libs/eventlog/record.h"

namespace buurtlog::eventlog {

struct KnownHead {
  Sequence sequence = 0;
  Hash hash;  // of that entry; the partition's initial hash when there is none
  friend bool operator==(const KnownHead&, const KnownHead&) = default;
};

// What the head file says of a log that stands there.
std::vector<KnownHead> KnownHeads(const std::vector<FoldState>& states);

absl::Status WriteHeadFile(Files& files, const std::string& folder, const LogIdentity& identity,
                           const std::vector<KnownHead>& heads);

// One for each partition. DATA_LOSS when the file is missing, damaged or of another log.
absl::StatusOr<std::vector<KnownHead>> ReadHeadFile(Files& files, const std::string& folder,
                                                    const LogIdentity& identity);

}  // namespace buurtlog::eventlog
