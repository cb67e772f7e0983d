#include "libs/rpc/call_metrics.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace buurtlog::rpc {
namespace {

constexpr std::array<const char*, 17> kCodeNames = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

prometheus::Histogram::BucketBoundaries Buckets() {
  return {0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
}

}  // namespace

MethodMetrics::MethodMetrics(prometheus::Registry& registry, const std::string& method)
    : method_(method),
      durations_(prometheus::BuildHistogram()
                     .Name("buurtlog_rpc_duration_seconds")
                     .Help("Time from the arrival of a request to its answer")
                     .Register(registry)),
      in_flight_(prometheus::BuildGauge()
                     .Name("buurtlog_rpc_in_flight")
                     .Help("Calls that have not been answered yet")
                     .Register(registry)
                     .Add({{"method", method}})) {}

void MethodMetrics::Finished(grpc::StatusCode code, std::chrono::steady_clock::duration took) {
  const size_t index = std::min<size_t>(static_cast<size_t>(code), kCodes - 1);
  prometheus::Histogram* histogram = by_code_[index].load(std::memory_order_acquire);
  if (histogram == nullptr) {
    // The family gives the same histogram for the same labels, so two threads may both come here.
    histogram = &durations_.Add({{"method", method_}, {"code", kCodeNames[index]}}, Buckets());
    by_code_[index].store(histogram, std::memory_order_release);
  }
  histogram->Observe(std::chrono::duration<double>(took).count());
  in_flight_.Decrement();
}

}  // namespace buurtlog::rpc
