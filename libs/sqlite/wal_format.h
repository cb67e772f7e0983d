// The form of SQLite's write-ahead log, as https://sqlite.org/fileformat2.html#the_write_ahead_log
// has it: a header, then frames, each a header and one page. Private to libs/sqlite.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace buurtlog::sqlite {

inline constexpr size_t kWalHeaderBytes = 32;
inline constexpr size_t kFrameHeaderBytes = 24;
inline constexpr size_t kPageBytesMin = 512;
inline constexpr size_t kPageBytesMax = 65536;
inline constexpr size_t kPageBytesAt = 8;   // in the header of the log
inline constexpr size_t kPageNumberAt = 0;  // in the header of a frame

// Numbers are big-endian; only the words that checksums are made of may not be.
inline uint32_t WalNumber(std::string_view bytes, size_t offset, bool big = true) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) {
    const auto byte = static_cast<uint8_t>(bytes[offset + i]);
    number |= static_cast<uint32_t>(byte) << (8 * (big ? 3 - i : i));
  }
  return number;
}

}  // namespace buurtlog::sqlite
