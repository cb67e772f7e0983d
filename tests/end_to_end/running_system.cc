#include "tests/end_to_end/running_system.h"

#include <google/protobuf/util/time_util.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/files.h"
#include "libs/base/testing/patience.h"
#include "libs/kafka/testing/test_cluster.h"
#include "libs/rpc/testing/http_get.h"
#include "tools/buurtlog/sign_in.h"

namespace buurtlog::end_to_end {
namespace {

inline constexpr absl::Duration kStartMax = absl::Seconds(60);
const absl::Duration kCallMax = Patience(absl::Seconds(30));

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string pattern = absl::StrCat(::testing::TempDir(), "/buurtlog-XXXXXX");
  CHECK(mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string Program(const std::string& name) { return absl::StrCat(BUURTLOG_BIN_DIR, "/", name); }

int PortOf(const std::string& address) {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port)) << address;
  return port;
}

std::string FreeAddress() {
  // Below the ports that the kernel gives to callers: none of them takes it while nobody listens.
  constexpr uint16_t kFirst = 15'000;
  constexpr uint16_t kPorts = 17'000;
  while (true) {
    const auto port = static_cast<uint16_t>(kFirst + RandomBelow(SystemRandom(), kPorts));
    const int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(socket_fd >= 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const bool free = bind(socket_fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    close(socket_fd);
    if (free) return absl::StrCat("127.0.0.1:", port);
  }
}

std::string NewKey() { return NewUuid(SystemClock().Now(), SystemRandom()).ToString(); }

google::protobuf::Timestamp ProtoTime(absl::Time time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
}

std::vector<std::string> StoryLogWords(const std::string& data_folder) {
  if (!kafka::StoriesAreOnKafka()) return {};
  return {"--log",
          absl::StrCat("kafka:", kafka::TestBrokers()),
          "--region",
          absl::StrCat("s", std::hash<std::string>()(data_folder)),
          "--kafka_replication",
          absl::StrCat(kafka::NewTestRegion("").replication)};
}

RunningSystem::RunningSystem(std::string data_folder, std::vector<std::string> log_words)
    : data_folder_(std::move(data_folder)), log_words_(std::move(log_words)) {
  if (log_words_.empty()) log_words_ = StoryLogWords(data_folder_);
  Start();
}

RunningSystem::~RunningSystem() {
  if (process_.has_value()) {
    EXPECT_EQ(Stop(), 0);
  }
}

void RunningSystem::Start() {
  std::vector<std::string> words = {Program("buurtlog"), "--json",    "--data",
                                    data_folder_,        "--address", "127.0.0.1:0"};
  words.insert(words.end(), log_words_.begin(), log_words_.end());
  words.insert(words.end(), {"serve", "--insecure-dev", "--metrics_address", "127.0.0.1:0"});
  absl::StatusOr<ChildProcess> process = ChildProcess::Start(words);
  ASSERT_TRUE(process.ok()) << process.status();
  process_.emplace(*std::move(process));
  absl::StatusOr<std::string> line = process_->ReadLine(kStartMax);
  ASSERT_TRUE(line.ok()) << line.status();
  const nlohmann::json serving = nlohmann::json::parse(*line, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(serving.is_object()) << *line;
  address_ = serving.value("address", "");
  metrics_address_ = serving.value("metrics_address", "");
}

std::string RunningSystem::Metrics() const {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(metrics_address_.substr(metrics_address_.rfind(':') + 1), &port));
  return rpc::testing::HttpGet(port, "/metrics");
}

void RunningSystem::Kill() {
  process_->Signal(SIGKILL);
  process_->Wait();
  process_.reset();
}

int RunningSystem::Stop() {
  process_->Signal(SIGTERM);
  const int exit_code = process_->Wait();
  process_.reset();
  return exit_code;
}

Session RunningSystem::As(const std::string& person) const {
  absl::StatusOr<command::SignedIn> who = command::SignInAs(address_, person, kCallMax);
  EXPECT_TRUE(who.ok()) << who.status();
  return Session::At(address_, who.ok() ? who->token : "", kCallMax);
}

ProgramResult RunningSystem::Command(const std::vector<std::string>& words) const {
  std::vector<std::string> all = {Program("buurtlog"), "--data", data_folder_, "--session",
                                  absl::StrCat(data_folder_, "/session.json")};
  if (!address_.empty()) all.insert(all.end(), {"--address", address_});
  all.insert(all.end(), log_words_.begin(), log_words_.end());
  all.insert(all.end(), words.begin(), words.end());
  absl::StatusOr<ProgramResult> result = RunProgram(all, absl::Seconds(120));
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *result : ProgramResult();
}

std::vector<identity::Person> WritePeople(const std::string& data_folder,
                                          const std::vector<std::string>& nurse_names,
                                          const Uuid& team_id) {
  const auto new_id = [] { return NewUuid(SystemClock().Now(), SystemRandom()); };
  const Uuid organisation = new_id();
  std::vector<identity::Person> people;
  for (const std::string& name : nurse_names) {
    people.push_back({new_id(), name, access::v1::ROLE_NURSE, team_id, "Molenwijk", organisation});
  }
  people.push_back({new_id(), "operator", access::v1::ROLE_OPERATOR, Uuid(), "", Uuid()});
  people.push_back(
      {new_id(), "back office", access::v1::ROLE_BACK_OFFICE, Uuid(), "", organisation});
  people.push_back({new_id(), "coach", access::v1::ROLE_COACH, Uuid(), "", organisation});
  people.push_back({new_id(), "follower", access::v1::ROLE_SERVICE, Uuid(), "", Uuid()});
  CHECK(SystemFiles().MakeFolder(data_folder).ok());
  CHECK(identity::SavePeople(data_folder, people, SystemFiles()).ok());
  return people;
}

}  // namespace buurtlog::end_to_end
