// A data folder that was copied file by file while nurses worked on it, and several processes on
// one folder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/random.h"
#include "tests/end_to_end/running_system.h"
#include "tests/faults/care_load.h"
#include "tests/faults/log_audit.h"
#include "tests/faults/system_processes.h"

namespace buurtlog::faults {
namespace {

namespace fs = std::filesystem;
using end_to_end::Program;
using end_to_end::ProgramResult;

ProgramResult RunBuurtlog(const std::string& data_folder, std::vector<std::string> words) {
  words.insert(words.begin(), {Program("buurtlog"), "--data", data_folder});
  auto result = end_to_end::RunProgram(words, absl::Minutes(1));
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *result : ProgramResult();
}

// File by file, in an order drawn from the seed, as some tool may do it.
void CopyFileByFile(const std::string& from, const std::string& to, uint64_t seed) {
  std::vector<fs::path> files;
  for (const auto& file : fs::recursive_directory_iterator(from)) {
    if (file.is_regular_file()) files.push_back(fs::relative(file.path(), from));
  }
  SeededRandom random(seed);
  for (size_t i = files.size(); i > 1; --i) std::swap(files[i - 1], files[RandomBelow(random, i)]);
  for (const fs::path& file : files) {
    fs::create_directories((fs::path(to) / file).parent_path());
    std::error_code gone;  // a temporary file may be
    fs::copy_file(fs::path(from) / file, fs::path(to) / file, gone);
  }
}

class CopiedFolderTest : public ::testing::Test {
 protected:
  CopiedFolderTest() {
    fs::create_directory(system_.data_folder());
    system_.Launch(0);
    EXPECT_EQ(system_.AwaitServing(0), absl::OkStatus());
    load_.Reconnect();
    EXPECT_EQ(load_.Begin(), absl::OkStatus());
  }
  ~CopiedFolderTest() override { load_.Pause(); }

  void WorkUntil(size_t answered) {
    const absl::Time give_up = absl::Now() + absl::Seconds(30);
    load_.Resume();
    while (load_.answered() < answered && absl::Now() < give_up) {
      ASSERT_FALSE(system_.AwaitEnd(0, absl::Milliseconds(10)));
    }
  }

  const end_to_end::TemporaryFolder folder_;
  SystemProcesses system_{Shape::kServe, folder_.path() + "/data", folder_.path()};
  CareLoad load_{system_, 1, 4};
};

TEST_F(CopiedFolderTest, ACopyMadeUnderLoadIsAVerifiedPrefixOrIsRefused) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    WorkUntil(load_.answered() + 40);
    const std::string copy = absl::StrCat(folder_.path(), "/copy", seed);
    CopyFileByFile(system_.data_folder(), copy, seed);
    const ProgramResult verified = RunBuurtlog(copy, {"replay", "--verify"});
    EXPECT_TRUE(verified.exit_code == 0 || verified.exit_code == 6)
        << "copy " << seed << ": " << verified.exit_code << verified.out << verified.err;
    if (verified.exit_code != 0) {
      EXPECT_TRUE(absl::StrContains(verified.err, "DATA_LOSS")) << verified.err;
      continue;
    }
    // All that it holds stands at the same place in the whole.
    LogAudit of_copy(copy);
    ASSERT_EQ(of_copy.ReadOn(), absl::OkStatus());
    LogAudit whole(system_.data_folder());
    ASSERT_EQ(whole.ReadOn(), absl::OkStatus());
    for (const Done& done : load_.done()) {
      const LogAudit::Place* const place = of_copy.PlaceOf(done.wish->key);
      if (place == nullptr) continue;
      const LogAudit::Place* const original = whole.PlaceOf(done.wish->key);
      ASSERT_NE(original, nullptr);
      EXPECT_EQ(place->sequence, original->sequence);
    }
  }
}

TEST_F(CopiedFolderTest, ASecondProcessOnTheFolderIsRefusedWhateverItIs) {
  const std::string& data = system_.data_folder();
  const ProgramResult serve =
      RunBuurtlog(data, {"--address", "127.0.0.1:0", "serve", "--insecure-dev"});
  EXPECT_EQ(serve.exit_code, 3);
  EXPECT_TRUE(absl::StrContains(serve.err, "DATA_FOLDER_IN_USE")) << serve.err;
  for (const char* service : SystemProcesses::kServices) {
    const auto single = end_to_end::RunProgram(
        {Program(absl::StrCat("buurtlog-", service)), absl::StrCat("--data=", data),
         "--address=127.0.0.1:0", "--insecure_dev"},
        absl::Minutes(1));
    ASSERT_TRUE(single.ok()) << single.status();
    EXPECT_EQ(single->exit_code, 1);
    EXPECT_TRUE(absl::StrContains(single->err, "DATA_FOLDER_IN_USE")) << single->err;
  }
  const ProgramResult accept = RunBuurtlog(data, {"log", "accept-shortened", "--yes"});
  EXPECT_EQ(accept.exit_code, 3);
  EXPECT_TRUE(absl::StrContains(accept.err, "DATA_FOLDER_IN_USE")) << accept.err;
  const ProgramResult region = RunBuurtlog(data, {"region", "--teams", "1", "--years", "0.01"});
  EXPECT_NE(region.exit_code, 0);
  // The one that runs has not noticed.
  const size_t answered = load_.answered();
  WorkUntil(answered + 20);
  load_.Pause();
  EXPECT_GE(load_.answered(), answered + 20);
  EXPECT_THAT(load_.violations(), ::testing::IsEmpty());
  system_.Signal(0, SIGTERM);
  EXPECT_EQ(system_.Wait(0), 0);
  EXPECT_EQ(RunBuurtlog(data, {"replay", "--verify"}).exit_code, 0);
}

}  // namespace
}  // namespace buurtlog::faults
