// What is counted about calls. Private to libs/rpc.
//
//   buurtlog_rpc_duration_seconds{method, code}   histogram, from the arrival of a request to its
//   answer buurtlog_rpc_in_flight{method}                calls that have not been answered yet
#pragma once

#include <grpcpp/support/status_code_enum.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <atomic>
#include <chrono>
#include <string>

namespace buurtlog::rpc {

// Of one method. Thread-safe.
class MethodMetrics {
 public:
  // `method` is the full name, `buurtlog.log.v1.LogService/GetHeads`. `registry` outlives this.
  MethodMetrics(prometheus::Registry& registry, const std::string& method);

  void Started() { in_flight_.Increment(); }
  void Finished(grpc::StatusCode code, std::chrono::steady_clock::duration took);

 private:
  static constexpr size_t kCodes = grpc::StatusCode::UNAUTHENTICATED + 1;

  const std::string method_;
  prometheus::Family<prometheus::Histogram>& durations_;
  prometheus::Gauge& in_flight_;
  // Found at the first call with that code: a method that never fails has one series, not
  // seventeen.
  std::array<std::atomic<prometheus::Histogram*>, kCodes> by_code_{};
};

}  // namespace buurtlog::rpc
