#include "libs/sqlite/wal_check.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "libs/base/ids.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::sqlite {
namespace {

constexpr size_t kFrameBytes = 24 + 4096;

// A WAL with a few commits, as a killed process leaves it.
std::string MakeWal(int64_t commits, bool begun_anew) {
  const std::string folder = absl::StrCat(
      ::testing::TempDir(), "wal-", IdGenerator(SystemClock(), SystemRandom()).New().ToString());
  std::filesystem::create_directory(folder);
  Connection file = Connection::Open(folder + "/test.db").value();
  EXPECT_TRUE(file.Execute("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"
                           "CREATE TABLE t (k INTEGER PRIMARY KEY, v)")
                  .ok());
  const auto insert = [&](int64_t key) {
    EXPECT_TRUE(file.Cached("INSERT INTO t VALUES (?, NULL)").Bind(1, key).Run().ok());
  };
  for (int64_t key = 1; key <= commits; ++key) insert(key);
  if (begun_anew) {
    EXPECT_TRUE(file.Execute("PRAGMA wal_checkpoint(RESTART)").ok());
    for (int64_t key = 1; key <= commits / 2; ++key) insert(1'000 + key);
  }
  std::ifstream in(folder + "/test.db-wal", std::ios::binary);
  std::stringstream bytes;
  bytes << in.rdbuf();
  std::filesystem::remove_all(folder);
  return bytes.str();
}

TEST(WalCheckTest, AWholeOneIsIntact) {
  const std::string wal = MakeWal(10, false);
  ASSERT_GE(wal.size(), 32 + 10 * kFrameBytes);
  EXPECT_EQ(CheckWal(wal), absl::OkStatus());
  EXPECT_EQ(CheckWal(MakeWal(10, true)), absl::OkStatus());
  EXPECT_EQ(CheckWal(""), absl::OkStatus());
}

TEST(WalCheckTest, OneThatLostItsEndLooksLikeACrash) {
  const std::string wal = MakeWal(10, false);
  for (const size_t lost :
       {size_t{1}, size_t{24}, size_t{4'100}, 3 * kFrameBytes, wal.size() - 40}) {
    EXPECT_EQ(CheckWal(std::string_view(wal).substr(0, wal.size() - lost)), absl::OkStatus())
        << lost;
  }
}

TEST(WalCheckTest, AFlippedByteIsFoundWhereverItIs) {
  const std::string wal = MakeWal(6, false);
  for (size_t at = 0; at < wal.size(); at += at < 32 + 24 ? 1 : 97) {
    std::string damaged = wal;
    damaged[at] ^= 4;
    EXPECT_TRUE(absl::IsDataLoss(CheckWal(damaged))) << "byte " << at;
  }
}

TEST(WalCheckTest, WhatStandsBehindFromBeforeItBeganAnewIsNoDamage) {
  const std::string wal = MakeWal(20, true);
  // Half of it is of now; the frame behind is of before.
  std::string damaged = wal;
  damaged[32 + 19 * kFrameBytes + 100] ^= 1;
  EXPECT_EQ(CheckWal(damaged), absl::OkStatus());
  damaged = wal;
  damaged[32 + 2 * kFrameBytes + 100] ^= 1;
  EXPECT_TRUE(absl::IsDataLoss(CheckWal(damaged)));
}

// As far as its pages have come into the WAL; `end` ends it.
std::string WalOfALargeTransaction(const char* end) {
  const std::string folder = absl::StrCat(
      ::testing::TempDir(), "wal-", IdGenerator(SystemClock(), SystemRandom()).New().ToString());
  std::filesystem::create_directory(folder);
  Connection file = Connection::Open(folder + "/test.db").value();
  EXPECT_TRUE(file.Execute("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"
                           "PRAGMA cache_size=10; CREATE TABLE t (k INTEGER PRIMARY KEY, v);"
                           "BEGIN")
                  .ok());
  for (int64_t key = 0; key < 3'000; ++key) {
    // Back and forth, so that pages that have come into the WAL are written there again.
    EXPECT_TRUE(file.Cached("INSERT INTO t VALUES (?, zeroblob(200))")
                    .Bind(1, (key % 30) * 100 + key / 30)
                    .Run()
                    .ok());
  }
  EXPECT_TRUE(file.Execute(end).ok());
  std::ifstream in(folder + "/test.db-wal", std::ios::binary);
  std::stringstream bytes;
  bytes << in.rdbuf();
  std::filesystem::remove_all(folder);
  return bytes.str();
}

TEST(WalCheckTest, ATransactionLargerThanTheCacheThatDidNotEndIsNoDamage) {
  for (const char* end : {"SELECT 1", "ROLLBACK", "ROLLBACK; INSERT INTO t VALUES (1, NULL)"}) {
    const std::string wal = WalOfALargeTransaction(end);
    ASSERT_GT(wal.size(), 32 + 20 * kFrameBytes) << end;
    EXPECT_EQ(CheckWal(wal), absl::OkStatus()) << end;
  }
  std::string damaged = WalOfALargeTransaction("COMMIT");
  EXPECT_EQ(CheckWal(damaged), absl::OkStatus());
  damaged[32 + 7 * kFrameBytes + 100] ^= 1;
  EXPECT_TRUE(absl::IsDataLoss(CheckWal(damaged)));
}

}  // namespace
}  // namespace buurtlog::sqlite
