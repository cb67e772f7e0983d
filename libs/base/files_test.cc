#include "libs/base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/ids.h"
#include "libs/base/refusal.h"

namespace buurtlog {
namespace {

using ::testing::ElementsAre;

class FilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(::testing::TempDir(), "files-",
                           NewUuid(absl::Now(), SystemRandom()).ToString());
    ASSERT_TRUE(files_.MakeFolder(folder_).ok());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) { return folder_ + "/" + name; }

  Files& files_ = SystemFiles();
  std::string folder_;
};

TEST_F(FilesTest, WhatIsWrittenIsReadBack) {
  const std::string bytes(300000, 'x');
  ASSERT_TRUE(files_.WriteAtomically(Path("a"), bytes).ok());
  EXPECT_EQ(files_.Read(Path("a")).value(), bytes);
  ASSERT_TRUE(files_.WriteAtomically(Path("a"), "short").ok());
  EXPECT_EQ(files_.Read(Path("a")).value(), "short");
  ASSERT_TRUE(files_.WriteAtomically(Path("a"), "").ok());
  EXPECT_EQ(files_.Read(Path("a")).value(), "");
}

TEST_F(FilesTest, OnlyTheOwnerMayReadWhatIsWritten) {
  ASSERT_TRUE(files_.WriteAtomically(Path("key"), "secret").ok());
  struct stat found {};
  ASSERT_EQ(stat(Path("key").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
}

TEST_F(FilesTest, NoTemporaryFileStaysBehind) {
  ASSERT_TRUE(files_.WriteAtomically(Path("a"), "1").ok());
  EXPECT_THAT(files_.List(folder_).value(), ElementsAre("a"));
}

TEST_F(FilesTest, AFailedWriteLeavesNothingBehind) {
  ASSERT_TRUE(files_.MakeFolder(Path("a")).ok());
  ASSERT_TRUE(files_.WriteAtomically(Path("a/b"), "1").ok());
  EXPECT_FALSE(files_.WriteAtomically(Path("a"), "no file can take the place of a folder").ok());
  EXPECT_THAT(files_.List(folder_).value(), ElementsAre("a"));
}

TEST_F(FilesTest, WritersOfOnePathLeaveTheBytesOfOneOfThem) {
  std::vector<std::thread> writers;
  for (char c : {'a', 'b', 'c'}) {
    writers.emplace_back(
        [this, c] { EXPECT_TRUE(files_.WriteAtomically(Path("f"), std::string(10000, c)).ok()); });
  }
  for (std::thread& writer : writers) writer.join();
  const std::string bytes = files_.Read(Path("f")).value();
  EXPECT_EQ(bytes, std::string(10000, bytes.at(0)));
}

TEST_F(FilesTest, OfThoseWhoWriteOnceTheFirstWins) {
  constexpr int kWriters = 8;
  std::vector<absl::Status> ends(kWriters);
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back([&, i] {
      ends[static_cast<size_t>(i)] = files_.WriteOnce(Path("key"), absl::StrCat("of ", i));
    });
  }
  for (std::thread& writer : writers) writer.join();
  int won = -1;
  for (int i = 0; i < kWriters; ++i) {
    const absl::Status& end = ends[static_cast<size_t>(i)];
    if (end.ok()) {
      EXPECT_EQ(won, -1);
      won = i;
    } else {
      EXPECT_TRUE(absl::IsAlreadyExists(end)) << end;
    }
  }
  ASSERT_NE(won, -1);
  EXPECT_EQ(files_.Read(Path("key")).value(), absl::StrCat("of ", won));
  EXPECT_THAT(files_.List(folder_).value(), ElementsAre("key"));
}

TEST_F(FilesTest, WhatIsMissingIsNotFound) {
  EXPECT_EQ(files_.Read(Path("none")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(files_.List(Path("none")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(files_.Remove(Path("none")).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(files_.Rename(Path("none"), Path("a")).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(files_.Identify(Path("none")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(files_.WriteAtomically(Path("none/a"), "1").code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(files_.Exists(Path("none")));
}

TEST_F(FilesTest, ARemovedFileIsGone) {
  ASSERT_TRUE(files_.WriteAtomically(Path("a"), "1").ok());
  ASSERT_TRUE(files_.Remove(Path("a")).ok());
  EXPECT_FALSE(files_.Exists(Path("a")));
}

TEST_F(FilesTest, AFileThatTakesThePlaceOfAnotherIsAnotherFile) {
  ASSERT_TRUE(files_.WriteAtomically(Path("old"), "1").ok());
  ASSERT_TRUE(files_.WriteAtomically(Path("new"), "2").ok());
  const absl::StatusOr<FileId> old = files_.Identify(Path("old"));
  const absl::StatusOr<FileId> young = files_.Identify(Path("new"));
  ASSERT_TRUE(old.ok() && young.ok());
  EXPECT_NE(*old, *young);
  ASSERT_TRUE(files_.Rename(Path("new"), Path("old")).ok());
  EXPECT_EQ(files_.Identify(Path("old")).value_or(FileId()), *young);
  EXPECT_EQ(files_.Read(Path("old")).value_or(""), "2");
  EXPECT_FALSE(files_.Exists(Path("new")));
}

TEST_F(FilesTest, AFolderIsMadeWithItsParentsAndMayExist) {
  EXPECT_TRUE(files_.MakeFolder(Path("a/b/c")).ok());
  EXPECT_TRUE(files_.MakeFolder(Path("a/b/c")).ok());
  ASSERT_TRUE(files_.WriteAtomically(Path("file"), "").ok());
  EXPECT_FALSE(files_.MakeFolder(Path("file")).ok());
  EXPECT_THAT(files_.List(folder_).value(), ElementsAre("a", "file"));
}

TEST_F(FilesTest, ALockHasOneHolderUntilItIsLetGo) {
  absl::StatusOr<std::unique_ptr<FileLock>> first = files_.Lock(Path("lock"));
  ASSERT_TRUE(first.ok());
  const absl::Status second = files_.Lock(Path("lock")).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatusReason(second), "DATA_FOLDER_IN_USE");
  first->reset();
  EXPECT_TRUE(files_.Lock(Path("lock")).ok());
}

}  // namespace
}  // namespace buurtlog
