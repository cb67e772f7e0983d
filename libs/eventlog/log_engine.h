// Which engine keeps the logs of a process: chosen once, when it starts, for all its services.
#pragma once

#include <memory>
#include <string>

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

  // Whether the logs of services in other processes can be opened here as well. If not, they are
  // read from those processes.
  virtual bool reaches_others() const = 0;
};

// Each log in its folder on this machine (sqlite_event_log.h). Lives for ever.
LogEngine& SqliteEngine();

// What a new log of a service is made with. Until personal fields are sealed, all are logs of
// invented people.
LogIdentity NewLogIdentity(const std::string& service, Clock& clock, Random& random);

}  // namespace buurtlog::eventlog
