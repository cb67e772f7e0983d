#include "libs/eventlog/record.h"

#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "libs/base/absl_view.h"
#include "libs/base/check.h"
#include "libs/eventlog/bytes.h"

namespace buurtlog::eventlog {
namespace {

// Places in the header; docs/log-format.md.
constexpr size_t kFormatPlace = 2;
constexpr size_t kKindPlace = 3;
constexpr size_t kBodyLengthPlace = 4;
constexpr size_t kCrcPlace = 8;
constexpr size_t kPartitionPlace = 12;
constexpr size_t kEpochPlace = 16;
constexpr size_t kSequencePlace = 24;
constexpr size_t kPreviousHashPlace = 32;
constexpr char kMagic[] = {'B', 'L'};
constexpr std::string_view kIdentityTag = "buurtlog.log.identity.v1";
constexpr size_t kServiceBytesMax = 32;

static_assert(kFormat <= UINT8_MAX);
static_assert(kPreviousHashPlace + sizeof(Hash::bytes) == kHeaderBytes);

template <typename T>
void Append(std::string& to, T value) {
  char bytes[sizeof(T)];
  Store(bytes, value);
  to.append(bytes, sizeof(T));
}

// Over the entry as if the CRC's own four bytes were zero.
uint32_t EntryCrc(std::string_view entry) {
  char header[kHeaderBytes];
  std::memcpy(header, entry.data(), kHeaderBytes);
  Store<uint32_t>(header + kCrcPlace, 0);
  return Crc32(Crc32(0, {header, kHeaderBytes}), entry.substr(kHeaderBytes));
}

// The one-shot and EVP forms of OpenSSL's SHA-256 cost a third more for an entry of ordinary size,
// and every entry of every replay is hashed; so this uses the older form, which OpenSSL 3 keeps but
// marks (CMakeLists.txt accepts that for this file).
Hash Sha256(std::string_view first, std::string_view second) {
  Hash hash;
  SHA256_CTX context;
  CHECK(SHA256_Init(&context) == 1);
  CHECK(SHA256_Update(&context, first.data(), first.size()) == 1);
  CHECK(SHA256_Update(&context, second.data(), second.size()) == 1);
  CHECK(SHA256_Final(hash.bytes.data(), &context) == 1);
  return hash;
}

std::string_view View(const std::array<uint8_t, 32>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string Hash::ToHex() const { return absl::BytesToHexString(AbslView(View(bytes))); }

absl::StatusOr<Hash> HashFromBytes(std::string_view bytes) {
  Hash hash;
  if (bytes.size() != hash.bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("a hash of ", bytes.size(), " bytes"));
  }
  std::memcpy(hash.bytes.data(), bytes.data(), bytes.size());
  return hash;
}

Hash InitialHash(const LogIdentity& identity, Partition partition) {
  CHECK(identity.service.size() <= kServiceBytesMax);
  std::string bytes(kIdentityTag);
  bytes += identity.log_id.ToBytes();
  Append<uint32_t>(bytes, identity.topic_version);
  Append<uint32_t>(bytes, identity.partitions);
  Append<uint32_t>(bytes, identity.record_bytes_max);
  Append<uint8_t>(bytes, identity.synthetic ? 1 : 0);
  Append<uint8_t>(bytes, static_cast<uint8_t>(identity.service.size()));
  bytes += identity.service;
  Append<uint32_t>(bytes, partition);
  return Sha256(bytes, {});
}

uint32_t ShardOf(const Uuid& partition_key) {
  const Hash hash = Sha256(partition_key.ToBytes(), {});
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number = number << 8 | hash.bytes[i];
  return number % kShards;
}

Partition PartitionOf(uint32_t shard, uint32_t partitions) {
  CHECK(shard < kShards && partitions >= 1 && partitions <= kPartitionsMax);
  return shard * partitions / kShards;
}

std::string EncodeEntry(const EntryHeader& header, std::string_view body) {
  CHECK(body.size() <= kRecordBytesMax - kHeaderBytes);
  std::string entry;
  entry.reserve(kHeaderBytes + body.size());
  entry.resize(kHeaderBytes);
  char* const to = entry.data();
  std::memcpy(to, kMagic, sizeof kMagic);
  Store<uint8_t>(to + kFormatPlace, kFormat);
  Store<uint8_t>(to + kKindPlace, static_cast<uint8_t>(header.kind));
  Store<uint32_t>(to + kBodyLengthPlace, static_cast<uint32_t>(body.size()));
  Store<uint32_t>(to + kPartitionPlace, header.partition);
  Store<uint64_t>(to + kEpochPlace, header.epoch);
  Store<uint64_t>(to + kSequencePlace, header.sequence);
  std::memcpy(to + kPreviousHashPlace, header.previous_hash.bytes.data(), sizeof(Hash::bytes));
  entry.append(body);
  Store<uint32_t>(entry.data() + kCrcPlace, EntryCrc(entry));
  return entry;
}

absl::StatusOr<size_t> EntryBytes(std::string_view bytes) {
  if (bytes.size() >= kHeaderBytes && std::memcmp(bytes.data(), kMagic, sizeof kMagic) == 0) {
    const size_t entry = kHeaderBytes + Load<uint32_t>(bytes.data() + kBodyLengthPlace);
    if (entry <= bytes.size()) return entry;
  }
  return absl::DataLossError("not a row of entries");
}

EntryHeader HeaderOf(std::string_view bytes) {
  const char* const from = bytes.data();
  EntryHeader header;
  header.kind = static_cast<EntryKind>(Load<uint8_t>(from + kKindPlace));
  header.partition = Load<uint32_t>(from + kPartitionPlace);
  header.epoch = Load<uint64_t>(from + kEpochPlace);
  header.sequence = Load<uint64_t>(from + kSequencePlace);
  std::memcpy(header.previous_hash.bytes.data(), from + kPreviousHashPlace, sizeof(Hash::bytes));
  return header;
}

absl::StatusOr<EntryView> ParseEntry(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || bytes.size() > kRecordBytesMax) {
    return absl::DataLossError(absl::StrCat("an entry of ", bytes.size(), " bytes"));
  }
  const char* const from = bytes.data();
  if (std::memcmp(from, kMagic, sizeof kMagic) != 0) {
    return absl::DataLossError("not an entry of a log");
  }
  if (Load<uint32_t>(from + kBodyLengthPlace) != bytes.size() - kHeaderBytes) {
    return absl::DataLossError("the entry is longer or shorter than it says");
  }
  // Before format and kind are believed: a damaged one is damage, not a newer release.
  if (Load<uint32_t>(from + kCrcPlace) != EntryCrc(bytes)) {
    return absl::DataLossError("the CRC of the entry is wrong");
  }
  const auto format = Load<uint8_t>(from + kFormatPlace);
  const auto kind = Load<uint8_t>(from + kKindPlace);
  if (format != kFormat) {
    return absl::UnimplementedError(
        absl::StrCat("entry format ", format, " is of a newer release"));
  }
  if (kind < static_cast<uint8_t>(EntryKind::kRecord) ||
      kind > static_cast<uint8_t>(EntryKind::kBarrier)) {
    return absl::UnimplementedError(absl::StrCat("entry kind ", kind, " is of a newer release"));
  }
  EntryView entry;
  entry.header = HeaderOf(bytes);
  entry.bytes = bytes;
  entry.body = bytes.substr(kHeaderBytes);
  return entry;
}

Hash EntryHash(const Hash& previous_hash, std::string_view bytes) {
  return Sha256(View(previous_hash.bytes), bytes);
}

}  // namespace buurtlog::eventlog
