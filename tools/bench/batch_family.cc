// Many commands in one call: a whole day, a device's backlog, a bulk job.
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "tools/bench/families.h"
#include "tools/bench/interleaved.h"

namespace buurtlog::bench {
namespace {

constexpr double kEventsGoal = 40'000;
constexpr size_t kItems = 200;  // as many as a day's sheet shows

}  // namespace

absl::Status MeasureBatch(const BenchOptions& options, AddRow add) {
  ABSL_ASSIGN_OR_RETURN(const Running tally, StartBenchServer(options, "tally"));
  for (const size_t callers : {1, 8}) {
    Asked asked;
    asked.callers = callers;
    asked.payload_bytes = options.payload_bytes;
    ABSL_ASSIGN_OR_RETURN(
        const std::vector<Summary> summaries,
        RunInterleaved(options, {callers, 1},
                       {{"ours", &tally, [asked] { return AddManyWorkload(asked, kItems); }}}));
    Row row{absl::StrCat("commands in calls of ", kItems, ", ", NameOf(Callers{callers, 1})),
            summaries[0].per_second * kItems, "events/s"};
    row.goal = kEventsGoal;
    add(std::move(row));
  }
  return absl::OkStatus();
}

}  // namespace buurtlog::bench
