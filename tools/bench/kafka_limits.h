// What a durable command on Kafka is measured against: the bytes of the requests, batch by batch,
// on a topic of their own, and nothing else.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "libs/base/scheduler.h"
#include "libs/kafka/kafka_topic.h"
#include "tools/bench/bare_log.h"

namespace buurtlog::bench {

// An idempotent producer (acks=all), four batches under way as with ours; done when a batch has
// been delivered and read back. `scheduler` outlives it.
absl::StatusOr<std::unique_ptr<AppendingLog>> NewReadBackLog(const kafka::TopicOptions& options,
                                                             Scheduler& scheduler);

// A transactional producer, one transaction a batch; done when it is committed.
absl::StatusOr<std::unique_ptr<AppendingLog>> NewTransactionLog(const kafka::TopicOptions& options,
                                                                Scheduler& scheduler);

}  // namespace buurtlog::bench
