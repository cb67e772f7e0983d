// The servers that the benchmarks call, each a process on a folder of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/identity/tokens.h"
#include "tools/bench/bench_options.h"
#include "tools/bench/server_process.h"

namespace buurtlog::bench {

// A server that runs, and what a call to it needs.
struct Running {
  std::unique_ptr<ServerProcess> process;
  std::string folder;
  std::shared_ptr<identity::DevIssuer> issuer;  // null: it wants no tokens

  // For somebody that nobody has heard of; empty when it wants none.
  std::string NewToken(access::v1::Role role) const;
};

// `kind` as in server_main.cc. `folder` is made anew under the benchmark's.
// `words` are more of its flags.
absl::StatusOr<Running> StartBenchServer(const BenchOptions& options, const std::string& kind,
                                         const std::vector<std::string>& words = {});

// `buurtlog serve` on a data folder that holds a region, as a nurse of it.
absl::StatusOr<Running> StartBuurtlog(const BenchOptions& options, const std::string& data_folder);

// NOT_FOUND when there is no UmaDB here. Its settings are its defaults: each commit is synced.
absl::StatusOr<Running> StartPeer(const BenchOptions& options);

}  // namespace buurtlog::bench
