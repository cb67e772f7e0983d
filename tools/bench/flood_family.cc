// What the calls of some teams take while the program of another one floods the service.
#include <iostream>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "libs/base/scheduler.h"
#include "libs/base/status_macros.h"
#include "tools/bench/families.h"
#include "tools/bench/load.h"
#include "tools/bench/servers.h"
#include "tools/bench/workloads.h"

namespace buurtlog::bench {
namespace {

constexpr size_t kCallers = 8;
constexpr size_t kFlooding = 32;     // all of one team
constexpr double kCallsLimit = 200;  // as services have it when nobody says otherwise

struct Case {
  std::string name;
  const Running* running = nullptr;
  bool flooded = false;
  std::vector<double> p50_ms{};
  std::vector<double> p99_ms{};
  std::vector<double> per_second{};
  std::vector<double> refused_per_second{};
};

LoadOptions LoadOf(const BenchOptions& options, const Running& running, size_t callers,
                   access::v1::Role role) {
  LoadOptions load;
  load.address = running.process->address();
  load.tokens = {running.NewToken(role)};
  load.callers = callers;
  load.warm_up = options.warm_up;
  load.measured = options.measured;
  return load;
}

absl::Status RunOnce(const BenchOptions& options, Case& one) {
  Asked asked;
  asked.payload_bytes = options.payload_bytes;
  asked.callers = kCallers;
  const std::unique_ptr<Workload> others = AddWorkload(asked);
  asked.callers = kFlooding;
  const std::unique_ptr<Workload> wild = AddWorkload(asked);
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler(1);
  std::optional<absl::StatusOr<LoadResult>> flood;
  absl::BlockingCounter flooded(1);
  LoadOptions flooding = LoadOf(options, *one.running, kFlooding, access::v1::ROLE_NURSE);
  // From before the others are measured until behind it.
  flooding.warm_up = options.warm_up / 2;
  flooding.measured = options.measured + options.warm_up;
  const std::unique_ptr<TaskQueue> queue = scheduler->NewQueue("flood", QueueKind::kBlocking);
  queue->Post([&] {
    if (one.flooded) flood = RunLoad(flooding, *one.running->process, *wild);
    flooded.DecrementCount();
  });
  // In a role that has no limit: theirs is not what is measured.
  const absl::StatusOr<LoadResult> result =
      RunLoad(LoadOf(options, *one.running, kCallers, access::v1::ROLE_SERVICE),
              *one.running->process, *others);
  flooded.Wait();
  ABSL_RETURN_IF_ERROR(result.status());
  one.p50_ms.push_back(absl::ToDoubleMilliseconds(result->p50));
  one.p99_ms.push_back(absl::ToDoubleMilliseconds(result->p99));
  one.per_second.push_back(result->PerSecond());
  uint64_t refused = 0;
  if (flood.has_value()) {
    ABSL_RETURN_IF_ERROR(flood->status());
    for (const auto& [error, times] : (*flood)->errors) refused += times;
    one.refused_per_second.push_back(static_cast<double>(refused) /
                                     absl::ToDoubleSeconds((*flood)->measured));
  }
  std::cerr << "  " << one.name << ": p50 " << one.p50_ms.back() << " ms, p99 " << one.p99_ms.back()
            << " ms, " << one.per_second.back() << "/s, refused " << refused << "\n";
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureFlood(const BenchOptions& options, AddRow add) {
  ABSL_ASSIGN_OR_RETURN(const Running open, StartBenchServer(options, "tally"));
  BenchOptions beside = options;
  beside.folder = absl::StrCat(options.folder, "/limited");
  ABSL_ASSIGN_OR_RETURN(
      const Running limited,
      StartBenchServer(beside, "tally", {absl::StrCat("--team_calls_per_second=", kCallsLimit)}));
  std::vector<Case> cases = {{"nobody floods", &open, false},
                             {"a team floods, without a limit", &open, true},
                             {"a team floods, at most 200 calls/s", &limited, true}};
  for (size_t round = 0; round < options.rounds; ++round) {
    for (Case& one : cases) ABSL_RETURN_IF_ERROR(RunOnce(options, one));
  }
  for (Case& one : cases) {
    Row row{absl::StrCat(one.name, ": p99 of the others"), Median(one.p99_ms), "ms"};
    row.limit = Median(cases.front().p99_ms);
    row.note = absl::StrCat("p50 ", Median(one.p50_ms), " ms, ",
                            static_cast<int64_t>(Median(one.per_second)), " calls/s of the others");
    if (!one.refused_per_second.empty()) {
      absl::StrAppend(&row.note, ", ", static_cast<int64_t>(Median(one.refused_per_second)),
                      " refused/s");
    }
    add(std::move(row));
  }
  return absl::OkStatus();
}

}  // namespace buurtlog::bench
