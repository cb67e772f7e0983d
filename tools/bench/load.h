// The load generator: so many callers, each with one call under way at any time (closed loop), over
// so many connections, on one thread that is also the one that reads and writes the sockets, so
// that it costs as little as gRPC allows and leaves the machine to the server.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tools/bench/server_process.h"

namespace buurtlog::bench {

// What the callers ask. Not thread-safe; one load uses it at a time.
class Workload {
 public:
  virtual ~Workload() = default;
  // `/package.Service/Method`, the same for all calls.
  virtual std::string method() const = 0;
  // Does the server answer with a stream of messages? All of them are read before the next call.
  virtual bool streams() const { return false; }
  // The bytes of the next request of `caller`.
  virtual std::string NextRequest(size_t caller) = 0;

  enum class Answer {
    kDone,    // counts
    kRepeat,  // a race was lost; counts as a repeat, not as done
    kFailed,  // counts as an error
  };
  // `response` is the last message of a stream.
  virtual Answer Answered(size_t caller, const grpc::Status& status,
                          const grpc::ByteBuffer& response) = 0;
};

struct LoadOptions {
  std::string address;
  std::vector<std::string> tokens;  // bearer; of each caller in turn; empty: none
  size_t callers = 1;
  size_t connections = 1;
  absl::Duration warm_up = absl::Milliseconds(300);
  absl::Duration measured = absl::Seconds(2);  // at least, and until one call is done
  uint64_t calls_max = 0;  // ends when so many are done, if that comes first; 0: never
  absl::Duration deadline = absl::Seconds(10);  // of each call
};

struct LoadResult {
  uint64_t done = 0;      // within the measured time
  uint64_t all_done = 0;  // before, within and behind it
  uint64_t repeats = 0;
  uint64_t messages = 0;                   // of streams
  std::map<std::string, uint64_t> errors;  // by what was said
  absl::Duration measured;
  absl::Duration p50;
  absl::Duration p99;
  absl::Duration longest;
  absl::Duration client_cpu;  // within the measured time
  absl::Duration server_cpu;

  double PerSecond() const { return static_cast<double>(done) / absl::ToDoubleSeconds(measured); }
  absl::Duration ClientCpuPerCall() const { return done == 0 ? client_cpu : client_cpu / done; }
  absl::Duration ServerCpuPerCall() const { return done == 0 ? server_cpu : server_cpu / done; }
};

// UNAVAILABLE when the server cannot be connected to. Errors of calls are in the result.
absl::StatusOr<LoadResult> RunLoad(const LoadOptions& options, const ServerProcess& server,
                                   Workload& workload);

}  // namespace buurtlog::bench
