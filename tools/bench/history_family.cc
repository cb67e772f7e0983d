// What a command costs when there is a history, and what an event takes on the disk.
#include <filesystem>
#include <iostream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libs/base/status_macros.h"
#include "tools/bench/families.h"
#include "tools/bench/interleaved.h"

namespace buurtlog::bench {
namespace {

constexpr size_t kItems = 500;
constexpr size_t kFillers = 8;
constexpr size_t kCallers = 32;
constexpr double kBytesGoal = 400;

// Adds events until the service has `events`; `has` is kept.
absl::Status FillTo(uint64_t events, const BenchOptions& options, const Running& tally,
                    uint64_t& has) {
  Asked asked;
  asked.callers = kFillers;
  asked.payload_bytes = options.payload_bytes;
  const std::unique_ptr<Workload> workload = AddManyWorkload(asked, kItems);
  LoadOptions load;
  load.address = tally.process->address();
  load.tokens = {tally.NewToken(access::v1::ROLE_NURSE)};
  load.callers = kFillers;
  load.warm_up = absl::ZeroDuration();
  load.measured = absl::InfiniteDuration();
  load.deadline = absl::Seconds(60);
  load.calls_max = events > has ? (events - has + kItems - 1) / kItems : 0;
  if (load.calls_max == 0) return absl::OkStatus();
  ABSL_ASSIGN_OR_RETURN(const LoadResult result, RunLoad(load, *tally.process, *workload));
  if (!result.errors.empty()) return absl::InternalError(result.errors.begin()->first);
  has += result.all_done * kItems;
  std::cerr << absl::StreamFormat(" %d events\n", has);
  return absl::OkStatus();
}

uint64_t BytesOf(const std::string& folder) {
  uint64_t bytes = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder)) {
    if (file.is_regular_file()) bytes += file.file_size();
  }
  return bytes;
}

// Commands at `callers`, and how many there were.
absl::StatusOr<Summary> Commands(const BenchOptions& options, const Running& tally, uint64_t& has) {
  Asked asked;
  asked.callers = kCallers;
  asked.payload_bytes = options.payload_bytes;
  ABSL_ASSIGN_OR_RETURN(const std::vector<Summary> summaries,
                        RunInterleaved(options, {kCallers, 1},
                                       {{"ours", &tally, [asked] { return AddWorkload(asked); }}}));
  has += static_cast<uint64_t>(summaries[0].per_second *
                               absl::ToDoubleSeconds(options.measured + options.warm_up) *
                               static_cast<double>(options.rounds));
  return summaries[0];
}

}  // namespace

absl::Status MeasureHistory(const BenchOptions& options, AddRow add) {
  ABSL_ASSIGN_OR_RETURN(const Running tally, StartBenchServer(options, "tally"));
  uint64_t has = 0;
  for (uint64_t events = options.smoke ? 1'000 : 100'000; events <= options.history_max;
       events *= 10) {
    ABSL_RETURN_IF_ERROR(FillTo(events, options, tally, has));
    ABSL_ASSIGN_OR_RETURN(const Summary commands, Commands(options, tally, has));
    const std::string of = absl::StrCat(kCallers, " callers, ", events, " events before");
    Row row{absl::StrCat("command, ", of), commands.per_second, "commands/s"};
    row.note = commands.Cost();
    add(std::move(row));
    add({absl::StrCat("command, 99th percentile, ", of), commands.p99_ms, "ms", Better::kLess});
  }
  return absl::OkStatus();
}

absl::Status MeasureSize(const BenchOptions& options, AddRow add) {
  ABSL_ASSIGN_OR_RETURN(const Running tally, StartBenchServer(options, "tally"));
  uint64_t has = 0;
  ABSL_RETURN_IF_ERROR(FillTo(options.smoke ? 1'000 : 1'000'000, options, tally, has));
  tally.process->Stop();
  const auto per_event = [&](const std::string& folder) {
    return static_cast<double>(BytesOf(folder)) / static_cast<double>(has);
  };
  Row row{absl::StrCat("log on disk, payload of ", options.payload_bytes, " bytes"),
          per_event(tally.folder + "/tally/log"), "bytes/event", Better::kLess};
  row.goal = kBytesGoal;
  const double log_bytes = row.value;
  add(std::move(row));
  add({"state store and keys on disk", per_event(tally.folder + "/tally") - log_bytes,
       "bytes/event", Better::kLess});
  return absl::OkStatus();
}

}  // namespace buurtlog::bench
