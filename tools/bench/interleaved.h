// Servers loaded in turn, round after round, so that what else the machine does falls on all of
// them alike; the medians over the rounds count.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/bench/bench_options.h"
#include "tools/bench/load.h"
#include "tools/bench/servers.h"

namespace buurtlog::bench {

// One of them, and what is asked of it. `running` outlives it.
struct Subject {
  std::string name;
  const Running* running = nullptr;
  std::function<absl::StatusOr<std::unique_ptr<Workload>>()> workload;
  bool token_for_each_caller = false;
  access::v1::Role role = access::v1::ROLE_NURSE;
};

struct Callers {
  size_t callers = 1;
  size_t connections = 1;
};
// `8 callers, 1 connection`
std::string NameOf(const Callers& callers);

// Medians over the rounds.
struct Summary {
  double per_second = 0;
  double messages_per_second = 0;
  double p50_ms = 0;
  double p99_ms = 0;
  double client_micros = 0;  // on a processor, for each call
  double server_micros = 0;

  std::string Cost() const;
};

// One summary for each subject. INTERNAL when a call failed.
absl::StatusOr<std::vector<Summary>> RunInterleaved(const BenchOptions& options,
                                                    const Callers& callers,
                                                    const std::vector<Subject>& subjects);

}  // namespace buurtlog::bench
