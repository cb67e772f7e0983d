// The replicas of a service as a consumer group of Kafka, which shares the partitions of the topic
// out among them. The group proposes who is to own a partition; epoch records decide who does. Its
// client reads nothing: what is in the topic is read by a client that is in no group, whatever
// happens here.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/log_engine.h"
#include "libs/kafka/client.h"

namespace buurtlog::kafka {

// A replica that says nothing for this long is taken for gone, and its partitions go to others: the
// largest part of a takeover. Brokers must allow it (group.min.session.timeout.ms). Shorter, and a
// machine that is busy for a moment loses its partitions.
inline constexpr absl::Duration kReplicaSessionMax = absl::Seconds(2);
// Four in a session, so that three may be lost.
inline constexpr absl::Duration kReplicaHeartbeat = absl::Milliseconds(500);

class ReplicaGroup final : public eventlog::Membership {
 public:
  using Assigned = absl::AnyInvocable<void(const std::vector<eventlog::Partition>&)>;

  // `properties`: with bootstrap.servers. The group is named as the topic. A member that leaves is
  // missed at once, as it says so; one that is started again is a new member: each replica follows
  // all partitions, so a partition that moves costs one epoch record, and a member that the group
  // waited for would cost its callers a session. Members are sorted by `member`, so the same ones
  // get the same partitions. INVALID_ARGUMENT naming a property.
  static absl::StatusOr<std::unique_ptr<eventlog::Membership>> Join(const Properties& properties,
                                                                    const std::string& topic,
                                                                    const std::string& member,
                                                                    Assigned assigned,
                                                                    Scheduler& scheduler);
  ~ReplicaGroup() override;

  // UNAVAILABLE: in no group at the moment; FAILED_PRECONDITION with SESSION_TIMEOUT: brokers do
  // not allow the session time; PERMISSION_DENIED: not for this client.
  absl::Status health() override;

  class Impl;

 private:
  explicit ReplicaGroup(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace buurtlog::kafka
