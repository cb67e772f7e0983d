#include "libs/eventlog/head_file.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/bytes.h"

namespace buurtlog::eventlog {
namespace {

// Magic, log id, number of partitions, then sequence and hash of each, then the CRC of all before
// it. Numbers are little-endian.
constexpr std::string_view kMagic = "BLHEADS1";
constexpr size_t kHeadBytes = 8 + 32;

std::string HeadFilePath(const std::string& folder) { return absl::StrCat(folder, "/heads"); }

template <typename T>
void AppendNumber(std::string& out, T value) {
  char bytes[sizeof(T)];
  Store(bytes, value);
  out.append(bytes, sizeof bytes);
}

}  // namespace

std::vector<KnownHead> KnownHeads(const std::vector<FoldState>& states) {
  std::vector<KnownHead> heads;
  heads.reserve(states.size());
  for (const FoldState& state : states) heads.push_back({state.next - 1, state.head_hash});
  return heads;
}

absl::Status WriteHeadFile(Files& files, const std::string& folder, const LogIdentity& identity,
                           const std::vector<KnownHead>& heads) {
  std::string bytes(kMagic);
  absl::StrAppend(&bytes, identity.log_id.ToBytes());
  AppendNumber(bytes, static_cast<uint32_t>(heads.size()));
  for (const KnownHead& head : heads) {
    AppendNumber<uint64_t>(bytes, head.sequence);
    absl::StrAppend(&bytes, head.hash.ToBytes());
  }
  AppendNumber(bytes, Crc32(0, bytes));
  return files.WriteAtomically(HeadFilePath(folder), bytes);
}

absl::StatusOr<std::vector<KnownHead>> ReadHeadFile(Files& files, const std::string& folder,
                                                    const LogIdentity& identity) {
  const std::string path = HeadFilePath(folder);
  absl::StatusOr<std::string> read = files.Read(path);
  if (absl::IsNotFound(read.status())) {
    return absl::DataLossError(absl::StrCat(path, " is missing"));
  }
  ABSL_RETURN_IF_ERROR(read.status());
  const std::string_view bytes = *read;
  const size_t start = kMagic.size() + 16 + 4;
  if (bytes.size() != start + identity.partitions * kHeadBytes + 4 ||
      bytes.substr(0, kMagic.size()) != kMagic ||
      Load<uint32_t>(bytes.data() + bytes.size() - 4) !=
          Crc32(0, bytes.substr(0, bytes.size() - 4))) {
    return absl::DataLossError(absl::StrCat(path, " is damaged"));
  }
  if (bytes.substr(kMagic.size(), 16) != identity.log_id.ToBytes()) {
    return absl::DataLossError(absl::StrCat(path, " belongs to another log"));
  }
  std::vector<KnownHead> heads(identity.partitions);
  for (size_t i = 0; i < heads.size(); ++i) {
    const size_t offset = start + i * kHeadBytes;
    heads[i].sequence = Load<uint64_t>(bytes.data() + offset);
    const std::string_view hash = bytes.substr(offset + 8, 32);
    std::copy(hash.begin(), hash.end(), heads[i].hash.bytes.begin());
  }
  return heads;
}

}  // namespace buurtlog::eventlog
