#include <unistd.h>

#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/files.h"
#include "libs/base/status_macros.h"
#include "tools/bench/families.h"
#include "tools/bench/interleaved.h"
#include "tools/bench/servers.h"

namespace buurtlog::bench {
namespace {

constexpr double kCommandsGoal = 8'000;
constexpr size_t kCommandsGoalCallers = 128;

struct LatencyGoal {
  size_t callers;
  double p50_ms;
  double p99_ms;
};
constexpr LatencyGoal kLatencyGoals[] = {{1, 2, 10}, {32, 5, 25}, {128, 15, 50}};

// Gone with the object.
class Cluster {
 public:
  Cluster(const BenchOptions& options, bool flush)
      : folder_(absl::StrCat(options.folder, "/kafka-", flush ? "flush" : "memory")),
        log_file_(absl::StrCat(options.folder, "/kafka.log")) {}
  ~Cluster() { Run({"kill"}).IgnoreError(); }

  // Given the compiler and the memory that a broker has in earnest.
  absl::Status Start(int brokers, bool flush) {
    return Run({"start", "--brokers", absl::StrCat(brokers), "--port", "0", "--flush",
                flush ? "1" : "0", "--java", "-XX:TieredStopAtLevel=4 -Xmx1g", "--with-pid",
                absl::StrCat(getpid())});
  }

  // Bootstrap addresses, as the cluster's file of ports has them.
  absl::StatusOr<std::string> Addresses(int brokers) const {
    ABSL_ASSIGN_OR_RETURN(const std::string text, SystemFiles().Read(folder_ + "/cluster"));
    std::vector<std::string> addresses;
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      if (words.front() != "ports") continue;
      for (int i = 1; i <= brokers; ++i) {
        addresses.push_back(absl::StrCat("127.0.0.1:", words[static_cast<size_t>(i)]));
      }
    }
    return absl::StrJoin(addresses, ",");
  }

 private:
  absl::Status Run(std::vector<std::string> words) const {
    words.insert(words.begin(), absl::StrCat(BUURTLOG_SOURCE_DIR, "/tools/kafka/broker"));
    words.insert(words.end(), {"--folder", folder_});
    return RunProgram(std::move(words), log_file_);
  }

  const std::string folder_;
  const std::string log_file_;
};

void AddRows(const std::string& of, size_t callers, const std::vector<Summary>& summaries,
             AddRow add) {
  const Summary& ours = summaries[2];
  const Summary& limit = summaries[0];
  const Summary& transactions = summaries[1];
  Row row{absl::StrCat("command, ", of), ours.per_second, "commands/s"};
  row.limit = limit.per_second;
  if (callers >= kCommandsGoalCallers) row.goal = kCommandsGoal;
  row.note = absl::StrFormat("transactions %.0f/s; %s", transactions.per_second, ours.Cost());
  add(std::move(row));
  Row p50{absl::StrCat("command, median, ", of), ours.p50_ms, "ms", Better::kLess};
  p50.limit = limit.p50_ms;
  p50.note = absl::StrFormat("transactions %.2f ms", transactions.p50_ms);
  Row p99{absl::StrCat("command, 99th percentile, ", of), ours.p99_ms, "ms", Better::kLess};
  p99.limit = limit.p99_ms;
  p99.note = absl::StrFormat("transactions %.2f ms", transactions.p99_ms);
  for (const LatencyGoal& goal : kLatencyGoals) {
    if (goal.callers != callers) continue;
    p50.goal = goal.p50_ms;
    p99.goal = goal.p99_ms;
  }
  add(std::move(p50));
  add(std::move(p99));
}

absl::Status MeasureOn(const BenchOptions& options, bool flush, AddRow add) {
  Cluster cluster(options, flush);
  ABSL_RETURN_IF_ERROR(cluster.Start(options.brokers, flush));
  ABSL_ASSIGN_OR_RETURN(const std::string addresses, cluster.Addresses(options.brokers));
  const std::vector<std::string> words = {absl::StrCat("--log=kafka:", addresses),
                                          absl::StrCat("--kafka_replication=", options.brokers)};
  ABSL_ASSIGN_OR_RETURN(const Running limit, StartBenchServer(options, "read_back", words));
  ABSL_ASSIGN_OR_RETURN(const Running transactions,
                        StartBenchServer(options, "transactions", words));
  ABSL_ASSIGN_OR_RETURN(const Running ours, StartBenchServer(options, "tally", words));
  for (const size_t callers : options.callers) {
    Asked asked;
    asked.streams = Streams::kMany;
    asked.callers = callers;
    asked.payload_bytes = options.payload_bytes;
    const auto commands = [asked] { return AddWorkload(asked); };
    const std::vector<Subject> subjects = {{"read back", &limit, commands},
                                           {"transactions", &transactions, commands},
                                           {"ours", &ours, commands}};
    const std::string of = absl::StrCat(options.brokers == 1 ? "1 broker" : "3 brokers",
                                        flush ? " that flush, " : ", ", NameOf({callers, 1}));
    std::cerr << of << ": ";
    ABSL_ASSIGN_OR_RETURN(const std::vector<Summary> summaries,
                          RunInterleaved(options, {callers, 1}, subjects));
    AddRows(of, callers, summaries, add);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureKafka(const BenchOptions& options, AddRow add) {
  ABSL_RETURN_IF_ERROR(MeasureOn(options, /*flush=*/false, add));
  if (options.smoke) return absl::OkStatus();
  return MeasureOn(options, /*flush=*/true, add);
}

}  // namespace buurtlog::bench
