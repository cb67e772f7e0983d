// A gRPC server and everything a service needs round it: tokens, access rules, form of requests,
// deadlines, health, reflection, error details, metrics, request logs, draining.
#pragma once

#include <grpcpp/channel.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/random.h"
#include "libs/identity/tokens.h"
#include "libs/rpc/service.h"

namespace buurtlog::rpc {

struct HostOptions {
  std::string address{};  // "127.0.0.1:7400"; port 0 takes a free one; empty: in process only
  std::string metrics_address{};       // "127.0.0.1:7401" serves /metrics; empty: none
  size_t request_bytes_max = 4 << 20;  // larger is RESOURCE_EXHAUSTED
  absl::Duration deadline_default = absl::Seconds(10);  // for callers that set none
  absl::Duration deadline_max = absl::Minutes(5);       // unary calls; streams may live longer
  absl::Duration drain_max = absl::Seconds(10);         // SIGTERM to end
  // Calls each second of a team, or of a person without one, for long; more are RESOURCE_EXHAUSTED
  // with reason TOO_MANY_CALLS. 0: no limit.
  double team_calls_per_second = 0;
  bool insecure_dev = false;  // built-in issuer; refuses to listen on anything but loopback
                              // (INSECURE_DEV_NEEDS_LOOPBACK)
};

// Thread-safe once started.
class ServiceHost {
 public:
  struct Parts {
    identity::TokenVerifier& tokens;
    Clock& clock;
    Random& random;
    prometheus::Registry& metrics;
  };
  // FAILED_PRECONDITION: an rpc of a service has no handler or no access rule; insecure_dev not on
  // loopback. UNAVAILABLE: the address is taken.
  static absl::StatusOr<std::unique_ptr<ServiceHost>> Start(HostOptions options,
                                                            std::vector<Service> services,
                                                            Parts parts);
  // Drains first.
  ~ServiceHost();

  int port() const;          // 0 when in process only
  int metrics_port() const;  // 0 when none
  // Makes calls into this host. Not to be used once the host is destroyed: gRPC crashes on a call
  // into a server that has gone.
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // grpc.health.v1: "" and every service name. Starts NOT_SERVING.
  void SetReady(bool ready);
  // Not ready; ends streams, answers new calls with UNAVAILABLE, waits for those under way, at most
  // drain_max. Idempotent.
  void Drain();

  class Impl;

 private:
  explicit ServiceHost(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Blocks until SIGTERM or SIGINT. Call BlockTerminationSignals first thing in main, before any
// thread starts.
void BlockTerminationSignals();
void WaitForTermination();

}  // namespace buurtlog::rpc
