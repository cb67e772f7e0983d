#include "libs/eventlog/sqlite_event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "libs/base/refusal.h"
#include "libs/eventlog/testing/faulty_vfs.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::eventlog {
namespace {

using testing::FaultyVfs;
using ::testing::HasSubstr;

constexpr Partition kPartitions = 4;

LogIdentity TestIdentity() {
  LogIdentity identity;
  identity.log_id = NewUuid(absl::FromUnixSeconds(1700000000), SystemRandom());
  identity.service = "visits";
  identity.partitions = kPartitions;
  identity.synthetic = true;
  return identity;
}

std::string Body(Partition partition, Sequence sequence) {
  return absl::StrCat("body of entry ", sequence, " of partition ", partition, ".");
}

// The next entries of a chain, as an owner makes them.
std::vector<std::string> MakeEntries(FoldState& state, Partition partition, int count) {
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

absl::Status ReadOn(LogReader& log, Partition partition, FoldState& at, int* records = nullptr) {
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

TEST_F(SqliteEventLogTest, WhatWasAppendedIsThereAfterReopening) {
  const FoldState state = CreateAndFill(200);
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_EQ(log_->identity(), identity_);
  FoldState at = Start(1);
  int records = 0;
  EXPECT_EQ(ReadOn(*log_, 1, at, &records), absl::OkStatus());
  EXPECT_EQ(records, 200);
  EXPECT_EQ(at, state);
  // The epoch record lies before the verified tail, so the head does not know who the owner is.
  EXPECT_EQ(log_->Head(1)->head_hash, state.head_hash);
  EXPECT_EQ(log_->Head(1)->epoch, state.epoch);
}

TEST_F(SqliteEventLogTest, TheOwnerIsKnownAfterReopeningWhenItsEpochIsInTheTail) {
  const FoldState state = CreateAndFill(5);
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_EQ(*log_->Head(1), state);
  EXPECT_EQ(log_->Head(1)->owner, "owner-1:7000");
}

TEST_F(SqliteEventLogTest, AReopenedLogGoesOnWhereItStood) {
  FoldState state = CreateAndFill(5);
  ASSERT_EQ(Open(), absl::OkStatus());
  Fill(1, state, 5);
  FoldState at = Start(1);
  EXPECT_EQ(ReadOn(*log_, 1, at), absl::OkStatus());
  EXPECT_EQ(at, state);
}

TEST_F(SqliteEventLogTest, NoSecondLogIsMadeInAFolder) {
  Create();
  EXPECT_TRUE(absl::IsAlreadyExists(SqliteEventLog::Create(identity_, options_, files_)));
}

TEST_F(SqliteEventLogTest, AFolderWithoutALogIsNotFound) { EXPECT_TRUE(absl::IsNotFound(Open())); }

TEST_F(SqliteEventLogTest, ASecondWriterIsRefused) {
  CreateAndOpen();
  const absl::Status second = SqliteEventLog::Open(options_, files_, scheduler_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(second));
  EXPECT_EQ(StatusReason(second), "DATA_FOLDER_IN_USE");
}

TEST_F(SqliteEventLogTest, ALogOfANewerReleaseIsRefused) {
  Create();
  std::string text = Load(Path("identity"));
  text.replace(text.find("format 1"), 8, "format 2");
  Save(Path("identity"), text);
  EXPECT_TRUE(absl::IsFailedPrecondition(Open()));
  EXPECT_EQ(StatusReason(Open()), "NEWER_RELEASE");
}

TEST_F(SqliteEventLogTest, ALogThatIsNotMarkedSyntheticIsRefused) {
  identity_.synthetic = false;
  Create();
  EXPECT_TRUE(absl::IsFailedPrecondition(Open()));
  EXPECT_EQ(StatusReason(Open()), "NOT_SYNTHETIC");
}

TEST_F(SqliteEventLogTest, ADamagedIdentityIsDataLoss) {
  Create();
  std::string text = Load(Path("identity"));
  text[text.find("visits")] = 'w';
  Save(Path("identity"), text);
  EXPECT_TRUE(absl::IsDataLoss(Open()));
}

TEST_F(SqliteEventLogTest, ADamagedEntryIsFoundAndNamedByTheReader) {
  CreateAndFill(200);
  log_.reset();
  Damage(1, 20);
  ASSERT_EQ(Open(), absl::OkStatus());
  FoldState at = Start(1);
  const absl::Status status = ReadOn(*log_, 1, at);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence 20:"));
  EXPECT_EQ(at.next, 20u);
}

TEST_F(SqliteEventLogTest, ADamagedEntryInTheTailIsFoundAndNamedAtOpening) {
  CreateAndFill(200);
  log_.reset();
  Damage(1, 180);
  const absl::Status status = Open();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence 180:"));
}

TEST_F(SqliteEventLogTest, AMissingEntryIsFoundAndNamedByTheReader) {
  CreateAndFill(200);
  log_.reset();
  Execute("DELETE FROM entry WHERE position = (1 << 48) + 20");
  ASSERT_EQ(Open(), absl::OkStatus());
  FoldState at = Start(1);
  const absl::Status status = ReadOn(*log_, 1, at);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence 20: missing"));
  EXPECT_EQ(at.next, 20u);
}

TEST_F(SqliteEventLogTest, ADamagedPageIsDataLossThatNamesThePartition) {
  CreateAndFill(400);
  log_.reset();
  std::string bytes = Load(Path("log.db"));
  const size_t page = bytes.find(Body(1, 40)) / 4096 * 4096;
  bytes.replace(page, 64, std::string(64, '\x55'));
  Save(Path("log.db"), bytes);
  ASSERT_EQ(Open(), absl::OkStatus());
  FoldState at = Start(1);
  const absl::Status status = ReadOn(*log_, 1, at);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence "));
  EXPECT_LE(at.next, 40u);
}

TEST_F(SqliteEventLogTest, ALogThatLostItsEndIsDataLossAtOpening) {
  CreateAndFill(200);
  log_.reset();
  Execute("DELETE FROM entry WHERE position = (SELECT max(position) FROM entry)");
  const absl::Status status = Open();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence 201: missing"));
}

TEST_F(SqliteEventLogTest, ALogWhoseWalWasCutIsDataLossAtOpening) {
  CreateAndFill(200);
  scheduler_.RunFor(options_.head_file_period);
  // As after a power failure: the files as they are, without a clean stop.
  SqliteLogOptions copy = options_;
  copy.folder = Path("copy");
  std::filesystem::create_directory(copy.folder);
  for (const std::string name : {"identity", "heads", "log.db", "log.db-wal"}) {
    std::filesystem::copy(Path(name), absl::StrCat(copy.folder, "/", name));
  }
  ASSERT_EQ(SqliteEventLog::Open(copy, files_, scheduler_).status(), absl::OkStatus());
  const std::string wal = Load(Path("log.db-wal"));
  std::filesystem::copy(Path("log.db"), absl::StrCat(copy.folder, "/log.db"),
                        std::filesystem::copy_options::overwrite_existing);
  Save(absl::StrCat(copy.folder, "/log.db-wal"), wal.substr(0, wal.size() - 100));
  const absl::Status status = SqliteEventLog::Open(copy, files_, scheduler_).status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence 2: missing"));
}

TEST_F(SqliteEventLogTest, AHeadFileOfAnotherChainIsDataLossAtOpening) {
  CreateAndFill(200);
  const std::string heads = Load(Path("heads"));
  SqliteLogOptions other = options_;
  other.folder = Path("other");
  ASSERT_EQ(SqliteEventLog::Create(identity_, other, files_), absl::OkStatus());
  const SqliteLogOptions first = std::exchange(options_, other);
  // The same log id and length, but another history.
  ASSERT_EQ(Open(), absl::OkStatus());
  absl::StatusOr<FoldState> state = Begin(1, "owner-2:7000");
  ASSERT_EQ(state.status(), absl::OkStatus());
  Fill(1, *state, 200);
  log_.reset();
  ASSERT_EQ(SqliteEventLog::Open(first, files_, scheduler_).status(), absl::OkStatus());
  std::filesystem::copy(absl::StrCat(first.folder, "/heads"), Path("heads"),
                        std::filesystem::copy_options::overwrite_existing);
  const absl::Status status = Open();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence 201"));
  options_ = first;
}

TEST_F(SqliteEventLogTest, ADamagedHeadFileIsDataLoss) {
  CreateAndFill(2);
  log_.reset();
  std::string heads = Load(Path("heads"));
  heads[40] ^= 1;
  Save(Path("heads"), heads);
  EXPECT_TRUE(absl::IsDataLoss(Open()));
}

TEST_F(SqliteEventLogTest, TheHeadFileIsWrittenAPeriodAfterAChange) {
  CreateAndFill(2);
  const std::string before = Load(Path("heads"));
  scheduler_.RunFor(options_.head_file_period);
  EXPECT_NE(Load(Path("heads")), before);
}

TEST_F(SqliteEventLogTest, OneTransactionTakesTheWaitingCallsOfAllPartitions) {
  CreateAndOpen();
  std::vector<FlushStats> flushes;
  log_->OnFlush([&](const FlushStats& stats) { flushes.push_back(stats); });
  int answers = 0;
  for (Partition partition = 0; partition < kPartitions; ++partition) {
    FoldState state = Start(partition);
    log_->BeginEpoch(partition, "owner-1:7000", [&](absl::StatusOr<FoldState> begun) {
      EXPECT_EQ(begun.status(), absl::OkStatus());
      ++answers;
    });
  }
  scheduler_.RunUntilIdle();
  EXPECT_EQ(answers, 4);
  ASSERT_EQ(flushes.size(), 1u);
  EXPECT_EQ(flushes[0].batches, 4u);
  EXPECT_EQ(flushes[0].entries, 4u);
}

TEST_F(SqliteEventLogTest, AReaderFarBehindReadsFromTheDiskAndThenFromMemory) {
  CreateAndOpen();
  FoldState state = *Begin(2);
  // More than is kept in memory.
  for (int i = 0; i < 40; ++i) Fill(2, state, 1000);
  FoldState at = Start(2);
  int records = 0;
  EXPECT_EQ(ReadOn(*log_, 2, at, &records), absl::OkStatus());
  EXPECT_EQ(records, 40000);
  EXPECT_EQ(at, state);
}

class DiskFaultTest : public SqliteEventLogTest {
 protected:
  DiskFaultTest() { options_.vfs = vfs_.name(); }
  ~DiskFaultTest() override { log_.reset(); }

  FaultyVfs vfs_{"faulty"};
};

TEST_F(DiskFaultTest, AFullDiskFailsTheAppendAndTheLogGoesOnWhenThereIsRoom) {
  CreateAndFill(10);
  FoldState state = *log_->Head(1);
  vfs_.SetRoom(10'000);
  FoldState ahead = state;
  const std::vector<std::string> entries = MakeEntries(ahead, 1, 1000);
  EXPECT_TRUE(absl::IsResourceExhausted(Append(1, state.epoch, entries)));
  EXPECT_TRUE(absl::IsResourceExhausted(Append(1, state.epoch, entries)));
  EXPECT_EQ(*log_->Head(1), state);
  vfs_.SetRoom(1 << 30);
  EXPECT_EQ(Append(1, state.epoch, entries), absl::OkStatus());
  ASSERT_EQ(Open(), absl::OkStatus());
  FoldState at = Start(1);
  EXPECT_EQ(ReadOn(*log_, 1, at), absl::OkStatus());
  EXPECT_EQ(at, ahead);
}

TEST_F(DiskFaultTest, CallsBehindOneThatFoundTheDiskFullAreNotStoredEither) {
  CreateAndFill(10);
  FoldState state = *log_->Head(1);
  FoldState ahead = state;
  vfs_.SetRoom(0);
  EXPECT_TRUE(absl::IsResourceExhausted(Append(1, state.epoch, MakeEntries(ahead, 1, 100))));
  vfs_.SetRoom(1 << 30);
  EXPECT_TRUE(absl::IsAborted(Append(1, state.epoch, MakeEntries(ahead, 1, 1))));
  Fill(1, state, 3);
}

TEST_F(DiskFaultTest, AFailedSyncIsUnknownAndTheFileSaysWhatCounts) {
  CreateAndFill(10);
  FoldState state = *log_->Head(1);
  FoldState ahead = state;
  vfs_.FailSyncs(1);
  EXPECT_TRUE(absl::IsUnavailable(Append(1, state.epoch, MakeEntries(ahead, 1, 3))));
  // Those behind build on what is unknown.
  EXPECT_TRUE(absl::IsAborted(Append(1, state.epoch, MakeEntries(ahead, 1, 3))));
  absl::StatusOr<FoldState> begun = Begin(1);
  ASSERT_EQ(begun.status(), absl::OkStatus());
  EXPECT_EQ(begun->next, state.next + 1);
  Fill(1, *begun, 3);
  ASSERT_EQ(Open(), absl::OkStatus());
  FoldState at = Start(1);
  EXPECT_EQ(ReadOn(*log_, 1, at), absl::OkStatus());
  EXPECT_EQ(at, *begun);
}

TEST_F(SqliteEventLogTest, AReaderBesideTheWriterSeesEntriesAndIsWoken) {
  CreateAndOpen();
  FoldState state = *Begin(3);
  auto reader = SqliteEventLog::OpenReader(options_, files_, scheduler_);
  ASSERT_EQ(reader.status(), absl::OkStatus());
  std::vector<Partition> grown;
  auto subscription = (*reader)->Watch([&](Partition partition) { grown.push_back(partition); });
  scheduler_.RunFor(absl::Milliseconds(100));
  EXPECT_THAT(grown, ::testing::IsEmpty());
  Fill(3, state, 5);
  scheduler_.RunFor(absl::Milliseconds(100));
  EXPECT_THAT(grown, ::testing::ElementsAre(3));
  FoldState at = Start(3);
  EXPECT_EQ(ReadOn(**reader, 3, at), absl::OkStatus());
  EXPECT_EQ(at, state);
  EXPECT_EQ(*(*reader)->Head(3), state);
  subscription.reset();
  Fill(3, state, 5);
  scheduler_.RunFor(absl::Milliseconds(100));
  EXPECT_EQ(grown.size(), 1u);
}

// One answered append, as the writing process tells it.
struct Ack {
  Partition partition = 0;
  Sequence last = 0;
};

// Writes to all partitions, a few calls under way in each, and tells every answer to `pipe`; until
// it is killed.
[[noreturn]] void WriteUntilKilled(const SqliteLogOptions& options, int pipe) {
  std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler(1);
  auto log = SqliteEventLog::Open(options, SystemFiles(), *scheduler);
  if (!log.ok()) _exit(1);
  std::map<Partition, FoldState> states;
  for (Partition partition = 0; partition < kPartitions; ++partition) {
    absl::Notification begun;
    (*log)->BeginEpoch(partition, "child", [&](absl::StatusOr<FoldState> state) {
      if (!state.ok()) _exit(2);
      states[partition] = *state;
      begun.Notify();
    });
    begun.WaitForNotification();
  }
  while (true) {
    absl::Notification last;
    for (int i = 0; i < 8; ++i) {
      for (auto& [partition, state] : states) {
        std::vector<std::string> entries = MakeEntries(state, partition, 1 + i % 3);
        const bool is_last = i == 7 && partition == kPartitions - 1;
        const Ack ack{partition, state.next - 1};
        (*log)->Append(partition, state.epoch, std::move(entries), [=, &last](absl::Status status) {
          if (!status.ok() || write(pipe, &ack, sizeof(ack)) != sizeof(ack)) _exit(3);
          if (is_last) last.Notify();
        });
      }
    }
    last.WaitForNotification();
  }
}

struct Child {
  pid_t pid = 0;
  int pipe = -1;
};

Child StartWriter(const SqliteLogOptions& options) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    WriteUntilKilled(options, ends[1]);
  }
  close(ends[1]);
  return {pid, ends[0]};
}

// Reads answers until there are `wanted`, kills the writer, and reads what it had told before.
// Returns how many there were.
int KillAfter(const Child& child, int wanted, std::map<Partition, Sequence>& answered) {
  int answers = 0;
  Ack ack;
  while (read(child.pipe, &ack, sizeof(ack)) == sizeof(ack)) {
    answered[ack.partition] = std::max(answered[ack.partition], ack.last);
    if (++answers == wanted) kill(child.pid, SIGKILL);
  }
  close(child.pipe);
  int status = 0;
  EXPECT_EQ(waitpid(child.pid, &status, 0), child.pid);
  EXPECT_TRUE(WIFSIGNALED(status));
  return answers;
}

TEST_F(SqliteEventLogTest, WhatWasAnsweredIsThereAfterTheWriterWasKilled) {
  Create();
  std::map<Partition, Sequence> answered;
  for (const int wanted : {1, 90, 300}) {
    EXPECT_GE(KillAfter(StartWriter(options_), wanted, answered), wanted);
    ASSERT_EQ(Open(), absl::OkStatus());
    for (Partition partition = 0; partition < kPartitions; ++partition) {
      FoldState at = Start(partition);
      EXPECT_EQ(ReadOn(*log_, partition, at), absl::OkStatus());
      EXPECT_GE(at.next, answered[partition] + 1);
    }
    log_.reset();
  }
}

TEST_F(SqliteEventLogTest, AReaderSeesWhatAWriterInAnotherProcessAnswered) {
  Create();
  const Child child = StartWriter(options_);
  Ack ack;
  ASSERT_EQ(read(child.pipe, &ack, sizeof(ack)), static_cast<ssize_t>(sizeof(ack)));
  auto reader = SqliteEventLog::OpenReader(options_, files_, scheduler_);
  ASSERT_EQ(reader.status(), absl::OkStatus());
  int calls = 0;
  auto subscription = (*reader)->Watch([&](Partition) { ++calls; });
  std::map<Partition, FoldState> at;
  for (Partition partition = 0; partition < kPartitions; ++partition) {
    at[partition] = Start(partition);
  }
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(read(child.pipe, &ack, sizeof(ack)), static_cast<ssize_t>(sizeof(ack)));
    FoldState& state = at[ack.partition];
    const Sequence before = state.next;
    ASSERT_EQ(ReadOn(**reader, ack.partition, state), absl::OkStatus());
    EXPECT_GT(state.next, std::max(ack.last, before - 1));
  }
  scheduler_.RunFor(absl::Milliseconds(100));
  EXPECT_GT(calls, 0);
  std::map<Partition, Sequence> answered;
  KillAfter(child, 1, answered);
}

}  // namespace
}  // namespace buurtlog::eventlog
