// A sqlite log in a temporary folder on a simulated scheduler, and the hands to write to it, to
// look into its files and to damage them.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "libs/base/random.h"
#include "libs/eventlog/sqlite_event_log.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::eventlog::testing {

inline constexpr Partition kPartitions = 4;

inline LogIdentity TestIdentity() {
  LogIdentity identity;
  identity.log_id = NewUuid(absl::FromUnixSeconds(1700000000), SystemRandom());
  identity.service = "visits";
  identity.partitions = kPartitions;
  identity.synthetic = true;
  return identity;
}

inline std::string Body(Partition partition, Sequence sequence) {
  return absl::StrCat("body of entry ", sequence, " of partition ", partition, ".");
}

// The next entries of a chain, as an owner makes them.
inline std::vector<std::string> MakeEntries(FoldState& state, Partition partition, int count) {
  std::vector<std::string> entries;
  for (int i = 0; i < count; ++i) {
    EntryHeader header;
    header.partition = partition;
    header.epoch = state.epoch;
    header.sequence = state.next;
    header.previous_hash = state.head_hash;
    entries.push_back(EncodeEntry(header, Body(partition, state.next)));
    state.head_hash = EntryHash(state.head_hash, entries.back());
    ++state.next;
  }
  return entries;
}

inline absl::Status ReadOn(LogReader& log, Partition partition, FoldState& at,
                           int* records = nullptr) {
  Sequence before = 0;
  do {
    before = at.next;
    const absl::Status status = log.Read(partition, at, {}, [&](const EntryView& entry) {
      if (entry.header.kind == EntryKind::kEpoch) return absl::OkStatus();
      EXPECT_EQ(std::string(entry.body), Body(partition, entry.header.sequence));
      if (records != nullptr) ++*records;
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
  } while (at.next > before);
  return absl::OkStatus();
}

class SqliteEventLogTest : public ::testing::Test {
 protected:
  SqliteEventLogTest() {
    std::string name = absl::StrCat(::testing::TempDir(), "/sqlite_event_log_XXXXXX");
    options_.folder = mkdtemp(name.data());
  }
  ~SqliteEventLogTest() override {
    log_.reset();
    std::filesystem::remove_all(options_.folder);
  }

  void Create() {
    ASSERT_EQ(SqliteEventLog::Create(identity_, options_, files_), absl::OkStatus());
  }

  absl::Status Open() {
    log_.reset();
    auto log = SqliteEventLog::Open(options_, files_, scheduler_);
    if (log.ok()) log_ = *std::move(log);
    return log.status();
  }

  void CreateAndOpen() {
    Create();
    ASSERT_EQ(Open(), absl::OkStatus());
  }

  absl::StatusOr<FoldState> Begin(Partition partition, std::string owner = "owner-1:7000") {
    absl::StatusOr<FoldState> result = absl::UnknownError("no answer");
    log_->BeginEpoch(partition, std::move(owner),
                     [&](absl::StatusOr<FoldState> state) { result = std::move(state); });
    scheduler_.RunUntilIdle();
    return result;
  }

  absl::Status Append(Partition partition, Epoch epoch, std::vector<std::string> entries) {
    absl::Status result = absl::UnknownError("no answer");
    log_->Append(partition, epoch, std::move(entries),
                 [&](absl::Status status) { result = std::move(status); });
    scheduler_.RunUntilIdle();
    return result;
  }

  // Appends records to a partition that has an epoch, and follows its state.
  void Fill(Partition partition, FoldState& state, int count) {
    ASSERT_EQ(Append(partition, state.epoch, MakeEntries(state, partition, count)),
              absl::OkStatus());
  }

  FoldState CreateAndFill(int count) {
    CreateAndOpen();
    absl::StatusOr<FoldState> state = Begin(1);
    EXPECT_EQ(state.status(), absl::OkStatus());
    Fill(1, *state, count);
    return *state;
  }

  FoldState Start(Partition partition) const { return InitialFoldState(identity_, partition); }

  std::string Path(const std::string& name) const {
    return absl::StrCat(options_.folder, "/", name);
  }

  static std::string Load(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::stringstream bytes;
    bytes << in.rdbuf();
    return bytes.str();
  }

  static void Save(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }

  // Changes one bit of an entry's body where it stands in log.db; the log is closed.
  void Damage(Partition partition, Sequence sequence) {
    std::string bytes = Load(Path("log.db"));
    const size_t at = bytes.find(Body(partition, sequence));
    ASSERT_NE(at, std::string::npos);
    bytes[at + 2] ^= 1;
    Save(Path("log.db"), bytes);
  }

  // Takes the newest entry of partition 1 away, as if the disk had lost it; the log is closed.
  void CutEnd() {
    Execute("DELETE FROM entry_1 WHERE sequence = (SELECT max(sequence) FROM entry_1)");
  }

  void Execute(const std::string& sql) {
    auto connection = sqlite::Connection::Open(Path("log.db"));
    ASSERT_EQ(connection.status(), absl::OkStatus());
    ASSERT_EQ(connection->Execute(sql), absl::OkStatus());
  }

  Files& files_ = SystemFiles();
  SimulatedScheduler scheduler_{1};
  LogIdentity identity_ = TestIdentity();
  SqliteLogOptions options_;
  std::unique_ptr<SqliteEventLog> log_;
};

}  // namespace buurtlog::eventlog::testing
