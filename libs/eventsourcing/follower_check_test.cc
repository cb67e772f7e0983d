#include "libs/eventsourcing/follower_check.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "libs/base/files.h"
#include "libs/base/ids.h"
#include "libs/eventsourcing/follower_file.h"

namespace buurtlog::eventsourcing {
namespace {

TEST(FollowerCheckTest, LookingChangesNothingOfAFileThatAKilledProcessLeft) {
  const std::string folder =
      absl::StrCat(::testing::TempDir(), "/follower-",
                   IdGenerator(SystemClock(), SystemRandom()).New().ToString());
  std::filesystem::create_directories(folder + "/read_models");
  const std::string path = folder + "/read_models/tally-1.db";
  {
    auto file = OpenForWriting(SystemFiles(), path + ".live");
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE(file->Execute("CREATE TABLE t(k); INSERT INTO t VALUES(1)").ok());
    for (const char* part : {"", "-wal"}) {
      std::filesystem::copy(absl::StrCat(path, ".live", part), absl::StrCat(path, part));
    }
  }
  const std::string main_file = SystemFiles().Read(path).value();
  const std::string wal = SystemFiles().Read(path + "-wal").value();
  ASSERT_GT(wal.size(), 4096u);
  const auto ahead = FollowersAhead(folder, "visits", {});
  ASSERT_TRUE(ahead.ok()) << ahead.status();
  EXPECT_TRUE(ahead->empty()) << ahead->front().reason;
  EXPECT_EQ(SystemFiles().Read(path).value_or(""), main_file);
  EXPECT_EQ(SystemFiles().Read(path + "-wal").value_or(""), wal);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace buurtlog::eventsourcing
