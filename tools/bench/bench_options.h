// How the benchmarks are run, as the command line said.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tools/bench/workloads.h"

namespace buurtlog::bench {

struct BenchOptions {
  std::string folder;      // on the disk that is measured; everything is made in it
  std::string bin_folder;  // of the executables
  std::string umadb;       // its server's program; empty: not measured
  size_t rounds = 3;
  absl::Duration warm_up = absl::Milliseconds(300);
  absl::Duration measured = absl::Seconds(2);  // of each load in each round
  std::vector<size_t> callers = {1, 8, 32, 128};
  std::vector<size_t> connections = {1, 8};
  std::vector<Streams> streams = {Streams::kMany, Streams::kHot, Streams::kZipf};
  size_t payload_bytes = 128;
  size_t file_bytes = size_t{256} << 20;  // of preallocated files
  int brokers = 1;                        // of the kafka family: 1 or 3
  uint64_t history_max = 10'000'000;      // events, of the history family
  // Put before the command of our server, to look at it while it works: `perf record -g -o FILE --`
  std::vector<std::string> wrap;
  bool smoke = false;  // everything tiny: does it work at all?
};

}  // namespace buurtlog::bench
