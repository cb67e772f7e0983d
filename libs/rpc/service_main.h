// What every process that serves does, the executable of one service as well as `buurtlog serve`:
// opens the seams, the data folder and the logs of the services it follows, serves until SIGTERM,
// drains, ends. A service says in a ServedService which aggregates it has, whom it follows and how
// it is put together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/eventlog/log_engine.h"
#include "libs/eventsourcing/service_node.h"
#include "libs/rpc/service.h"

namespace buurtlog::rpc {

// A service that has not begun by then gives up, so that whoever started it can try again.
inline constexpr absl::Duration kFollowedServiceWaitMax = absl::Minutes(1);

// Twelve nurses who all hurry make a tenth of it; a program that has gone wild makes thousands.
inline constexpr double kTeamCallsPerSecond = 200;

// Another service, whose log this one follows.
struct FollowedService {
  std::string service;  // "teams"
  std::string address;  // "127.0.0.1:7410"; not used when that service is served by the same
                        // process, or when the engine reaches its log
  void (*register_events)(eventsourcing::EventCodec&) = nullptr;
};

// A service put together, and what must live as long as calls may come.
struct WiredService {
  std::shared_ptr<void> kept;
  Service service;
};

struct ServedService {
  std::string service;  // "visits"
  std::vector<const eventsourcing::AggregateType*> aggregates;
  std::vector<FollowedService> follows;
  // Adds read models and processes to the node. `followed` are the logs of `follows`, in that
  // order; they outlive the node.
  absl::AnyInvocable<absl::StatusOr<WiredService>(
      eventsourcing::ServiceNode& node, const std::vector<eventsourcing::LogSource>& followed)>
      wire;
};

struct ServiceMain {
  std::string name;  // of the process, for its logs
  std::string data_folder;
  // What all replicas of a region have in common, keys/ and people.json; empty: the data folder.
  std::string shared_folder;
  // Gives the engine of the logs; null: SQLite, in the data folder.
  absl::AnyInvocable<absl::StatusOr<std::shared_ptr<eventlog::LogEngine>>()> open_engine;
  std::string address;
  // Where other replicas of the services reach this process; empty: `address`.
  std::string advertised_address;
  std::string metrics_address;                         // empty: none
  double team_calls_per_second = kTeamCallsPerSecond;  // as in HostOptions
  bool insecure_dev = false;
  bool verbose = false;
  std::vector<ServedService> services;  // after those in the same process that they follow
};

// Where a process serves, once everything in it is ready.
struct Serving {
  std::string address;
  std::string metrics_address;  // empty: none
};

// Blocks until SIGTERM or SIGINT, or gives why it could not start. Call it before any thread is
// started. `serving` is called once, when all services are ready, on a thread of the process.
absl::Status Serve(ServiceMain main, absl::AnyInvocable<void(const Serving&)> serving);

// Serve for a main(): prints {"event":"serving","address":...,"metrics_address":...} as a line on
// standard output when ready. The exit code: 0 after a clean end, 1 when it could not start, with
// the reason in the log.
int RunService(ServiceMain main);

}  // namespace buurtlog::rpc
