// The file of a state store: its tables, and the stamp that says with which schema its states were
// folded. Private to libs/eventsourcing.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/files.h"
#include "libs/eventsourcing/decider.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::eventsourcing {

struct StateFile {
  sqlite::Connection writer;
  std::string discarded;  // why the file that was there was thrown away; empty when it was not
};

// Opens or makes `path`. A file of another schema and a damaged one (also by MarkDamaged of
// follower_file.h) are thrown away and made anew. `types` in order of their category.
absl::StatusOr<StateFile> OpenStateFile(Files& files, const std::string& path,
                                        const std::vector<const AggregateType*>& types,
                                        uint32_t partitions);

}  // namespace buurtlog::eventsourcing
