// The flags with which a service's executable says which engine keeps the log: --log, --region,
// --kafka_replication, --kafka_cluster_id, --kafka_properties.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "libs/eventlog/log_engine.h"
#include "libs/kafka/kafka_topic.h"

namespace buurtlog::kafka {

// Errors as NewLogEngine.
absl::StatusOr<std::shared_ptr<eventlog::LogEngine>> LogEngineOfFlags();

// Of topics on Kafka; INVALID_ARGUMENT for another log.
absl::StatusOr<TopicOptions> TopicOptionsOfFlags();

}  // namespace buurtlog::kafka
