// A producer of one topic: idempotent, acknowledged by all replicas in sync, without transactions.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/topic.h"
#include "libs/kafka/client.h"

namespace buurtlog::kafka {

// For how long a message may be under way before its outcome is reported as open. As long as a
// caller would wait; the way out of it (a new epoch) takes no longer than that.
inline constexpr absl::Duration kDeliveryMax = absl::Seconds(2);

class Producer final : public eventlog::TopicProducer {
 public:
  // INVALID_ARGUMENT naming a property. `scheduler` outlives it.
  static absl::StatusOr<std::unique_ptr<Producer>> Open(const Properties& properties,
                                                        const std::string& topic,
                                                        Scheduler& scheduler);
  ~Producer() override;

  void Send(eventlog::Partition partition, std::string key, std::string value,
            absl::AnyInvocable<void(absl::Status)> delivered) override;

  class Impl;

 private:
  explicit Producer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace buurtlog::kafka
