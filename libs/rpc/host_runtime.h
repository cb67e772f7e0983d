// What the calls of one host share. Private to libs/rpc.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "libs/rpc/access.h"
#include "libs/rpc/call_budget.h"
#include "libs/rpc/call_metrics.h"
#include "libs/rpc/form_rules.h"
#include "libs/rpc/service_host.h"

namespace buurtlog::rpc {

// A stream ends after this at the latest (UNAVAILABLE; its caller comes back), so that none
// outlives its token by long.
inline constexpr absl::Duration kStreamLifetimeMax = absl::Hours(1);

// How long a call beyond its team's budget waits for its refusal, and how many wait at once; others
// are refused at once. Far fewer than calls of one connection (kConcurrentCallsPerConnectionMax),
// so that whoever shares it with the flood, behind a gateway, still has his own.
inline constexpr absl::Duration kRefusalHeld = absl::Milliseconds(200);
inline constexpr int64_t kRefusalsHeldMax = 200;

// A call that the host ends when it drains.
class OpenStream {
 public:
  virtual void Drain() = 0;

 protected:
  ~OpenStream() = default;
};

// Counts the calls that gRPC is not done with. Calls hold it by shared_ptr, so that the last one
// may leave while the host goes. In process, shutting a gRPC server down cuts the calls under way,
// so the host waits here first. Thread-safe.
class DrainGate {
 public:
  // False when the host drains: end the call at once. Each Enter has its Leave, whatever it gave.
  bool Enter() {
    in_flight_.fetch_add(1);
    return !draining_.load();
  }
  void Leave();
  // Closes the gate. False when it was closed before.
  bool Close() { return !draining_.exchange(true); }
  bool closed() const { return draining_.load(); }
  void WaitUntilEmpty(absl::Duration at_most);

 private:
  std::atomic<int64_t> in_flight_ = 0;
  std::atomic<bool> draining_ = false;
  absl::Mutex mutex_;
};

struct HostRuntime {
  HostRuntime(const HostOptions& host_options, ServiceHost::Parts host_parts)
      : options(host_options),
        parts(host_parts),
        budget(options.team_calls_per_second, parts.clock) {}

  const HostOptions options;
  const ServiceHost::Parts parts;
  CallBudget budget;
  // Shared with calls that end while the host goes.
  const std::shared_ptr<std::atomic<int64_t>> refusals_held =
      std::make_shared<std::atomic<int64_t>>(0);

  const std::shared_ptr<DrainGate> gate = std::make_shared<DrainGate>();
  absl::Mutex mutex;
  absl::flat_hash_set<std::shared_ptr<OpenStream>> streams ABSL_GUARDED_BY(mutex);
};

// A method as the host serves it: everything that can be known before a call comes. Outlives its
// calls.
class RegisteredMethod {
 public:
  RegisteredMethod(HostRuntime& host, Method& method,
                   const google::protobuf::MethodDescriptor& descriptor);

  HostRuntime& host;
  Method& method;
  const std::string path;  // `/buurtlog.log.v1.LogService/GetHeads`
  const AccessRule access;
  const FormRules& form;
  MethodMetrics metrics;
};

// A request on its way to its handler.
struct AdmittedCall {
  CallContext context;
  std::unique_ptr<google::protobuf::Message> request;
  // Set when the call must be ended before the caller's own deadline, after this long.
  std::optional<absl::Duration> end_after;
};

// Token, budget, role, then form. `bytes` is read, not changed.
absl::Status Admit(const RegisteredMethod& method, const grpc::CallbackServerContext& grpc_context,
                   const grpc::ByteBuffer& bytes, AdmittedCall& call);

// RESOURCE_EXHAUSTED or INTERNAL when it cannot be.
absl::Status Serialize(const google::protobuf::Message& message, grpc::ByteBuffer& bytes);

// CANCELLED, or DEADLINE_EXCEEDED when that is why the call was cancelled.
absl::Status CancelledStatus(const grpc::CallbackServerContext& grpc_context);

// What a call hears that comes while the host drains, or that is still there when it ends.
absl::Status StoppingStatus();

// Counts the call, and says so in the log where an operator would want to know.
void RecordEnd(RegisteredMethod& method, const CallContext& context, const absl::Status& status,
               std::chrono::steady_clock::time_point started);

// Private to the two kinds of calls: what starts one, for gRPC.
grpc::ServerUnaryReactor* StartUnaryCall(RegisteredMethod& method,
                                         grpc::CallbackServerContext& grpc_context,
                                         const grpc::ByteBuffer& request,
                                         grpc::ByteBuffer& response);
grpc::ServerWriteReactor<grpc::ByteBuffer>* StartStreamCall(
    RegisteredMethod& method, grpc::CallbackServerContext& grpc_context,
    const grpc::ByteBuffer& request);

}  // namespace buurtlog::rpc
