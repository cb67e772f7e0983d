// The one command of the README for a region on three brokers (tools/kafka/region).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/end_to_end/running_system.h"

namespace buurtlog::end_to_end {
namespace {

using ::testing::HasSubstr;

class RegionToolTest : public ::testing::Test {
 protected:
  ~RegionToolTest() override { Region("stop"); }

  ProgramResult Region(const std::string& command) const {
    const auto result = RunProgram({absl::StrCat(BUURTLOG_SOURCE_DIR, "/tools/kafka/region"),
                                    command, "--folder", folder_.path() + "/region", "--port",
                                    absl::StrCat(port_), "--binary", Program("buurtlog")},
                                   absl::Seconds(200));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(ProgramResult());
  }
  ProgramResult Broker(const std::vector<std::string>& words) const {
    std::vector<std::string> all = {absl::StrCat(BUURTLOG_SOURCE_DIR, "/tools/kafka/broker")};
    all.insert(all.end(), words.begin(), words.end());
    all.insert(all.end(), {"--folder", folder_.path() + "/region/kafka"});
    return RunProgram(all, absl::Seconds(120)).value_or(ProgramResult());
  }
  // As the command's last words say.
  std::vector<std::string> Buurtlog(const std::vector<std::string>& words) const {
    std::string addresses = "ipv4:";
    for (int i = 0; i < 3; ++i) {
      absl::StrAppend(&addresses, i > 0 ? "," : "", "127.0.0.1:", port_ + 2 * i);
    }
    std::string brokers = Broker({"address"}).out;
    brokers.pop_back();
    std::vector<std::string> all = {Program("buurtlog"),
                                    "--data",
                                    folder_.path() + "/region/replica-1",
                                    "--session",
                                    folder_.path() + "/session.json",
                                    "--address",
                                    addresses,
                                    "--log",
                                    absl::StrCat("kafka:", brokers),
                                    "--region",
                                    "trial",
                                    "--timeout",
                                    "60"};
    all.insert(all.end(), words.begin(), words.end());
    return all;
  }

  const TemporaryFolder folder_;
  const int port_ = PortOf(FreeAddress());
};

TEST_F(RegionToolTest, ABrokerIsKilledWhileAMorningPlays) {
  const ProgramResult started = Region("start");
  ASSERT_EQ(started.exit_code, 0) << started.out << started.err;
  EXPECT_THAT(started.out, HasSubstr("buurtlog play morning"));

  absl::StatusOr<ChildProcess> morning = ChildProcess::Start(Buurtlog({"play", "morning"}));
  ASSERT_TRUE(morning.ok()) << morning.status();
  EXPECT_EQ(Broker({"kill", "2"}).exit_code, 0);
  EXPECT_EQ(morning->Wait(), 0);
  const auto verified = RunProgram(Buurtlog({"replay", "--verify"}), absl::Seconds(120));
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->exit_code, 0) << verified->out << verified->err;

  // What is gone comes back.
  EXPECT_EQ(Region("start").exit_code, 0);
  EXPECT_THAT(Broker({"status"}).out, ::testing::Not(HasSubstr("stopped")));
  EXPECT_EQ(Region("stop").exit_code, 0);
}

}  // namespace
}  // namespace buurtlog::end_to_end
