// What the kafka engine asks of a broker: one topic that appends to each of its partitions whatever
// it is sent, in one order that all readers see, and keeps it. Nothing else: no condition on an
// append, no transactions. libs/kafka has it on Apache Kafka, the simulation on one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventlog/record.h"

namespace buurtlog::eventlog {

// Where a message stands in its partition of the topic: 0, 1, 2 ... without gaps. Not the same for
// the same entry on another broker.
using Offset = int64_t;

// `key` and `value` are valid for as long as the callback that has it runs.
struct TopicMessage {
  Partition partition = 0;
  Offset offset = 0;
  std::string_view key;
  std::string_view value;
};

// Thread-safe. Messages of one producer to one partition land in the order they were sent, or not
// at all; those of two producers in any order.
class TopicProducer {
 public:
  virtual ~TopicProducer() = default;
  // Calls `delivered` once, on a thread of the topic's, not for messages that are under way when
  // the producer is destroyed.
  //   OK                 it landed
  //   INVALID_ARGUMENT, PERMISSION_DENIED  it did not land, and will not when sent again
  //   UNAVAILABLE        it landed, or did not, or will
  virtual void Send(Partition partition, std::string key, std::string value,
                    absl::AnyInvocable<void(absl::Status)> delivered) = 0;
};

// Thread-safe. Outlives its producers and subscriptions.
class Topic {
 public:
  // Called on one thread, in the order of the partition.
  struct Follower {
    absl::AnyInvocable<void(absl::Span<const TopicMessage>)> take;
    // The partition ends before where it was to be read from, or begins behind it (DATA_LOSS);
    // nothing more comes from it.
    absl::AnyInvocable<void(Partition, absl::Status)> lost;
  };

  virtual ~Topic() = default;
  // As it was made with the topic.
  virtual const LogIdentity& identity() const = 0;
  // Which cluster and topic it is, for telling another one by the same name apart.
  virtual const std::string& place_id() const = 0;
  virtual std::unique_ptr<TopicProducer> NewProducer() = 0;
  // The offset behind the last message of each partition, as far as a broker says now. UNAVAILABLE.
  virtual absl::StatusOr<std::vector<Offset>> Ends() = 0;
  // Gives every message from these offsets on, for each partition, until the subscription is
  // destroyed, which waits for a callback that runs.
  virtual std::unique_ptr<Subscription> Follow(std::vector<Offset> from, Follower follower) = 0;
};

}  // namespace buurtlog::eventlog
