#include "libs/eventlog/record.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "libs/base/absl_view.h"
#include "libs/eventlog/fold.h"

namespace buurtlog::eventlog {
namespace {

// The vectors of docs/log-format.md: in a fenced block, a name and a colon, then indented lines of
// hexadecimal digits.
std::map<std::string, std::string> Vectors() {
  std::ifstream file(BUURTLOG_SOURCE_DIR "/docs/log-format.md");
  EXPECT_TRUE(file.good());
  std::map<std::string, std::string> vectors;
  std::string line;
  std::string name;
  bool fenced = false;
  while (std::getline(file, line)) {
    if (line.rfind("```", 0) == 0) {
      fenced = !fenced;
    } else if (fenced && !line.empty() && line.back() == ':') {
      name = line.substr(0, line.size() - 1);
    } else if (fenced && line.rfind("  ", 0) == 0) {
      vectors[name] += line.substr(2);
    }
  }
  return vectors;
}

std::string Hex(std::string_view bytes) { return absl::BytesToHexString(AbslView(bytes)); }

LogIdentity DocumentedIdentity() {
  LogIdentity identity;
  identity.log_id = ParseUuid("018bcfe5-687b-7abc-8def-0123456789ab").value();
  identity.service = "visits";
  identity.synthetic = true;
  return identity;
}

EntryHeader Header(EntryKind kind, Epoch epoch, Sequence sequence, const Hash& previous) {
  EntryHeader header;
  header.kind = kind;
  header.partition = 3;
  header.epoch = epoch;
  header.sequence = sequence;
  header.previous_hash = previous;
  return header;
}

std::string SomeEntry() {
  return EncodeEntry(Header(EntryKind::kRecord, 1, 2, Hash()), "some body");
}

TEST(LogFormatTest, TheIdentityHashIsTheDocumentedOne) {
  EXPECT_EQ(InitialHash(DocumentedIdentity(), 3).ToHex(), Vectors()["initial hash"]);
}

TEST(LogFormatTest, EveryPartOfTheIdentityChangesTheHash) {
  const LogIdentity base = DocumentedIdentity();
  std::vector<LogIdentity> others(6, base);
  others[0].log_id.bytes[15] ^= 1;
  others[1].service = "visit";
  others[2].topic_version = 2;
  others[3].partitions = 8;
  others[4].record_bytes_max = 1000;
  others[5].synthetic = false;
  for (const LogIdentity& other : others) EXPECT_NE(InitialHash(other, 3), InitialHash(base, 3));
  EXPECT_NE(InitialHash(base, 2), InitialHash(base, 3));
}

TEST(LogFormatTest, EntriesAndChainAreTheDocumentedOnes) {
  std::map<std::string, std::string> vectors = Vectors();
  const std::string epoch_body = absl::HexStringToBytes(vectors["epoch body"]);
  const std::string sent = EncodeEntry(Header(EntryKind::kEpoch, 1, 0, Hash()), epoch_body);
  EXPECT_EQ(Hex(sent), vectors["epoch as sent"]);

  FoldState state = InitialFoldState(DocumentedIdentity(), 3);
  const FoldResult epoch = Fold(state, 3, sent).value();
  EXPECT_EQ(epoch.verdict, Verdict::kCounts);
  EXPECT_EQ(Hex(epoch.entry.bytes), vectors["epoch filled in"]);
  EXPECT_EQ(epoch.entry.hash.ToHex(), vectors["epoch hash"]);
  EXPECT_EQ(state.owner, "127.0.0.1:7001");

  const std::string record =
      EncodeEntry(Header(EntryKind::kRecord, 1, 2, state.head_hash), "first body");
  EXPECT_EQ(Hex(record), vectors["record"]);
  EXPECT_EQ(Fold(state, 3, record)->entry.hash.ToHex(), vectors["record hash"]);

  const std::string second =
      EncodeEntry(Header(EntryKind::kRecord, 1, 3, state.head_hash), "second body");
  EXPECT_EQ(Hex(second), vectors["second record"]);
  EXPECT_EQ(Fold(state, 3, second)->entry.hash.ToHex(), vectors["second record hash"]);
  EXPECT_EQ(state.next, 4u);

  const std::string barrier = EncodeEntry(Header(EntryKind::kBarrier, 1, 0, Hash()), "");
  EXPECT_EQ(Hex(barrier), vectors["barrier"]);
}

TEST(LogFormatTest, TheShardOfAKeyIsTheDocumentedOne) {
  std::map<std::string, std::string> vectors = Vectors();
  const Uuid key = UuidFromBytes(absl::HexStringToBytes(vectors["partition key"])).value();
  EXPECT_EQ(std::to_string(ShardOf(key)), vectors["shard"]);
}

TEST(RecordTest, AnEntryIsReadBack) {
  Hash previous;
  previous.bytes.fill(7);
  EntryHeader header = Header(EntryKind::kRecord, 0x0102030405060708, 0x1112131415161718, previous);
  header.partition = 0x21222324;
  const std::string bytes = EncodeEntry(header, "body");
  const EntryView entry = ParseEntry(bytes).value();
  EXPECT_EQ(entry.header.kind, EntryKind::kRecord);
  EXPECT_EQ(entry.header.partition, header.partition);
  EXPECT_EQ(entry.header.epoch, header.epoch);
  EXPECT_EQ(entry.header.sequence, header.sequence);
  EXPECT_EQ(entry.header.previous_hash, previous);
  EXPECT_EQ(entry.body, "body");
  EXPECT_EQ(entry.bytes, bytes);
  EXPECT_EQ(entry.hash, Hash());
}

TEST(RecordTest, EveryFlippedBitIsFound) {
  const std::string good = SomeEntry();
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(ParseEntry(bad).status().code(), absl::StatusCode::kDataLoss) << "bit " << bit;
  }
}

TEST(RecordTest, EveryOtherLengthIsFound) {
  const std::string good = SomeEntry();
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_EQ(ParseEntry(good.substr(0, length)).status().code(), absl::StatusCode::kDataLoss);
  }
  EXPECT_EQ(ParseEntry(good + "x").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ParseEntry(std::string(kRecordBytesMax + 1, 'B')).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(RecordTest, AKindOrFormatOfANewerReleaseIsUnimplemented) {
  const std::string newer_kind =
      EncodeEntry(Header(static_cast<EntryKind>(4), 1, 2, Hash()), "some body");
  EXPECT_EQ(ParseEntry(newer_kind).status().code(), absl::StatusCode::kUnimplemented);
  // Format 2 with the CRC it would have.
  const std::string newer_format = absl::HexStringToBytes(
      "424c0201000000007eac1f300300000001000000000000000200000000000000"
      "0000000000000000000000000000000000000000000000000000000000000000");
  EXPECT_EQ(ParseEntry(newer_format).status().code(), absl::StatusCode::kUnimplemented);
}

TEST(RecordTest, TheLargestEntryFits) {
  const std::string entry = EncodeEntry(Header(EntryKind::kRecord, 1, 2, Hash()),
                                        std::string(kRecordBytesMax - kHeaderBytes, 'x'));
  EXPECT_EQ(entry.size(), kRecordBytesMax);
  EXPECT_TRUE(ParseEntry(entry).ok());
}

TEST(RecordDeathTest, ALargerEntryIsOurMistake) {
  EXPECT_DEATH(EncodeEntry(EntryHeader(), std::string(kRecordBytesMax - kHeaderBytes + 1, 'x')),
               "CHECK failed");
}

TEST(RecordTest, AHashHas32Bytes) {
  EXPECT_EQ(HashFromBytes(std::string(32, '\1')).value().ToHex().substr(0, 4), "0101");
  EXPECT_EQ(HashFromBytes("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(HashFromBytes(std::string(33, 'x')).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(RecordTest, PartitionsAreRangesOfShards) {
  for (uint32_t partitions : {1u, 3u, 16u, kPartitionsMax}) {
    EXPECT_EQ(PartitionOf(0, partitions), 0u);
    EXPECT_EQ(PartitionOf(kShards - 1, partitions), partitions - 1);
    for (uint32_t shard = 1; shard < kShards; ++shard) {
      EXPECT_LE(PartitionOf(shard, partitions) - PartitionOf(shard - 1, partitions), 1u);
    }
  }
}

}  // namespace
}  // namespace buurtlog::eventlog
