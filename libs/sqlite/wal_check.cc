#include "libs/sqlite/wal_check.h"

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace buurtlog::sqlite {
namespace {

// https://sqlite.org/fileformat2.html#the_write_ahead_log: numbers are big-endian; the lowest bit
// of the magic number gives the order of the words that checksums are made of.
constexpr uint32_t kMagic = 0x377f0682;
constexpr size_t kHeaderBytes = 32;
constexpr size_t kFrameHeaderBytes = 24;
constexpr size_t kPageBytesMin = 512;
constexpr size_t kPageBytesMax = 65536;

uint32_t Number(std::string_view bytes, size_t offset, bool big = true) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) {
    const auto byte = static_cast<uint8_t>(bytes[offset + i]);
    number |= static_cast<uint32_t>(byte) << (8 * (big ? 3 - i : i));
  }
  return number;
}

struct Checksum {
  uint32_t first = 0;
  uint32_t second = 0;
  void Add(std::string_view bytes, bool big) {
    for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
      first += Number(bytes, i, big) + second;
      second += Number(bytes, i + 4, big) + first;
    }
  }
  bool Is(std::string_view bytes, size_t offset) const {
    return Number(bytes, offset) == first && Number(bytes, offset + 4) == second;
  }
};

}  // namespace

absl::Status CheckWal(std::string_view wal) {
  // As a process leaves it that is killed before its first commit.
  if (wal.size() <= kHeaderBytes + kFrameHeaderBytes) return absl::OkStatus();
  const uint32_t magic = Number(wal, 0);
  const bool big = (magic & 1) != 0;
  const size_t page = Number(wal, 8);
  Checksum sum;
  sum.Add(wal.substr(0, 24), big);
  if ((magic & ~1U) != kMagic || page < kPageBytesMin || page > kPageBytesMax || !sum.Is(wal, 24)) {
    return absl::DataLossError("the header of the write-ahead log is damaged");
  }
  const size_t size = kFrameHeaderBytes + page;
  bool verifies = true;
  size_t first_bad = 0;
  for (size_t at = kHeaderBytes; at + size <= wal.size(); at += size) {
    const std::string_view frame = wal.substr(at, size);
    // Frames from before the log began anew have both of its random numbers from then.
    const bool first_salt = Number(frame, 8) == Number(wal, 16);
    const bool second_salt = Number(frame, 12) == Number(wal, 20);
    if (verifies) {
      sum.Add(frame.substr(0, 8), big);
      sum.Add(frame.substr(kFrameHeaderBytes), big);
      verifies = first_salt && second_salt && Number(frame, 0) != 0 && sum.Is(frame, 16);
    }
    if (!verifies && first_bad == 0) first_bad = (at - kHeaderBytes) / size + 1;
    // Frames without a commit behind them are of a transaction that was larger than the cache, and
    // was killed or rolled back.
    const bool commits = Number(frame, 4) != 0;
    if (!verifies && commits && (first_salt || second_salt)) {
      return absl::DataLossError(
          absl::StrCat("frame ", first_bad, " of the write-ahead log is not intact"));
    }
  }
  return absl::OkStatus();
}

}  // namespace buurtlog::sqlite
