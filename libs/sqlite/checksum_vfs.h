// An SQLite VFS that ends every page of a database file with a checksum, so that a page that was
// changed behind SQLite's back is never believed: SQLite itself checks its WAL while it recovers,
// and nothing of the database. For files that are folded anew when they are damaged.
//
// The last 8 bytes of a page, which the header of the database declares as reserved, hold a CRC-32
// of the page's number and its other bytes, and a fixed mark. They are written and verified where
// pages enter and leave the database file; pages in the WAL have the WAL's own checksums. Programs
// without this VFS may read such a file, but a page that they write is taken for damaged.
#pragma once

#include <string>

namespace buurtlog::sqlite {

// Bytes at the end of a page that SQLite leaves alone.
inline constexpr int kPageChecksumBytes = 8;

// The name of such a VFS that stands on the VFS `base` (empty: the default one), registered at the
// first call, for ever. Thread-safe.
std::string ChecksumVfs(const std::string& base);

}  // namespace buurtlog::sqlite
