#include "libs/sqlite/wal_check.h"

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "libs/sqlite/wal_format.h"

namespace buurtlog::sqlite {
namespace {

// The lowest bit of the magic number gives the order of the words that checksums are made of.
constexpr uint32_t kMagic = 0x377f0682;

struct Checksum {
  uint32_t first = 0;
  uint32_t second = 0;
  void Add(std::string_view bytes, bool big) {
    for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
      first += WalNumber(bytes, i, big) + second;
      second += WalNumber(bytes, i + 4, big) + first;
    }
  }
  bool Is(std::string_view bytes, size_t offset) const {
    return WalNumber(bytes, offset) == first && WalNumber(bytes, offset + 4) == second;
  }
};

}  // namespace

absl::Status CheckWal(std::string_view wal) {
  // As a process leaves it that is killed before its first commit.
  if (wal.size() <= kWalHeaderBytes + kFrameHeaderBytes) return absl::OkStatus();
  const uint32_t magic = WalNumber(wal, 0);
  const bool big = (magic & 1) != 0;
  const size_t page = WalNumber(wal, kPageBytesAt);
  Checksum sum;
  sum.Add(wal.substr(0, 24), big);
  if ((magic & ~1U) != kMagic || page < kPageBytesMin || page > kPageBytesMax || !sum.Is(wal, 24)) {
    return absl::DataLossError("the header of the write-ahead log is damaged");
  }
  const size_t size = kFrameHeaderBytes + page;
  bool verifies = true;
  size_t first_bad = 0;
  for (size_t at = kWalHeaderBytes; at + size <= wal.size(); at += size) {
    const std::string_view frame = wal.substr(at, size);
    // Frames from before the log began anew have both of its random numbers from then.
    const bool first_salt = WalNumber(frame, 8) == WalNumber(wal, 16);
    const bool second_salt = WalNumber(frame, 12) == WalNumber(wal, 20);
    if (verifies) {
      sum.Add(frame.substr(0, 8), big);
      sum.Add(frame.substr(kFrameHeaderBytes), big);
      verifies =
          first_salt && second_salt && WalNumber(frame, kPageNumberAt) != 0 && sum.Is(frame, 16);
    }
    if (!verifies && first_bad == 0) first_bad = (at - kWalHeaderBytes) / size + 1;
    // Frames without a commit behind them are of a transaction that was larger than the cache, and
    // was killed or rolled back.
    const bool commits = WalNumber(frame, 4) != 0;
    if (!verifies && commits && (first_salt || second_salt)) {
      return absl::DataLossError(
          absl::StrCat("frame ", first_bad, " of the write-ahead log is not intact"));
    }
  }
  return absl::OkStatus();
}

}  // namespace buurtlog::sqlite
