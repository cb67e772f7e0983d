// The benchmarks; `tools/bench/run --help` says how.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "tools/bench/families.h"

ABSL_FLAG(std::string, folder, "", "Folder on the disk that is measured; made when missing.");
ABSL_FLAG(bool, json, false, "One object a line instead of the table.");
ABSL_FLAG(std::string, umadb, "", "Program of the UmaDB server; empty: it is not measured.");
ABSL_FLAG(size_t, rounds, 3, "Rounds, interleaved; medians are shown.");
ABSL_FLAG(absl::Duration, measured, absl::Seconds(2), "Time of each load in each round.");
ABSL_FLAG(std::vector<std::string>, callers, (std::vector<std::string>{"1", "8", "32", "128"}),
          "Numbers of callers.");
ABSL_FLAG(std::vector<std::string>, connections, (std::vector<std::string>{"1", "8"}),
          "Numbers of connections.");
ABSL_FLAG(std::vector<std::string>, streams, (std::vector<std::string>{"many", "hot", "zipf"}),
          "Which streams are asked for.");
ABSL_FLAG(size_t, payload_bytes, 128, "Payload of a command's event.");
ABSL_FLAG(std::string, wrap, "", "Words to put before the command of our server (perf record).");
ABSL_FLAG(int, brokers, 1, "Brokers of the kafka family: 1 or 3.");
ABSL_FLAG(uint64_t, history_max, 10'000'000, "Most events of the history family.");
ABSL_FLAG(bool, smoke, false, "Everything tiny: does it work at all?");

namespace buurtlog::bench {
namespace {

absl::StatusOr<std::vector<size_t>> Numbers(const std::vector<std::string>& texts) {
  std::vector<size_t> numbers;
  for (const std::string& text : texts) {
    size_t number = 0;
    if (!absl::SimpleAtoi(text, &number) || number == 0 || number > 1000) {
      return absl::InvalidArgumentError(absl::StrCat("not a number of 1 to 1,000: ", text));
    }
    numbers.push_back(number);
  }
  return numbers;
}

absl::StatusOr<std::vector<Streams>> StreamsNamed(const std::vector<std::string>& names) {
  std::vector<Streams> streams;
  for (const std::string& name : names) {
    const size_t before = streams.size();
    for (const Streams kind : {Streams::kMany, Streams::kHot, Streams::kZipf}) {
      if (NameOf(kind) == name) streams.push_back(kind);
    }
    if (streams.size() == before) {
      return absl::InvalidArgumentError(absl::StrCat("there are no streams called ", name));
    }
  }
  return streams;
}

absl::StatusOr<BenchOptions> OptionsFromFlags(const std::string& program) {
  BenchOptions options;
  options.bin_folder = std::filesystem::canonical(program).parent_path();
  if (absl::GetFlag(FLAGS_folder).empty()) {
    return absl::InvalidArgumentError("--folder is missing");
  }
  std::filesystem::create_directories(absl::GetFlag(FLAGS_folder));
  options.folder = std::filesystem::canonical(absl::GetFlag(FLAGS_folder));
  options.umadb = absl::GetFlag(FLAGS_umadb);
  options.rounds = absl::GetFlag(FLAGS_rounds);
  options.measured = absl::GetFlag(FLAGS_measured);
  ABSL_ASSIGN_OR_RETURN(options.callers, Numbers(absl::GetFlag(FLAGS_callers)));
  ABSL_ASSIGN_OR_RETURN(options.connections, Numbers(absl::GetFlag(FLAGS_connections)));
  ABSL_ASSIGN_OR_RETURN(options.streams, StreamsNamed(absl::GetFlag(FLAGS_streams)));
  options.payload_bytes = absl::GetFlag(FLAGS_payload_bytes);
  options.wrap = absl::StrSplit(absl::GetFlag(FLAGS_wrap), ' ', absl::SkipEmpty());
  options.history_max = absl::GetFlag(FLAGS_history_max);
  options.brokers = absl::GetFlag(FLAGS_brokers);
  if (options.brokers != 1 && options.brokers != 3) {
    return absl::InvalidArgumentError("--brokers is 1 or 3");
  }
  options.smoke = absl::GetFlag(FLAGS_smoke);
  if (options.smoke) {
    options.rounds = 1;
    options.file_bytes = 1 << 20;
    options.history_max = 1'000;
    options.warm_up = absl::ZeroDuration();
    options.measured = absl::Milliseconds(20);
    options.callers = {8};
    options.connections = {1};
  }
  return options;
}

absl::StatusOr<std::vector<Family>> FamiliesNamed(const std::vector<std::string>& names) {
  if (names.empty()) return Families();
  std::vector<Family> families;
  for (const std::string& name : names) {
    const auto found = std::find_if(Families().begin(), Families().end(),
                                    [&name](const Family& family) { return family.name == name; });
    if (found == Families().end()) {
      return absl::InvalidArgumentError(absl::StrCat("there is no family called ", name));
    }
    families.push_back(*found);
  }
  return families;
}

absl::Status Run(const std::string& program, const std::vector<std::string>& names) {
  ABSL_ASSIGN_OR_RETURN(const BenchOptions options, OptionsFromFlags(program));
  ABSL_ASSIGN_OR_RETURN(const std::vector<Family> families, FamiliesNamed(names));
  const bool json = absl::GetFlag(FLAGS_json);
  std::vector<Row> rows;
  for (const Family& family : families) {
    std::cerr << family.name << ": " << family.what << "\n";
    ABSL_RETURN_IF_ERROR(family.measure(options, [&](Row row) {
      if (json) std::cout << JsonLine(row) << std::endl;
      rows.push_back(std::move(row));
    }));
  }
  if (!json) PrintTable(rows, std::cout);
  return absl::OkStatus();
}

}  // namespace
}  // namespace buurtlog::bench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Measures Buurtlog beside what the machine can do, and UmaDB.");
  std::vector<char*> positional = absl::ParseCommandLine(argc, argv);
  const std::vector<std::string> names(positional.begin() + 1, positional.end());
  const absl::Status status = buurtlog::bench::Run(positional[0], names);
  if (status.ok()) return 0;
  std::cerr << status << "\n";
  return 1;
}
