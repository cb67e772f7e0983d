// What the callers of the load generator ask: the same wish, as each server wants to hear it.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/random.h"
#include "tools/bench/load.h"

namespace buurtlog::bench {

enum class Streams {
  kMany,  // each caller has streams of its own and takes them in turn
  kHot,   // one for all callers
  kZipf,  // all callers draw from all; the n-th is drawn with a weight of 1/n
};
std::string NameOf(Streams streams);

struct Asked {
  Streams streams = Streams::kMany;
  size_t streams_of_many = 8192;
  size_t callers = 1;
  size_t payload_bytes = 128;
  // A bound on the tally that it has reached before: every command is refused.
  bool refused = false;
};

// Which stream comes next. Not thread-safe.
class StreamPicker {
 public:
  explicit StreamPicker(const Asked& asked);
  size_t Next(size_t caller);
  size_t size() const { return ids_.size(); }
  // UUIDs.
  const std::string& id(size_t stream) const { return ids_[stream]; }

 private:
  const Asked asked_;
  std::vector<std::string> ids_;
  std::vector<size_t> turn_;  // of each caller
  std::vector<double> weights_up_to_;
  std::mt19937_64 engine_;
};

// TallyService.Add, for our service and for the bare servers.
std::unique_ptr<Workload> AddWorkload(const Asked& asked);

// TallyService.AddMany: so many items in a call.
std::unique_ptr<Workload> AddManyWorkload(const Asked& asked, size_t items);

// An append to UmaDB under the condition that the stream has not grown since its last event that
// the callers know of; a lost race is repeated.
std::unique_ptr<Workload> PeerAppendWorkload(const Asked& asked);

}  // namespace buurtlog::bench
