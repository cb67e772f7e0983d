#include "tests/faults/system_processes.h"

#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "tests/end_to_end/running_system.h"

namespace buurtlog::faults {

using end_to_end::ChildProcess;
using end_to_end::Program;

SystemProcesses::SystemProcesses(Shape shape, std::string data_folder, std::string work_folder)
    : shape_(shape),
      data_folder_(std::move(data_folder)),
      log_file_(absl::StrCat(work_folder, "/log_lines")),
      faults_(absl::StrCat(work_folder, "/faults")) {
  for (std::string& address : addresses_) address = end_to_end::FreeAddress();
}

std::vector<std::string> SystemProcesses::WordsFor(size_t process) const {
  if (shape_ == Shape::kServe) {
    return {Program("buurtlog"),
            "--json",
            "--data",
            data_folder_,
            "--address",
            addresses_[0],
            "serve",
            "--insecure-dev",
            "--team_calls_per_second",
            "0"};
  }
  std::vector<std::string> words = {Program(absl::StrCat("buurtlog-", kServices[process])),
                                    absl::StrCat("--data=", data_folder_),
                                    absl::StrCat("--address=", addresses_[process]),
                                    "--insecure_dev", "--team_calls_per_second=0"};
  if (process > 0) words.push_back(absl::StrCat("--teams_address=", addresses_[0]));
  if (process > 1) words.push_back(absl::StrCat("--clients_address=", addresses_[1]));
  return words;
}

void SystemProcesses::Launch(size_t process) {
  auto started = ChildProcess::Start(WordsFor(process), faults_.Environment(), log_file_);
  CHECK(started.ok());
  serving_[process] = false;
  processes_[process].emplace(*std::move(started));
}

absl::Status SystemProcesses::AwaitServing(size_t process, absl::Duration at_most) {
  if (serving_[process]) return absl::OkStatus();
  const absl::Status line = processes_[process]->ReadLine(at_most).status();
  serving_[process] = line.ok();
  return line;
}

bool SystemProcesses::AwaitEnd(size_t process, absl::Duration at_most) {
  // Its standard output ends with it.
  const absl::Time give_up = absl::Now() + at_most;
  absl::Status line;
  while (line.ok()) line = processes_[process]->ReadLine(give_up - absl::Now()).status();
  return absl::IsOutOfRange(line);
}

int SystemProcesses::Wait(size_t process) {
  const int exit_code = processes_[process]->Wait();
  processes_[process].reset();
  return exit_code;
}

std::string SystemProcesses::AddressOf(const std::string& service) const {
  if (shape_ == Shape::kServe) return addresses_[0];
  for (size_t i = 0; i < kServices.size(); ++i) {
    if (service == kServices[i]) return addresses_[i];
  }
  CHECK(false);
  return addresses_[0];
}

std::string SystemProcesses::TakeLogLines() {
  std::ifstream file(log_file_, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(log_bytes_taken_));
  std::string lines((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  log_bytes_taken_ += lines.size();
  return lines;
}

}  // namespace buurtlog::faults
