#include "tests/faults/kafka_cluster.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"

namespace buurtlog::faults {
namespace {

constexpr absl::Duration kBrokerMax = absl::Seconds(180);

std::string BrokerTool() { return absl::StrCat(BUURTLOG_SOURCE_DIR, "/tools/kafka/broker"); }

}  // namespace

KafkaCluster::KafkaCluster(std::string folder, int brokers, size_t doors)
    : folder_(std::move(folder)), brokers_(brokers), doors_(doors), behind_(doors) {
  std::filesystem::create_directories(folder_);
}

KafkaCluster::~KafkaCluster() { Run({"kill"}).IgnoreError(); }

absl::StatusOr<std::string> KafkaCluster::Run(std::vector<std::string> words) const {
  words.insert(words.begin(), BrokerTool());
  words.insert(words.end(), {"--folder", folder_ + "/cluster"});
  ABSL_ASSIGN_OR_RETURN(const end_to_end::ProgramResult result,
                        end_to_end::RunProgram(words, kBrokerMax));
  if (result.exit_code != 0) return absl::InternalError(result.err);
  return std::string(absl::StripAsciiWhitespace(result.out));
}

absl::Status KafkaCluster::Start() {
  ABSL_ASSIGN_OR_RETURN(direct_,
                        Run({"start", "--brokers", absl::StrCat(brokers_), "--port", "0", "--doors",
                             absl::StrCat(doors_), "--with-pid", absl::StrCat(getpid())}));
  ABSL_ASSIGN_OR_RETURN(const std::string doors, Run({"doors"}));
  std::istringstream lines(doors);
  size_t door = 0;
  std::string node;
  std::string port;
  std::string client_port;
  while (lines >> door >> node >> port >> client_port) {
    std::string& behind = behind_[door - 1];
    absl::StrAppend(&behind, behind.empty() ? "" : ",", "127.0.0.1:", client_port);
  }
  const std::string file = folder_ + "/doors";
  std::ofstream(file) << doors << '\n';
  const std::string pipe = folder_ + "/network";
  if (mkfifo(pipe.c_str(), 0600) != 0) return absl::InternalError("no pipe");
  ABSL_ASSIGN_OR_RETURN(
      proxy_, end_to_end::ChildProcess::Start(
                  {absl::StrCat(BUURTLOG_SOURCE_DIR, "/tests/faults/kafka_proxy"), file, pipe}));
  return proxy_->ReadLine(absl::Seconds(30)).status();
}

std::string KafkaCluster::Behind(size_t door) const { return behind_[door]; }

absl::Status KafkaCluster::Broker(const std::string& command, int broker) {
  return Run({command, absl::StrCat(broker)}).status();
}

void KafkaCluster::Network(const std::string& command, size_t door, const std::string& seconds) {
  const std::string line = absl::StrCat(command, " ", door + 1, " ", seconds, "\n");
  const int pipe = open((folder_ + "/network").c_str(), O_WRONLY | O_CLOEXEC);
  CHECK(pipe >= 0 && write(pipe, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
  close(pipe);
}

}  // namespace buurtlog::faults
