// One simulated machine: the two services on its disk, each with log, state store and executor, the
// read models and the process that follow them, put together as ServiceNode does it. It can be
// started and ended again and again; what is on the disk stays.
#pragma once

#include <prometheus/registry.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "libs/base/random.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/kafka_event_log.h"
#include "libs/eventlog/memory_event_log.h"
#include "libs/eventlog/sqlite_event_log.h"
#include "libs/eventsourcing/command_executor.h"
#include "libs/eventsourcing/process_runner.h"
#include "libs/eventsourcing/projection_runner.h"
#include "libs/sqlite/testing/simulated_disk.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/report.h"
#include "tests/simulation/simulated_region.h"
#include "tests/simulation/unreliable_log.h"

namespace buurtlog::simulation {

// The logs of the memory engine, which live apart from the machines that write to them.
struct SharedLogs {
  std::unique_ptr<eventlog::MemoryEventLog> lists;
  std::unique_ptr<eventlog::MemoryEventLog> copies;
};

eventlog::LogIdentity IdentityOf(const std::string& service, uint32_t partitions);

class Machine {
 public:
  struct Parts {
    SimulatedScheduler& scheduler;
    TaskQueue& later;  // outlives every life of the machine
    // Where neither is, it is the sqlite engine, on the disk.
    SharedLogs* shared;       // null: not the memory engine
    SimulatedRegion* region;  // null: not the kafka engine
    Report& report;
  };
  Machine(std::string name, uint64_t seed, uint32_t partitions, Parts parts);
  ~Machine();

  // Opens everything, making the logs at the first time, and begins to start the executors.
  absl::Status Open();
  // Ends everything. On a disk that has crashed nothing of that reaches the disk.
  void End();
  // Between two lives: a new machine by the old name.
  void ForgetEverything();
  // How the start of the executors ended; nothing while it is under way.
  std::optional<absl::Status> started() const;
  bool is_open() const { return opened_; }
  // Goes up with each life: answers of an earlier one do not reach anybody.
  uint64_t life() const { return life_; }
  // Executors, read models and process are healthy and have caught up with the logs as they are.
  absl::Status Settled();

  void SetLogFaults(uint64_t one_in);

  struct Service {
    std::string name;
    const eventsourcing::AggregateType* type = nullptr;
    std::unique_ptr<eventsourcing::CommandForwarder> forwarder;
    std::unique_ptr<eventlog::EventLog> own_log;
    std::unique_ptr<UnreliableLog> log;
    std::unique_ptr<eventsourcing::EventCodec> codec;
    std::unique_ptr<eventsourcing::StateStore> store;
    std::unique_ptr<eventsourcing::CommandExecutor> executor;
    std::optional<absl::Status> started;
    eventlog::EventLog& engine(SharedLogs* shared) const;
  };
  Service& service(const std::string& name) { return name == lists_.name ? lists_ : copies_; }
  Service& lists() { return lists_; }
  Service& copies() { return copies_; }
  eventsourcing::ProjectionRunner& list_model() { return *list_model_; }
  eventsourcing::ProjectionRunner& copy_model() { return *copy_model_; }
  sqlite::testing::SimulatedDisk& disk() { return disk_; }
  LyingClock& clock() { return clock_; }
  Link& link() { return link_; }  // to the brokers and the other replicas
  const std::string& name() const { return name_; }
  std::string FolderOf(const std::string& service) const;
  eventlog::SqliteLogOptions LogOptions(const std::string& service);
  std::vector<eventsourcing::LogSource> Sources();

 private:
  absl::Status OpenService(Service& service);
  absl::Status OpenLog(Service& service);
  absl::Status OpenCopyOfTopic(Service& service);
  absl::Status OpenFollowers();
  bool HasCaughtUp(eventsourcing::ProjectionRunner& runner);

  const std::string name_;
  Dice dice_;
  const uint32_t partitions_;
  const Parts parts_;
  sqlite::testing::SimulatedDisk disk_;
  LyingClock clock_;
  SeededRandom random_;
  Link link_;
  uint64_t life_ = 0;
  bool opened_ = false;
  uint64_t log_faults_ = 0;

  std::unique_ptr<prometheus::Registry> metrics_;
  Service lists_;
  Service copies_;
  std::unique_ptr<eventsourcing::ProjectionRunner> list_model_;
  std::unique_ptr<eventsourcing::ProjectionRunner> copy_model_;
  std::unique_ptr<eventsourcing::ProcessRunner> process_;
};

}  // namespace buurtlog::simulation
