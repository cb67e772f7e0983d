// A consumer of all partitions of one topic, from offsets that it is given; in no group.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/topic.h"
#include "libs/kafka/client.h"

namespace buurtlog::kafka {

class Consumer final : public eventlog::Subscription {
 public:
  // INVALID_ARGUMENT naming a property. `scheduler` outlives it.
  static absl::StatusOr<std::unique_ptr<Consumer>> Start(const Properties& properties,
                                                         const std::string& topic,
                                                         std::vector<eventlog::Offset> from,
                                                         eventlog::Topic::Follower follower,
                                                         Scheduler& scheduler);
  ~Consumer() override;

  class Impl;

 private:
  explicit Consumer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Properties of every consumer: nothing is guessed, skipped or hidden.
Properties ConsumerProperties(const Properties& given);

}  // namespace buurtlog::kafka
