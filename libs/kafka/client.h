// Owners of librdkafka handles, and what its errors mean here. Private to libs/kafka.
#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace buurtlog::kafka {

// Names and values as librdkafka's CONFIGURATION.md has them.
using Properties = std::vector<std::pair<std::string, std::string>>;

// For how long a question to the cluster may go unanswered.
inline constexpr absl::Duration kAskMax = absl::Seconds(10);

struct ClientDeleter {
  void operator()(rd_kafka_t* handle) const { rd_kafka_destroy(handle); }
};
using Client = std::unique_ptr<rd_kafka_t, ClientDeleter>;

struct TopicDeleter {
  void operator()(rd_kafka_topic_t* handle) const { rd_kafka_topic_destroy(handle); }
};
using TopicHandle = std::unique_ptr<rd_kafka_topic_t, TopicDeleter>;

struct QueueDeleter {
  void operator()(rd_kafka_queue_t* handle) const { rd_kafka_queue_destroy(handle); }
};
using Queue = std::unique_ptr<rd_kafka_queue_t, QueueDeleter>;

struct MessageDeleter {
  void operator()(rd_kafka_message_t* message) const { rd_kafka_message_destroy(message); }
};
using Message = std::unique_ptr<rd_kafka_message_t, MessageDeleter>;

// A client with these properties; later ones win. `delivery` is for producers. librdkafka's own log
// lines are dropped: what it meets comes back with the calls that it concerns. INVALID_ARGUMENT
// naming the property that librdkafka does not take.
absl::StatusOr<Client> NewClient(rd_kafka_type_t type, const Properties& properties,
                                 void (*delivery)(rd_kafka_t*, const rd_kafka_message_t*,
                                                  void*) = nullptr,
                                 void* opaque = nullptr);

// INVALID_ARGUMENT: refused for ever; PERMISSION_DENIED: not allowed; NOT_FOUND: no such topic;
// UNAVAILABLE: everything else, where the outcome is open.
absl::Status StatusOf(rd_kafka_resp_err_t error, std::string_view doing);

int Millis(absl::Duration duration);

}  // namespace buurtlog::kafka
