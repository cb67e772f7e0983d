// Questions and orders to the cluster about one topic. Private to libs/kafka.
#pragma once

#include <string>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/kafka/client.h"

namespace buurtlog::kafka {

struct TopicShape {
  std::string cluster_id;
  int partitions = 0;
  int replication = 0;  // of the partition that has the fewest
};

using TopicConfig = absl::btree_map<std::string, std::string>;

// Each blocks, for kAskMax at the most. NOT_FOUND: there is no such topic. UNAVAILABLE: no answer,
// or a partition without a leader.
absl::StatusOr<TopicShape> DescribeShape(rd_kafka_t* client, const std::string& topic);
absl::StatusOr<TopicConfig> DescribeConfig(rd_kafka_t* client, const std::string& topic);
// OK also when somebody else has made it meanwhile.
absl::Status CreateTopic(rd_kafka_t* client, const std::string& topic, const TopicShape& shape,
                         const TopicConfig& config);

}  // namespace buurtlog::kafka
