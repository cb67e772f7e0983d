// A log that lost its end: who notices, and how an operator accepts it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/end_to_end/running_system.h"
#include "tests/faults/care_load.h"
#include "tests/faults/system_processes.h"

namespace buurtlog::faults {
namespace {

namespace fs = std::filesystem;
using end_to_end::Program;
using end_to_end::ProgramResult;

// A folder whose visits' log is of yesterday, and all else of today.
class ShortenedLogTest : public ::testing::Test {
 protected:
  ShortenedLogTest() {
    fs::create_directory(system_.data_folder());
    Start();
    EXPECT_EQ(load_.Begin(), absl::OkStatus());
    Work(30);
    Stop();
    fs::copy(LogFolder(), yesterday_, fs::copy_options::recursive);
    Start();
    Work(30);
    Stop();
    fs::remove_all(LogFolder());
    fs::copy(yesterday_, LogFolder(), fs::copy_options::recursive);
  }

  std::string LogFolder() const { return system_.data_folder() + "/visits/log"; }
  void Start() {
    system_.Launch(0);
    ASSERT_EQ(system_.AwaitServing(0), absl::OkStatus()) << system_.TakeLogLines();
    load_.Reconnect();
  }
  void Stop() {
    load_.Pause();
    system_.Signal(0, SIGTERM);
    EXPECT_EQ(system_.Wait(0), 0);
  }
  void Work(size_t more) {
    const size_t wanted = load_.answered() + more;
    const absl::Time give_up = absl::Now() + absl::Seconds(30);
    load_.Resume();
    while (load_.answered() < wanted && absl::Now() < give_up) {
      system_.AwaitEnd(0, absl::Milliseconds(10));
    }
    load_.Pause();
  }
  ProgramResult Run(std::vector<std::string> words) const {
    words.insert(words.begin(), {Program("buurtlog"), "--data", system_.data_folder()});
    auto result = end_to_end::RunProgram(words, absl::Minutes(1));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : ProgramResult();
  }
  ProgramResult Serve() const {
    return Run({"--address", "127.0.0.1:0", "serve", "--insecure-dev"});
  }

  const end_to_end::TemporaryFolder folder_;
  const std::string yesterday_ = folder_.path() + "/yesterday";
  SystemProcesses system_{Shape::kServe, folder_.path() + "/data", folder_.path()};
  CareLoad load_{system_, 1, 2};
};

TEST_F(ShortenedLogTest, TheStateStoreKnowsThatTheLogWentFurther) {
  const ProgramResult refused = Serve();
  EXPECT_EQ(refused.exit_code, 6) << refused.err;
  EXPECT_TRUE(absl::StrContains(refused.err, "missing; the log was known to go to")) << refused.err;
  EXPECT_TRUE(absl::StrContains(refused.err, "accept-shortened")) << refused.err;
  EXPECT_EQ(Run({"replay", "--verify"}).exit_code, 6);
}

TEST_F(ShortenedLogTest, AnOperatorLooksAtTheLossAndAcceptsIt) {
  const ProgramResult looked = Run({"log", "accept-shortened"});
  EXPECT_EQ(looked.exit_code, 0) << looked.err;
  EXPECT_TRUE(absl::StrContains(looked.out, "visits/state.db would be folded anew")) << looked.out;
  EXPECT_TRUE(absl::StrContains(looked.out, "nothing was changed")) << looked.out;
  EXPECT_EQ(Serve().exit_code, 6);

  const ProgramResult accepted = Run({"log", "accept-shortened", "--yes"});
  EXPECT_EQ(accepted.exit_code, 0) << accepted.err;
  EXPECT_TRUE(absl::StrContains(accepted.out, "visits/state.db is folded anew")) << accepted.out;
  EXPECT_TRUE(absl::StrContains(accepted.out, "read_models")) << accepted.out;
  EXPECT_TRUE(absl::StrContains(Run({"log", "accept-shortened"}).out, "nothing is missing"));

  // Visits that were lost are unknown now; new ones are recorded.
  Start();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(load_.OneMore(absl::Seconds(30)), absl::OkStatus());
  Stop();
  const ProgramResult verified = Run({"replay", "--verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
}

TEST_F(ShortenedLogTest, ALogWithoutItsHeadFileDoesNotOpenUntilItIsAccepted) {
  fs::remove(LogFolder() + "/heads");
  const ProgramResult refused = Serve();
  EXPECT_EQ(refused.exit_code, 6);
  EXPECT_TRUE(absl::StrContains(refused.err, "heads is missing")) << refused.err;
  EXPECT_EQ(Run({"log", "accept-shortened", "--yes"}).exit_code, 0);
  Start();
  Stop();
}

TEST_F(ShortenedLogTest, ALogThatLostItsJournalOpensOnceItIsAccepted) {
  fs::remove(LogFolder() + "/journal-0");
  EXPECT_EQ(Serve().exit_code, 6);
  const ProgramResult looked = Run({"log", "accept-shortened"});
  EXPECT_TRUE(absl::StrContains(looked.out, "journal-0 is missing")) << looked.out;
  EXPECT_EQ(Run({"log", "accept-shortened", "--yes"}).exit_code, 0);
  Start();
  Stop();
}

TEST_F(ShortenedLogTest, AServiceWhoseLogIsGoneDoesNotBeginAnotherOne) {
  fs::remove_all(LogFolder());
  const ProgramResult refused = Serve();
  EXPECT_EQ(refused.exit_code, 6);
  EXPECT_TRUE(absl::StrContains(refused.err, "identity is missing")) << refused.err;
}

}  // namespace
}  // namespace buurtlog::faults
