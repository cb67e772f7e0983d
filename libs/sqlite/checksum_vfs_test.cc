#include "libs/sqlite/checksum_vfs.h"

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

constexpr int kRows = 300;

class ChecksumVfsTest : public ::testing::Test {
 protected:
  ChecksumVfsTest() {
    folder_ = absl::StrCat(::testing::TempDir(), "checksum-",
                           IdGenerator(SystemClock(), SystemRandom()).New().ToString());
    std::filesystem::create_directory(folder_);
    path_ = folder_ + "/test.db";
    Connection file = Open().value();
    EXPECT_TRUE(
        file.Execute("PRAGMA journal_mode=WAL; CREATE TABLE t (k INTEGER PRIMARY KEY, v)").ok());
    for (int64_t key = 1; key <= kRows; ++key) {
      Statement& insert = file.Cached("INSERT INTO t VALUES (?, ?)");
      EXPECT_TRUE(insert.Bind(1, key).Bind(2, std::string_view(std::string(100, 'v'))).Run().ok());
    }
  }  // closing moves everything into the database
  ~ChecksumVfsTest() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<Connection> Open() {
    OpenOptions options;
    options.page_checksums = true;
    return Connection::Open(path_, options);
  }
  // Reads every value; how many there were.
  absl::StatusOr<int> ReadAll() {
    auto file = Open();
    if (!file.ok()) return file.status();
    auto select = file->Prepare("SELECT v FROM t ORDER BY k");
    if (!select.ok()) return select.status();
    int rows = 0;
    while (true) {
      auto row = select->Step();
      if (!row.ok()) return row.status();
      if (!*row) return rows;
      EXPECT_EQ(select->Text(0), std::string(100, 'v'));
      ++rows;
    }
  }
  std::string Load() {
    std::ifstream in(path_, std::ios::binary);
    std::stringstream bytes;
    bytes << in.rdbuf();
    return bytes.str();
  }
  void Save(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }

  std::string folder_;
  std::string path_;
};

TEST_F(ChecksumVfsTest, WhatWasWrittenIsReadAgain) {
  EXPECT_EQ(ReadAll().value(), kRows);
  EXPECT_EQ(Load()[20], kPageChecksumBytes);
}

TEST_F(ChecksumVfsTest, AFlippedByteIsNeverBelieved) {
  const std::string whole = Load();
  ASSERT_GT(whole.size(), 8u * 4096);
  // Every page, at a few places: its head, its middle, its checksum.
  for (size_t page = 0; page < whole.size(); page += 4096) {
    for (const size_t at : {size_t{0}, size_t{30}, size_t{2'001}, size_t{4'090}, size_t{4'095}}) {
      std::string bytes = whole;
      bytes[page + at] ^= 0x10;
      Save(bytes);
      const absl::StatusOr<int> rows = ReadAll();
      EXPECT_TRUE(absl::IsDataLoss(rows.status())) << "byte " << page + at << ": " << rows.status();
    }
  }
}

TEST_F(ChecksumVfsTest, AFileThatWasCutIsNotBelieved) {
  const std::string whole = Load();
  for (const size_t size : {whole.size() - 1, whole.size() - 4096, whole.size() / 2}) {
    Save(whole.substr(0, size));
    EXPECT_TRUE(absl::IsDataLoss(ReadAll().status())) << size;
  }
}

TEST_F(ChecksumVfsTest, APageInThePlaceOfAnotherIsNotBelieved) {
  std::string bytes = Load();
  bytes.replace(4 * 4096, 4096, bytes.substr(5 * 4096, 4096));
  Save(bytes);
  EXPECT_TRUE(absl::IsDataLoss(ReadAll().status()));
}

TEST_F(ChecksumVfsTest, AFileThatWasMadeWithoutChecksumsIsNotTaken) {
  std::filesystem::remove(path_);
  {
    Connection plain = Connection::Open(path_).value();
    ASSERT_TRUE(plain.Execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v)").ok());
  }
  EXPECT_TRUE(absl::IsDataLoss(ReadAll().status()));
}

TEST_F(ChecksumVfsTest, ProgramsWithoutItMayReadTheFile) {
  Connection plain = Connection::Open(path_).value();
  Statement& count = plain.Cached("SELECT count(*) FROM t");
  ASSERT_TRUE(count.Step().value());
  EXPECT_EQ(count.Int(0), kRows);
}

}  // namespace
}  // namespace buurtlog::sqlite
