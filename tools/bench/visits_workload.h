// What nurses ask of the real services, on a small synthetic region.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/bench/bench_options.h"
#include "tools/bench/load.h"
#include "tools/bench/servers.h"

namespace buurtlog::bench {

struct RegionSize {
  int teams = 4;
  double years = 1;
};

// The data folder of a synthetic region, made by `buurtlog region` when the benchmark's folder has
// none of this size yet.
absl::StatusOr<std::string> RegionFolder(const BenchOptions& options, RegionSize size);

// VisitsService.PlanVisit for clients of the region, by nurses of their teams. The server is
// `buurtlog serve` on it.
absl::StatusOr<std::unique_ptr<Workload>> PlanVisitWorkload(const Running& buurtlog);

}  // namespace buurtlog::bench
