// The journal of the sqlite engine: what stands in it survives a crash, what is damaged in it is
// found, and its files are used in turn.
#include "libs/eventlog/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/eventlog/bytes.h"
#include "libs/eventlog/journal_overlay.h"
#include "libs/eventlog/journal_recovery.h"
#include "libs/eventlog/log_mover.h"
#include "libs/eventlog/testing/sqlite_log_fixture.h"

namespace buurtlog::eventlog::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class JournalTest : public SqliteEventLogTest {
 protected:
  // The files as they are now, as a crash of the machine would leave them if the disk had all.
  SqliteLogOptions Copy(const std::string& name) {
    SqliteLogOptions copy = options_;
    copy.folder = Path(name);
    std::filesystem::create_directory(copy.folder);
    for (const std::string file :
         {"identity", "heads", "log.db", "log.db-wal", "journal-0", "journal-1"}) {
      if (!std::filesystem::exists(Path(file))) continue;
      std::filesystem::copy(Path(file), absl::StrCat(copy.folder, "/", file));
    }
    return copy;
  }

  // The head of partition 1 of a log that is opened anew; the error when it does not open.
  absl::StatusOr<FoldState> HeadOf(const SqliteLogOptions& options) {
    auto log = SqliteEventLog::Open(options, files_, scheduler_);
    if (!log.ok()) return log.status();
    FoldState at = Start(1);
    if (absl::Status read = ReadOn(**log, 1, at); !read.ok()) return read;
    EXPECT_EQ((*log)->Head(1)->head_hash, at.head_hash);
    return at;
  }

  static void Flip(const std::string& path, size_t offset) {
    std::string bytes = Load(path);
    ASSERT_LT(offset, bytes.size());
    bytes[offset] ^= 1;
    Save(path, bytes);
  }

  // Appends records with large bodies, so that the files of the journal fill up.
  void AppendLarge(FoldState& state, int count) {
    EntryHeader header;
    header.partition = 1;
    header.epoch = state.epoch;
    for (int i = 0; i < count; ++i) {
      header.sequence = state.next;
      header.previous_hash = state.head_hash;
      const std::string entry = EncodeEntry(header, std::string(512 << 10, 'b'));
      state.head_hash = EntryHash(state.head_hash, entry);
      ++state.next;
      ASSERT_EQ(Append(1, state.epoch, {entry}), absl::OkStatus());
    }
  }
};

TEST_F(JournalTest, WhatWasNotMovedIsBroughtIntoTheDatabaseAtOpening) {
  const FoldState state = CreateAndFill(200);
  const SqliteLogOptions copy = Copy("copy");
  EXPECT_EQ(Load(absl::StrCat(copy.folder, "/log.db")).find(Body(1, 20)), std::string::npos);
  EXPECT_EQ(HeadOf(copy)->head_hash, state.head_hash);
  // It was closed well, so the journal is not needed any more.
  EXPECT_EQ(std::filesystem::file_size(absl::StrCat(copy.folder, "/journal-0")), 0u);
  EXPECT_NE(Load(absl::StrCat(copy.folder, "/log.db")).find(Body(1, 20)), std::string::npos);
  EXPECT_EQ(HeadOf(copy)->head_hash, state.head_hash);
}

TEST_F(JournalTest, WhatTheDatabaseLostOfItsWalTheJournalStillHas) {
  const FoldState state = CreateAndFill(200);
  scheduler_.RunFor(2 * kMoveDelay);
  const SqliteLogOptions copy = Copy("copy");
  ASSERT_NE(Load(absl::StrCat(copy.folder, "/log.db-wal")).find(Body(1, 20)), std::string::npos);
  std::filesystem::remove(absl::StrCat(copy.folder, "/log.db-wal"));
  EXPECT_EQ(HeadOf(copy)->head_hash, state.head_hash);
}

TEST_F(JournalTest, ATornLastBatchIsAsIfItHadNotBeenWritten) {
  FoldState state = CreateAndFill(20);
  const FoldState before = state;
  Fill(1, state, 5);
  const SqliteLogOptions copy = Copy("copy");
  const std::string path = absl::StrCat(copy.folder, "/journal-0");
  Flip(path, Load(path).find(Body(1, state.next - 1)));
  EXPECT_EQ(HeadOf(copy)->head_hash, before.head_hash);
}

TEST_F(JournalTest, DamageThatTheHeadFileKnowsOfIsDataLossThatNamesThePlace) {
  FoldState state = CreateAndFill(20);
  Fill(1, state, 5);
  const SqliteLogOptions before = Copy("before");
  scheduler_.RunFor(options_.head_file_period);
  std::filesystem::copy(Path("heads"), absl::StrCat(before.folder, "/heads"),
                        std::filesystem::copy_options::overwrite_existing);
  const std::string path = absl::StrCat(before.folder, "/journal-0");
  Flip(path, Load(path).find(Body(1, 23)));
  const absl::Status status = HeadOf(before).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence 22: missing"));
}

TEST_F(JournalTest, ADamagedBatchBeforeAWholeOneIsDataLossThatNamesThePlace) {
  FoldState state = CreateAndFill(20);
  const FoldState before = state;
  Fill(1, state, 5);
  Fill(1, state, 5);
  const std::string bytes = Load(Path("journal-0"));
  const size_t batch = bytes.find(Body(1, 23));
  // In a body, in the header's length, and where the batch begins.
  const size_t begin = bytes.rfind("BLJ1", batch);
  for (const size_t offset : {batch, begin + 10, begin}) {
    const SqliteLogOptions copy = Copy(absl::StrCat("copy-", offset));
    Flip(absl::StrCat(copy.folder, "/journal-0"), offset);
    const absl::Status status = HeadOf(copy).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat("partition 1, sequence ", before.next, ": batch 2 of ")));
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat("journal-0 is damaged at byte ", begin)));
  }
}

TEST_F(JournalTest, ADamagedFirstBatchBeforeAWholeOneIsDataLossToo) {
  FoldState state = CreateAndFill(20);
  Fill(1, state, 5);
  const SqliteLogOptions copy = Copy("copy");
  Flip(absl::StrCat(copy.folder, "/journal-0"), 0);
  EXPECT_TRUE(absl::IsDataLoss(HeadOf(copy).status()));
}

TEST_F(JournalTest, WhatIsLeftFromBeforeAFileWasUsedAgainIsNoDamage) {
  FoldState state = CreateAndFill(20);
  Fill(1, state, 5);
  scheduler_.RunFor(2 * kMoveDelay);  // all of it comes into log.db
  const SqliteLogOptions copy = Copy("copy");
  // As the first batch over it leaves the file that is torn before it is synced.
  Flip(absl::StrCat(copy.folder, "/journal-0"), 50);
  EXPECT_EQ(HeadOf(copy)->head_hash, state.head_hash);
}

TEST_F(JournalTest, ADamagedBatchIsAcceptedWithAllThatFollowsFromWhatIsThere) {
  FoldState state = CreateAndFill(20);
  const FoldState before = state;
  FoldState other = *Begin(2);
  Fill(1, state, 5);
  Fill(1, state, 5);
  Fill(2, other, 3);
  SqliteLogOptions copy = Copy("copy");
  const std::string path = absl::StrCat(copy.folder, "/journal-0");
  Flip(path, Load(path).find(Body(1, 23)));
  EXPECT_TRUE(absl::IsDataLoss(HeadOf(copy).status()));
  EXPECT_THAT(*NewestInJournal(copy, identity_, files_),
              ElementsAre(0, state.next - 1, other.next - 1, 0));
  copy.accept_shortened = true;
  {
    auto reader = SqliteEventLog::OpenReader(copy, files_, scheduler_);
    ASSERT_EQ(reader.status(), absl::OkStatus());
    EXPECT_EQ((*reader)->Head(1)->head_hash, before.head_hash);
    EXPECT_EQ((*reader)->Head(2)->head_hash, other.head_hash);
    FoldState at = Start(2);
    EXPECT_EQ(ReadOn(**reader, 2, at), absl::OkStatus());
    EXPECT_EQ(at.head_hash, other.head_hash);
  }
  EXPECT_EQ(HeadOf(copy)->head_hash, before.head_hash);
  copy.accept_shortened = false;
  auto log = SqliteEventLog::Open(copy, files_, scheduler_);
  ASSERT_EQ(log.status(), absl::OkStatus());
  EXPECT_EQ((*log)->Head(1)->head_hash, before.head_hash);
  EXPECT_EQ((*log)->Head(2)->head_hash, other.head_hash);
}

TEST_F(JournalTest, AGapBeforeTheJournalIsDataLossUntilItIsAccepted) {
  FoldState state = CreateAndFill(20);
  log_.reset();
  ASSERT_EQ(Open(), absl::OkStatus());
  Fill(1, state, 5);
  SqliteLogOptions copy = Copy("copy");
  {
    auto connection = sqlite::Connection::Open(absl::StrCat(copy.folder, "/log.db"));
    ASSERT_EQ(connection.status(), absl::OkStatus());
    ASSERT_EQ(connection->Execute("DELETE FROM entry_1 WHERE sequence > 11"), absl::OkStatus());
  }
  const absl::Status status = HeadOf(copy).status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 1, sequence 12: missing"));
  copy.accept_shortened = true;
  EXPECT_EQ((*NewestInJournal(copy, identity_, files_))[1], state.next - 1);
  EXPECT_EQ((*SqliteEventLog::OpenReader(copy, files_, scheduler_).value()->Head(1)).next, 12u);
  EXPECT_EQ(HeadOf(copy)->next, 12u);
  copy.accept_shortened = false;
  EXPECT_EQ(HeadOf(copy)->next, 12u);
}

TEST_F(JournalTest, ABatchThatHasNotAsManyEntriesAsItSaysIsDataLoss) {
  CreateAndFill(20);
  const SqliteLogOptions copy = Copy("copy");
  const std::string path = absl::StrCat(copy.folder, "/journal-0");
  std::string bytes = Load(path);
  const size_t size = kBatchHeaderBytes + eventlog::Load<uint32_t>(bytes.data() + 8);
  Store<uint32_t>(bytes.data() + 12, eventlog::Load<uint32_t>(bytes.data() + 12) + 1);
  Store<uint32_t>(bytes.data() + 4, Crc32(0, std::string_view(bytes).substr(8, size - 8)));
  Save(path, bytes);
  const absl::Status status = HeadOf(copy).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("has 1 entries and says 2"));
}

TEST_F(JournalTest, AMissingFileIsDataLossThatNamesIt) {
  CreateAndFill(5);
  log_.reset();
  std::filesystem::remove(Path("journal-1"));
  const absl::Status status = Open();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("journal-1 is missing"));
  EXPECT_TRUE(absl::IsDataLoss(SqliteEventLog::OpenReader(options_, files_, scheduler_).status()));
}

TEST_F(JournalTest, AJournalOfAnotherLogIsNotBelieved) {
  const FoldState state = CreateAndFill(5);
  const SqliteLogOptions other = Copy("other");
  log_.reset();
  identity_.log_id = NewUuid(absl::FromUnixSeconds(1700000001), SystemRandom());
  options_.folder = Path("new");
  Create();
  for (const std::string file : {"journal-0", "journal-1"}) {
    std::filesystem::copy(absl::StrCat(other.folder, "/", file), Path(file),
                          std::filesystem::copy_options::overwrite_existing);
  }
  EXPECT_EQ(HeadOf(options_)->next, 1u);
  options_.folder = std::filesystem::path(options_.folder).parent_path();
}

TEST_F(JournalTest, FilesAreUsedInTurnAndNothingIsLostWhereverItStops) {
  CreateAndOpen();
  FoldState state = *Begin(1);
  const int batches_of_a_file = static_cast<int>(options_.journal_bytes_wanted / (512 << 10));
  // Each round fills one file and begins the other.
  for (int round = 0; round < 5; ++round) {
    AppendLarge(state, batches_of_a_file + 1);
    const SqliteLogOptions copy = Copy(absl::StrCat("copy-", round));
    auto log = SqliteEventLog::Open(copy, files_, scheduler_);
    ASSERT_EQ(log.status(), absl::OkStatus());
    EXPECT_EQ((*log)->Head(1)->head_hash, state.head_hash) << round;
  }
  for (const std::string file : {"journal-0", "journal-1"}) {
    EXPECT_LT(std::filesystem::file_size(Path(file)), 2 * options_.journal_bytes_wanted) << file;
  }
}

TEST_F(JournalTest, AReaderThatSleepsWhileFilesAreUsedAgainMissesNothing) {
  CreateAndOpen();
  FoldState state = *Begin(1);
  auto reader = SqliteEventLog::OpenReader(options_, files_, scheduler_);
  ASSERT_EQ(reader.status(), absl::OkStatus());
  FoldState at = Start(1);
  const auto read_on = [&] {
    Sequence before = 0;
    do {
      before = at.next;
      ASSERT_EQ((*reader)->Read(1, at, {}, [](const EntryView&) { return absl::OkStatus(); }),
                absl::OkStatus());
    } while (at.next > before);
  };
  const int batches_of_a_file = static_cast<int>(options_.journal_bytes_wanted / (512 << 10));
  for (const int batches : {1, 2, batches_of_a_file, 3 * batches_of_a_file, 1}) {
    AppendLarge(state, batches);
    read_on();
    EXPECT_EQ(at.head_hash, state.head_hash) << batches;
  }
}

TEST_F(JournalTest, WhatTheJournalHasForgottenIsNotPassedOver) {
  CreateAndOpen();
  FoldState state = *Begin(1);
  AppendLarge(state, 2);
  JournalOverlay overlay(options_, identity_);
  std::vector<Sequence> seen;
  const auto see = [&](Sequence sequence, std::string_view) {
    seen.push_back(sequence);
    return true;
  };
  ASSERT_EQ(overlay.Refresh(), absl::OkStatus());
  EXPECT_TRUE(overlay.ForEach(1, 1, state.next, see));
  EXPECT_THAT(seen, ElementsAre(1, 2, 3));
  AppendLarge(state, 3 * static_cast<int>(options_.journal_bytes_wanted / (512 << 10)));
  ASSERT_EQ(overlay.Refresh(), absl::OkStatus());
  seen.clear();
  EXPECT_FALSE(overlay.ForEach(1, 4, state.next, see));
  EXPECT_FALSE(overlay.ForEach(1, 4, 5, see));
  EXPECT_THAT(seen, IsEmpty());
  EXPECT_TRUE(overlay.ForEach(1, overlay.Last(1), state.next, see));
  EXPECT_THAT(seen, ElementsAre(state.next - 1));
}

TEST_F(JournalTest, ABatchIsReadAsItWasWritten) {
  Create();
  auto journal = Journal::Open(options_, identity_.log_id, 7);
  ASSERT_EQ(journal.status(), absl::OkStatus());
  FoldState state = Start(2);
  state.epoch = 1;
  const std::vector<std::string> written = MakeEntries(state, 2, 3);
  ASSERT_EQ(journal->Append({written[0], written[1]}), absl::OkStatus());
  ASSERT_EQ(journal->Append({written[2]}), absl::OkStatus());
  auto file = VfsFile::Open(JournalPath(options_.folder, 0), "", true);
  ASSERT_EQ(file.status(), absl::OkStatus());
  std::vector<std::string> read;
  JournalPlace place;
  std::string entries;
  while (*ReadBatch(*file, identity_.log_id, place, entries)) {
    EXPECT_EQ(ForEachEntry(entries,
                           [&](std::string_view entry) {
                             read.emplace_back(entry);
                             return absl::OkStatus();
                           }),
              absl::OkStatus());
  }
  EXPECT_EQ(read, written);
  EXPECT_EQ(place.generation, 7u);
  EXPECT_EQ(place.number, 2u);
}

}  // namespace
}  // namespace buurtlog::eventlog::testing
