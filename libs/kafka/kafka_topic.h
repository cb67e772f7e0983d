// The topic of one service in one region, on Apache Kafka: made with the settings that the log
// needs, or checked to have them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/record.h"
#include "libs/eventlog/topic.h"
#include "libs/kafka/client.h"

namespace buurtlog::kafka {

// Of three replicas two have what is acknowledged; with fewer replicas there is nobody to wait for.
inline constexpr int kReplicationDefault = 3;
// The largest batch of messages: one of our messages (kMessageBytesMax), its key, and what Kafka
// adds. The default of Kafka.
inline constexpr int kMaxMessageBytes = 1'048'588;
inline constexpr size_t kRegionBytesMax = 32;

struct TopicOptions {
  std::string brokers;  // "host:port,host:port"
  std::string region;   // a to z, 0 to 9 and -; at most kRegionBytesMax
  std::string service;  // "visits"
  uint32_t topic_version = 1;
  int replication = kReplicationDefault;
  std::string cluster_id;  // refused unless it is this one; empty: any
  Properties properties;   // TLS, SASL and so on; given to librdkafka as they are
};

// "buurtlog.<region>.<service>.v<topic version>".
std::string TopicName(const TopicOptions& options);

// INVALID_ARGUMENT naming the option.
absl::Status CheckTopicOptions(const TopicOptions& options);

// The topic that is there; or, when there is none and `make` says what log it shall be, a new one.
//   NOT_FOUND            there is none, and none was to be made
//   FAILED_PRECONDITION  with a reason: TOPIC_PARTITIONS, TOPIC_REPLICATION, TOPIC_CLEANUP_POLICY,
//                        TOPIC_RETENTION, TOPIC_MIN_INSYNC_REPLICAS, TOPIC_MAX_MESSAGE_BYTES,
//                        TOPIC_UNCLEAN_ELECTION, KAFKA_CLUSTER: it differs from what the log needs;
//                        FOREIGN_ENTRY: it does not begin with the identity of a log of this
//                        service; NOT_SYNTHETIC, NEWER_RELEASE as ReadIdentityFile
//   DATA_LOSS            it does not begin at offset 0 any more
//   PERMISSION_DENIED, INVALID_ARGUMENT, UNAVAILABLE   as the cluster says
// `scheduler` outlives it. Blocks.
absl::StatusOr<std::unique_ptr<eventlog::Topic>> OpenTopic(
    const TopicOptions& options, const std::optional<eventlog::LogIdentity>& make,
    Scheduler& scheduler);

}  // namespace buurtlog::kafka
