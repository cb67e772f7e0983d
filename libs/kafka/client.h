// Owners of librdkafka handles, and what its errors mean here. Private to libs/kafka.
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstddef>
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

// For how long a thread that takes what a client has for it sleeps when there is nothing.
inline constexpr absl::Duration kPollMax = absl::Milliseconds(100);
// Room for the words of an error.
inline constexpr size_t kErrorBytes = 512;

template <auto destroy>
struct Destroy {
  template <typename T>
  void operator()(T* handle) const {
    destroy(handle);
  }
};
// A handle that librdkafka destroys with this function.
template <typename T, auto destroy>
using Owned = std::unique_ptr<T, Destroy<destroy>>;

using Client = Owned<rd_kafka_t, rd_kafka_destroy>;
using TopicHandle = Owned<rd_kafka_topic_t, rd_kafka_topic_destroy>;
using Queue = Owned<rd_kafka_queue_t, rd_kafka_queue_destroy>;
using Message = Owned<rd_kafka_message_t, rd_kafka_message_destroy>;

// As librdkafka has them; all are called with `opaque`.
struct ClientCallbacks {
  void (*delivery)(rd_kafka_t*, const rd_kafka_message_t*, void*) = nullptr;  // of producers
  void (*rebalance)(rd_kafka_t*, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t*,
                    void*) = nullptr;  // of members of a group
  // What goes wrong beside any call, as TLS or a sign-in; told by rd_kafka_poll.
  void (*error)(rd_kafka_t*, int, const char*, void*) = nullptr;
  void* opaque = nullptr;
};

// A client with these properties, later ones win, and with what every client has: it sends at once
// and comes back soon. librdkafka's own log lines are dropped: what it meets comes back with the
// calls that it concerns. INVALID_ARGUMENT naming the property that librdkafka does not take.
absl::StatusOr<Client> NewClient(rd_kafka_type_t type, const Properties& properties,
                                 const ClientCallbacks& callbacks = {});

// INVALID_ARGUMENT: refused for ever; PERMISSION_DENIED: not allowed; NOT_FOUND: no such topic;
// UNAVAILABLE: everything else, where the outcome is open.
absl::Status StatusOf(rd_kafka_resp_err_t error, std::string_view doing);

int Millis(absl::Duration duration);

}  // namespace buurtlog::kafka
