// Whether a write-ahead log that SQLite is about to recover ends as a crash leaves it. SQLite takes
// whatever does not verify for the end, and goes on with what is before; when that was moved into
// the database already, pages of different times then stand side by side.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace buurtlog::sqlite {

// `wal` is the whole file. OK when all of it verifies, or all up to a place behind which no commit
// of this log stands. DATA_LOSS when one stands behind a frame that does not verify, or in it, or
// when the header does not. A file that lost its end looks like a crash. For files that can be made
// anew: where a machine lost power without syncing, good frames may stand behind bad ones too, and
// a process that was killed in the middle of a frame, in a log that had begun anew over an older
// one, or while SQLite wrote the checksums of a transaction larger than its cache, leaves the same.
absl::Status CheckWal(std::string_view wal);

}  // namespace buurtlog::sqlite
