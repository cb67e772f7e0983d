// tools/kafka/broker, which other tests rely on: real nodes of Apache Kafka, started, killed and
// paused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/testing/patience.h"
#include "tests/end_to_end/child_process.h"

namespace buurtlog::tests {
namespace {

namespace fs = std::filesystem;
using end_to_end::ChildProcess;
using end_to_end::ProgramResult;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr int kWrongWords = 2;
constexpr int kTookTooLong = 124;  // says timeout(1)

std::string Tool(const std::string& name) {
  return absl::StrCat(BUURTLOG_SOURCE_DIR, "/tools/kafka/", name);
}

ProgramResult RunToEnd(const std::vector<std::string>& words) {
  auto result = end_to_end::RunProgram(words, absl::Minutes(4));
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *result : ProgramResult();
}

// A cluster in a folder of its own; nothing is left of it.
class BrokerToolTest : public ::testing::Test {
 protected:
  ~BrokerToolTest() override {
    if (fs::exists(folder_ / "cluster")) Broker({"kill"});
    fs::remove_all(folder_);
  }

  ProgramResult Broker(std::vector<std::string> words) const {
    words.insert(words.begin(), {Tool("broker"), "--folder", folder_.string()});
    return RunToEnd(words);
  }

  // The bootstrap addresses.
  std::vector<std::string> Start(const std::vector<std::string>& options = {}) const {
    std::vector<std::string> words = {"start", "--with-pid", absl::StrCat(getpid())};
    words.insert(words.end(), options.begin(), options.end());
    const ProgramResult result = Broker(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return absl::StrSplit(absl::StripAsciiWhitespace(result.out), ',');
  }

  // `running`, `paused` or `stopped`.
  std::string StateOf(int node) const {
    const std::string status = Broker({"status", absl::StrCat(node)}).out;
    const std::vector<std::string> lines = absl::StrSplit(status, '\n');
    if (lines.size() < 2) return status;
    const std::vector<std::string> words = absl::StrSplit(lines[1], ' ', absl::SkipEmpty());
    return words.size() < 2 ? status : words[1];
  }

  // Who is in the cluster, asked of the broker at an address.
  static ProgramResult Describe(const std::string& address, const std::string& seconds) {
    const std::string port = address.substr(address.find(':') + 1);
    return RunToEnd({"timeout", seconds, Tool("describe"), port, "brokers"});
  }

  void CreateTopicDay() const {
    const ProgramResult created = Broker({"topics", "--create", "--topic", "day"});
    EXPECT_EQ(created.exit_code, 0) << created.out << created.err;
  }
  // What the cluster says once every broker knows of the topics that were made.
  std::string Topics() const {
    const absl::Time give_up = absl::Now() + Patience(absl::Seconds(20));
    std::string topics;
    do {
      topics = Broker({"topics", "--list"}).out;
    } while (topics.size() <= 1 && absl::Now() < give_up);
    return topics;
  }

  const fs::path folder_ =
      fs::path(::testing::TempDir()) /
      absl::StrCat("broker-", getpid(), "-",
                   ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(BrokerToolTest, ATopicIsThereAfterABrokerWasKilled) {
  const std::vector<std::string> addresses = Start({"--port", "0"});
  EXPECT_THAT(addresses, SizeIs(1));
  CreateTopicDay();

  EXPECT_EQ(Broker({"kill"}).exit_code, 0);
  EXPECT_EQ(StateOf(1), "stopped");
  EXPECT_EQ(Start(), addresses);
  EXPECT_EQ(StateOf(1), "running");
  EXPECT_EQ(Topics(), "day\n");

  EXPECT_EQ(Broker({"stop"}).exit_code, 0);
  EXPECT_EQ(StateOf(1), "stopped");
  EXPECT_EQ(Broker({"stop"}).exit_code, 0) << "what is so already is left so";
}

TEST_F(BrokerToolTest, APausedBrokerIsSilentUntilItGoesOn) {
  const std::vector<std::string> addresses = Start({"--port", "0"});
  EXPECT_EQ(Broker({"pause"}).exit_code, 0);
  EXPECT_EQ(StateOf(1), "paused");
  EXPECT_EQ(Describe(addresses[0], "1").exit_code, kTookTooLong);

  EXPECT_EQ(Broker({"resume"}).exit_code, 0);
  EXPECT_EQ(StateOf(1), "running");
  EXPECT_EQ(Describe(addresses[0], "60").exit_code, 0);
}

TEST_F(BrokerToolTest, ThreeBrokersAnswerWhenOneWasKilled) {
  const std::vector<std::string> addresses = Start({"--brokers", "3", "--port", "0"});
  ASSERT_THAT(addresses, SizeIs(3));
  EXPECT_THAT(Describe(addresses[2], "60").out, EndsWith(" 1 2 3\n"));
  CreateTopicDay();

  EXPECT_EQ(Broker({"kill", "2"}).exit_code, 0);
  EXPECT_EQ(StateOf(1), "running");
  EXPECT_EQ(StateOf(2), "stopped");
  EXPECT_EQ(StateOf(3), "running");
  EXPECT_EQ(Topics(), "day\n");

  EXPECT_EQ(Start({"2"}), addresses);
  EXPECT_THAT(Describe(addresses[1], "60").out, EndsWith(" 1 2 3\n"));
}

TEST_F(BrokerToolTest, APidFileThatNamesAnotherProcessIsNotBelieved) {
  Start({"--port", "0"});
  EXPECT_EQ(Broker({"kill"}).exit_code, 0);
  // This process: it would not live to say that it was killed.
  std::ofstream(folder_ / "node-1" / "pid") << getpid() << "\n";
  EXPECT_EQ(StateOf(1), "stopped");
  EXPECT_EQ(Broker({"kill"}).exit_code, 0);
  EXPECT_EQ(Broker({"pause"}).exit_code, 1);
  Start();
  EXPECT_EQ(StateOf(1), "running");
}

TEST_F(BrokerToolTest, AClusterIsGoneWhenItsOwnerIs) {
  auto owner = ChildProcess::Start({"sh", "-c", "echo $$; exec sleep 600"});
  ASSERT_TRUE(owner.ok()) << owner.status();
  const auto pid = owner->ReadLine(absl::Minutes(1));
  ASSERT_TRUE(pid.ok()) << pid.status();
  const ProgramResult started = Broker({"start", "--port", "0", "--with-pid", *pid});
  EXPECT_EQ(started.exit_code, 0) << started.err;
  EXPECT_EQ(StateOf(1), "running");

  owner->Signal(SIGKILL);
  owner->Wait();
  const absl::Time deadline = absl::Now() + Patience(absl::Seconds(30));
  std::string state;
  do {
    state = StateOf(1);
  } while (state != "stopped" && absl::Now() < deadline);
  EXPECT_EQ(state, "stopped");
}

TEST_F(BrokerToolTest, AStartThatFailsShowsTheEndOfTheLog) {
  const ProgramResult failed = Broker({"start", "--port", "0", "--java", "-XX:+NoSuchOption"});
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_EQ(failed.out, "");
  EXPECT_THAT(failed.err, HasSubstr("NoSuchOption"));
  EXPECT_THAT(failed.err, HasSubstr("node-1/node.log"));
  EXPECT_EQ(StateOf(1), "stopped");
}

TEST_F(BrokerToolTest, WrongWordsAreRefused) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"begin"},
      {"start", "stop"},
      {"start", "4"},
      {"start", "--brokers", "2"},
      {"start", "--port", "first"},
      {"start", "--port", "70000"},
      {"start", "--with-pid"},
      {"start", "--fast"},
      {"stop", "--port", "0"},
      {"address", "1"},
  };
  for (const std::vector<std::string>& words : wrong) {
    const ProgramResult result = Broker(words);
    EXPECT_EQ(result.exit_code, kWrongWords) << ::testing::PrintToString(words);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr("tools/kafka/broker")) << ::testing::PrintToString(words);
  }
  EXPECT_FALSE(fs::exists(folder_));
  EXPECT_EQ(Broker({"status"}).exit_code, 1) << "there is no cluster";
  EXPECT_EQ(Broker({"--help"}).exit_code, 0);
}

}  // namespace
}  // namespace buurtlog::tests
