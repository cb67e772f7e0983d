// What the executable of every service does: opens the seams, the data folder and the logs of the
// services it follows, serves until SIGTERM, drains, ends. A service's main.cc says which flags,
// which aggregates and how the service is put together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/eventsourcing/service_node.h"
#include "libs/rpc/service.h"

namespace buurtlog::rpc {

// A service that has not begun by then gives up, so that whoever started it can try again.
inline constexpr absl::Duration kFollowedServiceWaitMax = absl::Minutes(1);

// Another service, whose log this one follows.
struct FollowedService {
  std::string service;  // "teams"
  std::string address;  // "127.0.0.1:7410"
  void (*register_events)(eventsourcing::EventCodec&) = nullptr;
};

// A service put together, and what must live as long as calls may come.
struct WiredService {
  std::shared_ptr<void> kept;
  Service service;
};

struct ServiceMain {
  std::string service;  // "visits"
  std::string data_folder;
  std::string address;
  std::string metrics_address;  // empty: none
  bool insecure_dev = false;
  bool verbose = false;
  std::vector<const eventsourcing::AggregateType*> aggregates;
  std::vector<FollowedService> follows;
  // Adds read models and processes to the node. `followed` are the logs of `follows`, in that
  // order; they outlive the node.
  absl::AnyInvocable<absl::StatusOr<WiredService>(
      eventsourcing::ServiceNode& node, const std::vector<eventsourcing::LogSource>& followed)>
      wire;
};

// Blocks until SIGTERM or SIGINT. Call it before any thread is started. The exit code: 0 after a
// clean end, 1 when it could not start, with the reason in the log.
int RunService(ServiceMain main);

}  // namespace buurtlog::rpc
