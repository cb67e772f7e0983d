// What several machines of a simulation share on the kafka engine: a topic for each service, calls
// from replica to replica that are lost or late, and an assignment of partitions that is
// often behind and sometimes wrong.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/scheduler.h"
#include "libs/eventsourcing/command_forwarder.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/report.h"
#include "tests/simulation/simulated_topic.h"

namespace buurtlog::simulation {

class Machine;

class SimulatedRegion {
 public:
  // All outlive the region, and the region every task of the scheduler.
  SimulatedRegion(uint32_t partitions, Scheduler& scheduler, TaskQueue& later, uint64_t seed,
                  Report& report);

  SimulatedTopic& topic(const std::string& service);
  uint32_t partitions() const { return partitions_; }
  // Before its first start.
  void Add(Machine& machine);
  // Carries commands for this service from `machine`.
  std::unique_ptr<eventsourcing::CommandForwarder> NewForwarder(Machine& machine,
                                                                const std::string& service);

  // Proposes owners among the machines that serve. They hear of it soon, each in its time, and now
  // and then two are told the same.
  void Propose();
  // All partitions to machines that serve, at once and for good.
  void Settle();

 private:
  class Forwarder;

  std::vector<Machine*> Serving() const;

  const uint32_t partitions_;
  TaskQueue& later_;
  Dice dice_;
  Report& report_;
  std::map<std::string, SimulatedTopic> topics_;
  std::vector<Machine*> machines_;
  // Of each service, the machine that a partition was last proposed to.
  std::map<std::string, std::vector<Machine*>> proposed_;
};

}  // namespace buurtlog::simulation
