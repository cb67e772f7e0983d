// Which engine keeps the logs of a process: chosen once, when it starts, for all its services.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/random.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"

namespace buurtlog::eventlog {

// All outlive the logs.
struct LogSeams {
  Clock& clock;
  Random& random;
  Files& files;
  Scheduler& scheduler;
};

// One of the replicas of a service that share its log. Leaves them when destroyed.
class Membership {
 public:
  virtual ~Membership() = default;
  // Why this one is assigned nothing at the moment, or for good (PERMISSION_DENIED, ...).
  virtual absl::Status health() = 0;
};

class LogEngine {
 public:
  virtual ~LogEngine() = default;

  struct Opened {
    std::unique_ptr<EventLog> log;
    std::string discarded;  // what was thrown away and made again, for the operator; empty: nothing
  };
  // The log of a service, for reading and writing; what this process keeps of it is below `folder`.
  // When there is none a new one is made, if it may be; else NOT_FOUND. Other errors as the
  // engine's Open.
  virtual absl::StatusOr<Opened> Open(const std::string& service, const std::string& folder,
                                      bool may_make, const LogSeams& seams) = 0;

  // Whether processes share the logs: those of services in other processes can be opened here as
  // well, and several replicas of a service write to one. If not, each log is of one process, and
  // others read it from there.
  virtual bool shared() const = 0;

  // Joins the replicas of a service on a shared log; null when logs are not shared. `member` names
  // this one, an address. `assigned` is called, on a thread of the engine's, with the partitions
  // that this one is to own, each time that members come or go; until the membership is destroyed.
  // INVALID_ARGUMENT naming a property. `scheduler` outlives the membership.
  virtual absl::StatusOr<std::unique_ptr<Membership>> Join(
      const std::string& service, const std::string& member,
      absl::AnyInvocable<void(const std::vector<Partition>&)> assigned, Scheduler& scheduler) = 0;
};

// Each log in its folder on this machine (sqlite_event_log.h). Lives for ever.
LogEngine& SqliteEngine();

// What a new log of a service is made with. Until personal fields are sealed, all are logs of
// invented people.
LogIdentity NewLogIdentity(const std::string& service, Clock& clock, Random& random);

}  // namespace buurtlog::eventlog
