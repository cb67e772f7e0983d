// A topic as the kafka engine asks for one, on one seeded scheduler, with all that a network and a
// client library may do to a message: it is lost, late behind its time-out, doubled, refused, or
// lands while its report does not come. Messages of one producer to one partition land in order or
// not at all, but for a doubled one; those of two in any order.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libs/base/scheduler.h"
#include "libs/eventlog/topic.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/report.h"

namespace buurtlog::simulation {

// The network between one machine and all others.
class Link {
 public:
  // One message in so many goes wrong; 0 is none.
  uint64_t one_in = 0;
  // Nothing comes through in either direction, and what is sent is lost.
  bool cut = false;

  // Now, or once what is held is let go.
  void Pass(Task task);
  // A process that hangs: nothing reaches it, and what it has sent is still under way.
  void Hold() { held_ = true; }
  void LetGo();
  // The machine is gone, and with it what was held for it and of it.
  void Drop();

 private:
  bool held_ = false;
  std::vector<Task> waiting_;
};

class SimulatedTopic {
 public:
  struct Message {
    std::string key;
    std::string value;
  };

  // All outlive the topic, and the topic every task of the scheduler.
  SimulatedTopic(eventlog::LogIdentity identity, Scheduler& scheduler, TaskQueue& later,
                 uint64_t seed, Report& report);

  // As seen over this link, which outlives every task of the scheduler.
  std::unique_ptr<eventlog::Topic> Connect(Link& link);

  const eventlog::LogIdentity& identity() const { return identity_; }
  // Of one partition, from offset 0.
  const std::vector<Message>& messages(eventlog::Partition partition) const {
    return messages_[partition];
  }
  // As after an unclean election: the partition ends before this offset.
  void CutFrom(eventlog::Partition partition, eventlog::Offset offset);

 private:
  class Connection;
  class Producer;
  class Following;

  void Land(eventlog::Partition partition, const Message& message);

  const eventlog::LogIdentity identity_;
  Scheduler& scheduler_;
  TaskQueue& later_;
  Dice dice_;
  Report& report_;
  std::vector<std::vector<Message>> messages_;
  std::vector<std::weak_ptr<Following>> followers_;
};

}  // namespace buurtlog::simulation
