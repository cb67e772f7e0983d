// A sync that fails tells it once: the machine may take for written what it could not write. That
// is then read as it was written until the power goes, and a later sync that succeeds does not
// bring it to the disk. What is written again, though with the same bytes, comes with the next
// sync.
#pragma once

#include <sqlite3.h>

#include "absl/status/status.h"

namespace buurtlog::sqlite {

// Writes all that the write-ahead log of `database` holds again, in its place, and what stands in
// the database for its pages; the next syncs are for the caller. Outside of a transaction, and
// while no other connection moves the log. UNAVAILABLE when another connection writes, or when a
// file cannot be read or written.
absl::Status RewriteWal(sqlite3* database);

}  // namespace buurtlog::sqlite
