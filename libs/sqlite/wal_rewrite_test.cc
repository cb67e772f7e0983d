#include "libs/sqlite/wal_rewrite.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "libs/sqlite/sqlite.h"
#include "libs/sqlite/testing/simulated_disk.h"

namespace buurtlog::sqlite {
namespace {

using testing::AfterCrash;
using testing::SimulatedDisk;

// A database whose WAL is moved often, and readers who hold that up. The rows of a pair are changed
// together, and stand on pages with others.
class PairsOnADisk {
 public:
  explicit PairsOnADisk(uint64_t seed)
      : disk_("pairs", seed), db_(OpenPairs()), readers_{OpenPairs(), OpenPairs()} {
    EXPECT_TRUE(db_->Execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                             "CREATE TABLE a(k INTEGER PRIMARY KEY, x, pad);"
                             "CREATE TABLE b(k INTEGER PRIMARY KEY, x, pad)")
                    .ok());
    EXPECT_TRUE(db_->Execute("BEGIN; WITH RECURSIVE i(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM "
                             "i WHERE k < 40) INSERT INTO a SELECT k, 0, zeroblob(1500) FROM i;"
                             "INSERT INTO b SELECT k, 0, zeroblob(1000) FROM a; COMMIT")
                    .ok());
    db_->CheckpointWhole(10);
  }

  SimulatedDisk& disk() { return disk_; }

  void ChangeSome() {
    ++changes_;
    const std::string rows = absl::StrCat(" SET x = ", changes_, " WHERE k % 5 = ", changes_ % 5);
    db_->Execute(absl::StrCat("BEGIN; UPDATE a", rows, "; UPDATE b", rows, "; COMMIT"))
        .IgnoreError();
  }

  void BeginReading(size_t reader) {
    views_[reader].emplace(Transaction::Begin(*readers_[reader], Transaction::Mode::kRead).value());
    CountEqualPairs(*readers_[reader]);
  }
  void EndReading(size_t reader) { views_[reader].reset(); }

  // The power goes, and what was not synced with it.
  int64_t EqualPairsAfterAPowerCut() {
    for (std::optional<Transaction>& view : views_) view.reset();
    disk_.Crash();
    db_.reset();
    for (std::optional<Connection>& reader : readers_) reader.reset();
    disk_.Restart(AfterCrash::kNothing);
    db_ = OpenPairs();
    return CountEqualPairs(*db_);
  }

 private:
  static std::optional<Connection> OpenPairs() { return Connection::Open("/pairs/n.db").value(); }

  // -1 when the database cannot be read.
  static int64_t CountEqualPairs(Connection& db) {
    auto select = db.Prepare("SELECT count(*) FROM a JOIN b USING (k) WHERE a.x = b.x");
    return select.ok() && select->Step().value_or(false) ? select->Int(0) : -1;
  }

  SimulatedDisk disk_;
  std::optional<Connection> db_;
  std::optional<Connection> readers_[2];
  std::optional<Transaction> views_[2];
  int changes_ = 0;
};

TEST(WalRewriteTest, RowsOfOneTransactionStayTogetherWhenASyncFailsAndThePowerGoes) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    PairsOnADisk pairs(seed);
    for (int i = 0; i < 3; ++i) pairs.ChangeSome();
    // Holds the log up, so that its beginning is on the disk already when a sync fails.
    pairs.BeginReading(0);
    pairs.ChangeSome();
    pairs.EndReading(0);
    if (seed % 2 == 1) pairs.ChangeSome();
    pairs.disk().FailSyncs(1);
    pairs.ChangeSome();
    pairs.disk().CrashAfter(1 + seed / 2);
    for (int i = 0; i < 5 && !pairs.disk().crashed(); ++i) pairs.ChangeSome();
    EXPECT_EQ(pairs.EqualPairsAfterAPowerCut(), 40) << seed;
  }
}

// SQLite moves as much of the log as its readers have left, and syncs the database only when all of
// it is moved. If that sync fails, what was moved earlier is not moved again.
TEST(WalRewriteTest, WhatWasMovedBeforeASyncFailedIsNotLostEither) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    PairsOnADisk pairs(seed);
    pairs.BeginReading(0);
    pairs.ChangeSome();
    pairs.BeginReading(1);
    pairs.EndReading(0);
    pairs.ChangeSome();  // and moves the first change alone
    pairs.EndReading(1);
    // One of the syncs of the log and the database.
    uint64_t syncs_until = seed % 3;
    pairs.disk().OnSync([&] {
      if (syncs_until-- == 0) pairs.disk().FailSyncs(1);
    });
    pairs.ChangeSome();
    pairs.disk().OnSync(nullptr);
    pairs.disk().CrashAfter(1 + seed / 3);
    for (int i = 0; i < 5 && !pairs.disk().crashed(); ++i) pairs.ChangeSome();
    EXPECT_EQ(pairs.EqualPairsAfterAPowerCut(), 40) << seed;
  }
}

}  // namespace
}  // namespace buurtlog::sqlite
