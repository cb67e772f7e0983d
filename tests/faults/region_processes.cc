#include "tests/faults/region_processes.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "tests/end_to_end/running_system.h"

namespace buurtlog::faults {

using end_to_end::ChildProcess;
using end_to_end::Program;

RegionProcesses::RegionProcesses(RegionOptions options)
    : options_(std::move(options)), shared_folder_(options_.folder + "/shared") {
  std::filesystem::create_directories(shared_folder_);
  for (size_t i = 0; i < options_.replicas; ++i) {
    Replica& replica = replicas_.emplace_back();
    replica.data_folder = absl::StrCat(options_.folder, "/replica-", i);
    replica.log_file = replica.data_folder + ".log";
    replica.address = end_to_end::FreeAddress();
    std::filesystem::create_directories(replica.data_folder);
    replica.clock = std::make_unique<ClockFaults>(replica.data_folder + ".clock");
    replica.disk = std::make_unique<DiskFaults>(replica.data_folder + ".disk");
  }
}

std::vector<std::string> RegionProcesses::LogWordsFor(size_t replica) const {
  return {"--log",
          absl::StrCat("kafka:", options_.brokers(replica)),
          "--region",
          options_.region,
          "--kafka_replication",
          absl::StrCat(options_.replication)};
}

void RegionProcesses::Launch(size_t number) {
  Replica& replica = replicas_[number];
  std::vector<std::string> words = {Program("buurtlog"), "--json",    "--data",
                                    replica.data_folder, "--address", replica.address};
  for (std::string& word : LogWordsFor(number)) words.push_back(std::move(word));
  words.insert(words.end(), {"serve", "--insecure-dev", "--team_calls_per_second", "0", "--shared",
                             shared_folder_});
  std::vector<std::string> environment = replica.clock->Environment();
  for (std::string& word : replica.disk->Environment()) environment.push_back(std::move(word));
  auto started = ChildProcess::Start(words, environment, replica.log_file);
  CHECK(started.ok());
  replica.serving = false;
  replica.process.emplace(*std::move(started));
}

absl::Status RegionProcesses::AwaitServing(size_t number, absl::Duration at_most) {
  Replica& replica = replicas_[number];
  if (replica.serving) return absl::OkStatus();
  const absl::Status line = replica.process->ReadLine(at_most).status();
  replica.serving = line.ok();
  return line;
}

int RegionProcesses::Wait(size_t replica) {
  const int exit_code = replicas_[replica].process->Wait();
  replicas_[replica].process.reset();
  return exit_code;
}

std::string RegionProcesses::AddressOf(const std::string&) const {
  if (options_.called.has_value()) return replicas_[*options_.called].address;
  std::string all = "ipv4:";
  for (const Replica& replica : replicas_) {
    absl::StrAppend(&all, all.size() == 5 ? "" : ",", replica.address);
  }
  return all;
}

std::string RegionProcesses::LogLines(size_t replica) const {
  std::ifstream file(replicas_[replica].log_file, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

kafka::LogWords RegionProcesses::log_words() const {
  kafka::LogWords words;
  words.log = absl::StrCat("kafka:", options_.brokers(SIZE_MAX));
  words.region = options_.region;
  words.replication = options_.replication;
  return words;
}

absl::StatusOr<end_to_end::ProgramResult> RegionProcesses::Command(
    size_t replica, const std::vector<std::string>& words, absl::Duration at_most) const {
  std::vector<std::string> all = {Program("buurtlog"), "--data", replicas_[replica].data_folder};
  for (std::string& word : LogWordsFor(SIZE_MAX)) all.push_back(std::move(word));
  all.insert(all.end(), words.begin(), words.end());
  return end_to_end::RunProgram(all, at_most);
}

}  // namespace buurtlog::faults
