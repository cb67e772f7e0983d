#include "libs/sqlite/testing/simulated_disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/refusal.h"

namespace buurtlog::sqlite::testing {
namespace {

using ::testing::ElementsAre;

class SimulatedDiskTest : public ::testing::Test {
 protected:
  // A database in WAL mode with a table of numbers.
  static Connection OpenNumbers(const std::string& synchronous) {
    auto db = Connection::Open(kPath);
    EXPECT_TRUE(db.ok()) << db.status();
    EXPECT_TRUE(
        db->Execute(absl::StrCat("PRAGMA journal_mode = WAL; PRAGMA synchronous = ", synchronous,
                                 "; CREATE TABLE IF NOT EXISTS n(x INTEGER PRIMARY KEY)"))
            .ok());
    return *std::move(db);
  }
  static absl::Status Insert(Connection& db, int64_t x) {
    return db.Cached("INSERT INTO n VALUES(?1)").Bind(1, x).Run();
  }
  static int64_t Count(Connection& db, const std::string& from = "n") {
    auto select = db.Prepare("SELECT count(*) FROM " + from);
    EXPECT_TRUE(select.ok() && select->Step().value_or(false));
    return select->Int(0);
  }

  static constexpr char kPath[] = "/disk/n.db";
  SimulatedDisk disk_{"disk", 1};
};

TEST_F(SimulatedDiskTest, SeveralConnectionsShareADatabase) {
  Connection writer = OpenNumbers("FULL");
  Connection reader = OpenNumbers("FULL");
  ASSERT_TRUE(Insert(writer, 1).ok());
  auto view = Transaction::Begin(reader, Transaction::Mode::kRead);
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(Count(reader), 1);
  ASSERT_TRUE(Insert(writer, 2).ok());
  EXPECT_EQ(Count(reader), 1);
  ASSERT_TRUE(view->Commit().ok());
  EXPECT_EQ(Count(reader), 2);
  auto first = Transaction::Begin(writer, Transaction::Mode::kWrite);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(Transaction::Begin(reader, Transaction::Mode::kWrite).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(SimulatedDiskTest, WhatWasSyncedOutlivesEveryCrash) {
  for (const AfterCrash after :
       {AfterCrash::kAll, AfterCrash::kNothing, AfterCrash::kInOrder, AfterCrash::kTorn}) {
    int64_t before = 0;
    {
      Connection db = OpenNumbers("FULL");
      before = Count(db);
      for (int64_t x = 1; x <= 5; ++x) ASSERT_TRUE(Insert(db, 10 * before + x).ok());
      disk_.Crash();
    }
    disk_.Restart(after);
    Connection db = OpenNumbers("FULL");
    EXPECT_EQ(Count(db), before + 5);
  }
}

TEST_F(SimulatedDiskTest, WhatWasNotSyncedIsLostWithThePower) {
  {
    Connection db = OpenNumbers("FULL");
    ASSERT_TRUE(Insert(db, 1).ok());
    ASSERT_TRUE(db.Execute("PRAGMA synchronous = OFF").ok());
    ASSERT_TRUE(Insert(db, 2).ok());
    disk_.Crash();
  }
  disk_.Restart(AfterCrash::kNothing);
  Connection db = OpenNumbers("FULL");
  EXPECT_EQ(Count(db), 1);
}

TEST_F(SimulatedDiskTest, ADatabaseIsWholeAfterACrashInTheMiddleOfAnyOperation) {
  std::set<int64_t> counts;
  for (uint64_t operation = 1; operation <= 60; ++operation) {
    for (const AfterCrash after : {AfterCrash::kInOrder, AfterCrash::kTorn}) {
      SimulatedDisk disk("other", operation);
      int64_t known = 0;
      {
        auto db = Connection::Open("/other/n.db");
        ASSERT_TRUE(db.ok());
        disk.CrashAfter(operation);
        db->Execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").IgnoreError();
        db->Execute("CREATE TABLE n(x INTEGER PRIMARY KEY)").IgnoreError();
        for (int64_t x = 1;
             x <= 20 && db->Execute(absl::StrCat("INSERT INTO n VALUES(", x, ")")).ok(); ++x) {
          known = x;
        }
      }
      disk.Crash();
      disk.Restart(after);
      auto db = Connection::Open("/other/n.db");
      ASSERT_TRUE(db.ok());
      auto check = db->Prepare("PRAGMA integrity_check");
      ASSERT_TRUE(check.ok() && check->Step().value_or(false)) << check.status();
      EXPECT_EQ(check->Text(0), "ok");
      if (known == 0) continue;
      const int64_t found = Count(*db);
      EXPECT_TRUE(found == known || found == known + 1) << found << " of " << known;
      counts.insert(found);
    }
  }
  EXPECT_GT(counts.size(), 5u);
}

TEST_F(SimulatedDiskTest, NothingChangesBetweenACrashAndTheRestart) {
  Connection db = OpenNumbers("FULL");
  ASSERT_TRUE(disk_.files().WriteAtomically("/disk/note", "before").ok());
  disk_.Crash();
  EXPECT_FALSE(Insert(db, 1).ok());
  EXPECT_FALSE(disk_.files().WriteAtomically("/disk/note", "behind").ok());
  EXPECT_FALSE(disk_.files().Remove("/disk/note").ok());
  db = OpenNumbers("FULL");
  EXPECT_EQ(disk_.files().Read("/disk/note").value_or(""), "before");
}

TEST_F(SimulatedDiskTest, AFileThatIsReplacedIsTheOldOneOrTheNewOneAfterACrash) {
  Files& files = disk_.files();
  ASSERT_TRUE(files.MakeFolder("/disk").ok());
  ASSERT_TRUE(files.WriteAtomically("/disk/heads", "old").ok());
  std::set<std::string> found;
  for (uint64_t i = 0; i < 60; ++i) {
    disk_.CrashAfter(1 + i % 6);
    const bool told = files.WriteAtomically("/disk/heads", "new").ok();
    disk_.Crash();
    disk_.Restart(static_cast<AfterCrash>(i % 4));
    const std::string bytes = files.Read("/disk/heads").value_or("none");
    if (told) {
      EXPECT_EQ(bytes, "new");
    }
    found.insert(bytes);
    ASSERT_TRUE(files.WriteAtomically("/disk/heads", "old").ok());
  }
  EXPECT_THAT(found, ElementsAre("new", "old"));
}

TEST_F(SimulatedDiskTest, AFullDiskAndAFailedSyncAreTold) {
  Connection db = OpenNumbers("FULL");
  disk_.SetRoom(100);
  EXPECT_TRUE(absl::IsResourceExhausted(Insert(db, 1)));
  EXPECT_TRUE(absl::IsResourceExhausted(
      disk_.files().WriteAtomically("/disk/note", std::string(200, 'x'))));
  EXPECT_FALSE(disk_.files().Exists("/disk/note"));
  disk_.SetRoom(1 << 20);
  disk_.FailSyncs(1);
  EXPECT_TRUE(absl::IsUnavailable(Insert(db, 1)));
  EXPECT_TRUE(Insert(db, 2).ok());
}

TEST_F(SimulatedDiskTest, WhatASyncFailedToWriteALaterOneDoesNotBring) {
  SimulatedFilePtr file;
  ASSERT_EQ(disk_.Create("/disk/note", file), SQLITE_OK);
  ASSERT_EQ(disk_.SyncFolder("/disk/note"), SQLITE_OK);
  const std::string first(20'000, 'a');
  ASSERT_EQ(disk_.Write("/disk/note", *file, first, 0), SQLITE_OK);
  disk_.FailSyncs(1);
  EXPECT_NE(disk_.Sync("/disk/note", *file), SQLITE_OK);
  ASSERT_EQ(disk_.Write("/disk/note", *file, "b", first.size()), SQLITE_OK);
  EXPECT_EQ(disk_.Sync("/disk/note", *file), SQLITE_OK);
  EXPECT_EQ(disk_.Contents("/disk/note"), first + "b");
  disk_.Crash();
  disk_.Restart(AfterCrash::kAll);
  EXPECT_EQ(disk_.Contents("/disk/note"), first + "b");
  disk_.Crash();
  disk_.Restart(AfterCrash::kNothing);
  const std::string left = disk_.Contents("/disk/note");
  EXPECT_NE(left, first + "b");
  EXPECT_EQ(left.back(), 'b');
}

TEST_F(SimulatedDiskTest, WhatIsWrittenAgainBehindAFailedSyncComesWithTheNext) {
  SimulatedFilePtr file;
  ASSERT_EQ(disk_.Create("/disk/note", file), SQLITE_OK);
  ASSERT_EQ(disk_.SyncFolder("/disk/note"), SQLITE_OK);
  const std::string bytes(20'000, 'a');
  ASSERT_EQ(disk_.Write("/disk/note", *file, bytes, 0), SQLITE_OK);
  disk_.FailSyncs(1);
  EXPECT_NE(disk_.Sync("/disk/note", *file), SQLITE_OK);
  ASSERT_EQ(disk_.Write("/disk/note", *file, bytes, 0), SQLITE_OK);
  EXPECT_EQ(disk_.Sync("/disk/note", *file), SQLITE_OK);
  disk_.Crash();
  disk_.Restart(AfterCrash::kNothing);
  EXPECT_EQ(disk_.Contents("/disk/note"), bytes);
}

TEST_F(SimulatedDiskTest, WhoeverClosesADatabaseThatWasReplacedLeavesTheNewOneAlone) {
  std::optional<Connection> old = OpenNumbers("NORMAL");
  ASSERT_TRUE(Insert(*old, 1).ok());
  for (const char* part : {"", "-wal"}) {
    ASSERT_TRUE(disk_.files().Remove(absl::StrCat(kPath, part)).ok());
  }
  Connection young = OpenNumbers("NORMAL");
  ASSERT_TRUE(Insert(young, 2).ok());
  old.reset();
  Connection reader = OpenNumbers("NORMAL");
  EXPECT_EQ(Count(reader), 1);
}

TEST_F(SimulatedDiskTest, ALockHasOneHolder) {
  auto lock = disk_.files().Lock("/disk/lock");
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(StatusReason(disk_.files().Lock("/disk/lock").status()), "DATA_FOLDER_IN_USE");
  lock = absl::CancelledError();
  EXPECT_TRUE(disk_.files().Lock("/disk/lock").ok());
}

TEST_F(SimulatedDiskTest, TheSameSeedDoesTheSame) {
  std::set<uint64_t> traces;
  for (int run = 0; run < 3; ++run) {
    SimulatedDisk disk("other", 7);
    auto db = Connection::Open("/other/n.db");
    ASSERT_TRUE(db.ok());
    ASSERT_TRUE(db->Execute("PRAGMA journal_mode = WAL; CREATE TABLE n(x INTEGER PRIMARY KEY); "
                            "INSERT INTO n VALUES(1)")
                    .ok());
    traces.insert(disk.trace());
  }
  EXPECT_EQ(traces.size(), 1u);
}

}  // namespace
}  // namespace buurtlog::sqlite::testing
