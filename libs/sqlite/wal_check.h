// Whether a write-ahead log that SQLite is about to recover ends as a crash leaves it. SQLite takes
// whatever does not verify for the end, and goes on with what is before; when that was moved into
// the database already, pages of different times then stand side by side.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace buurtlog::sqlite {

// `wal` is the whole file. OK when all of it verifies, or all up to a place behind which nothing of
// this log stands. DATA_LOSS when frames of it stand behind one that does not verify, or when its
// header does not. A file that lost its end looks like a crash. For files that can be made anew:
// where a machine lost power without syncing, good frames may stand behind bad ones too.
absl::Status CheckWal(std::string_view wal);

}  // namespace buurtlog::sqlite
