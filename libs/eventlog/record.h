// The stored bytes of a log entry: a frozen header of 64 bytes, then the body. docs/log-format.md
// gives them byte by byte, with test vectors. The stored bytes are what is hashed; they are never
// encoded anew.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "libs/base/ids.h"

namespace buurtlog::eventlog {

using Partition = uint32_t;
// Place in a partition: 1, 2, 3 ... without gaps. 0 is "before the first".
using Sequence = uint64_t;
// Number under which one owner writes a partition. 0 is "nobody yet".
using Epoch = uint64_t;

inline constexpr uint32_t kPartitionsDefault = 16;
inline constexpr uint32_t kPartitionsMax = 4096;
inline constexpr uint32_t kShards = 4096;
// Largest entry, header included.
inline constexpr uint32_t kRecordBytesMax = 900 * 1024;
inline constexpr uint16_t kFormat = 1;
inline constexpr size_t kHeaderBytes = 64;

// A SHA-256 digest.
struct Hash {
  std::array<uint8_t, 32> bytes{};
  friend auto operator<=>(const Hash&, const Hash&) = default;
  std::string ToHex() const;
  std::string ToBytes() const { return std::string(bytes.begin(), bytes.end()); }
};
// INVALID_ARGUMENT unless 32 bytes.
absl::StatusOr<Hash> HashFromBytes(std::string_view bytes);

// What is fixed when a log is made, on every engine.
struct LogIdentity {
  Uuid log_id;
  std::string service;         // "visits"; at most 32 bytes of a-z
  uint32_t topic_version = 1;  // raised when a log is copied into another number of partitions
  uint32_t partitions = kPartitionsDefault;
  uint32_t record_bytes_max = kRecordBytesMax;
  bool synthetic = false;  // holds invented people only; for ever
  friend bool operator==(const LogIdentity&, const LogIdentity&) = default;
};
// H(log identity, partition): the head hash of a partition that has no entries.
Hash InitialHash(const LogIdentity& identity, Partition partition);

// The stable hash of a partition key, modulo 4096: the first 4 bytes of SHA-256(key) as a
// big-endian number, modulo kShards.
uint32_t ShardOf(const Uuid& partition_key);
// The range of shards that a partition holds: partition = shard * partitions / 4096.
Partition PartitionOf(uint32_t shard, uint32_t partitions);

enum class EntryKind : uint8_t { kRecord = 1, kEpoch = 2, kBarrier = 3 };

struct EntryHeader {
  EntryKind kind = EntryKind::kRecord;
  Partition partition = 0;
  Epoch epoch = 0;
  Sequence sequence = 0;  // 0 in an epoch record or barrier as sent
  Hash previous_hash;     // zero in an epoch record or barrier as sent
};

// A view of one entry; `bytes` and `body` point into the buffer that was parsed.
struct EntryView {
  EntryHeader header;
  std::string_view bytes;
  std::string_view body;
  Hash hash;  // filled in by the fold, zero before
};

// Header and body, with CRC. CHECKs that the result is at most kRecordBytesMax; callers test the
// size of the body first.
std::string EncodeEntry(const EntryHeader& header, std::string_view body);
// The length of the entry at the front of `bytes`, which are a row of entries; believed, not
// verified. DATA_LOSS when that goes beyond `bytes`.
absl::StatusOr<size_t> EntryBytes(std::string_view bytes);
// The header of an entry of at least kHeaderBytes; read, not verified.
EntryHeader HeaderOf(std::string_view bytes);
// UNIMPLEMENTED for a format or kind this release does not know (a newer release wrote it);
// DATA_LOSS for a bad magic, length or CRC. Never guesses.
absl::StatusOr<EntryView> ParseEntry(std::string_view bytes);
// hash = SHA-256(previous_hash, entry bytes).
Hash EntryHash(const Hash& previous_hash, std::string_view bytes);

}  // namespace buurtlog::eventlog
