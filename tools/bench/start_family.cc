// How soon `buurtlog serve` is ready on a large region, and what it takes.
#include <iostream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libs/base/status_macros.h"
#include "tools/bench/families.h"
#include "tools/bench/servers.h"
#include "tools/bench/visits_workload.h"

namespace buurtlog::bench {
namespace {

constexpr double kStartGoalSeconds = 5;
constexpr double kMemoryGoalMebibytes = 512;

}  // namespace

absl::Status MeasureStart(const BenchOptions& options, AddRow add) {
  const RegionSize size = options.smoke ? RegionSize{1, 0.1} : RegionSize{100, 2};
  ABSL_ASSIGN_OR_RETURN(const std::string folder, RegionFolder(options, size));
  const std::string of = absl::StrCat(size.teams, " teams and ", size.years, " years");
  std::vector<double> seconds;
  double mebibytes = 0;
  // Once more than rounds: the first start after the region was made may have more to do.
  for (size_t round = 0; round <= options.rounds; ++round) {
    ABSL_ASSIGN_OR_RETURN(const Running buurtlog, StartBuurtlog(options, folder));
    seconds.push_back(absl::ToDoubleSeconds(buurtlog.process->start_time()));
    mebibytes =
        std::max(mebibytes, static_cast<double>(buurtlog.process->ResidentBytesMax()) / (1 << 20));
    std::cerr << absl::StreamFormat(" ready after %.2f s, %.0f MiB at most so far\n",
                                    seconds.back(), mebibytes);
  }
  Row first{absl::StrCat("start, the first time, ", of), seconds.front(), "s", Better::kLess};
  first.goal = kStartGoalSeconds;
  add(std::move(first));
  seconds.erase(seconds.begin());
  Row later{absl::StrCat("start, ", of), Median(std::move(seconds)), "s", Better::kLess};
  later.goal = kStartGoalSeconds;
  add(std::move(later));
  Row memory{absl::StrCat("resident memory, ", of), mebibytes, "MiB", Better::kLess};
  memory.goal = kMemoryGoalMebibytes;
  add(std::move(memory));
  return absl::OkStatus();
}

}  // namespace buurtlog::bench
