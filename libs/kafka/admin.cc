#include "libs/kafka/admin.h"

#include <algorithm>
#include <array>
#include <memory>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace buurtlog::kafka {
namespace {

using Event = Owned<rd_kafka_event_t, rd_kafka_event_destroy>;

// Waits for the answer to an order that `send` gives with options and the queue for the answer.
template <typename Send>
absl::StatusOr<Event> Ask(rd_kafka_t* client, rd_kafka_admin_op_t what, Send send) {
  const Owned<rd_kafka_AdminOptions_t, rd_kafka_AdminOptions_destroy> options(
      rd_kafka_AdminOptions_new(client, what));
  std::array<char, kErrorBytes> error{};
  rd_kafka_AdminOptions_set_request_timeout(options.get(), Millis(kAskMax), error.data(),
                                            error.size());
  const Queue queue(rd_kafka_queue_new(client));
  send(options.get(), queue.get());
  Event event(rd_kafka_queue_poll(queue.get(), Millis(kAskMax)));
  if (event == nullptr) return absl::UnavailableError("the Kafka cluster does not answer");
  ABSL_RETURN_IF_ERROR(StatusOf(rd_kafka_event_error(event.get()), "asking the Kafka cluster"));
  return event;
}

}  // namespace

absl::StatusOr<TopicShape> DescribeShape(rd_kafka_t* client, const std::string& topic) {
  const TopicHandle handle(rd_kafka_topic_new(client, topic.c_str(), nullptr));
  const struct rd_kafka_metadata* metadata = nullptr;
  ABSL_RETURN_IF_ERROR(
      StatusOf(rd_kafka_metadata(client, 0, handle.get(), &metadata, Millis(kAskMax)),
               "asking the Kafka cluster"));
  const Owned<const struct rd_kafka_metadata, rd_kafka_metadata_destroy> owned(metadata);
  if (metadata->topic_cnt != 1) return absl::UnavailableError("no answer about the topic");
  const rd_kafka_metadata_topic& found = metadata->topics[0];
  ABSL_RETURN_IF_ERROR(StatusOf(found.err, absl::StrCat("topic ", topic)));
  TopicShape shape;
  shape.partitions = found.partition_cnt;
  for (int i = 0; i < found.partition_cnt; ++i) {
    const rd_kafka_metadata_partition& partition = found.partitions[i];
    if (partition.leader < 0) {
      return absl::UnavailableError(
          absl::StrCat("topic ", topic, ", partition ", partition.id, ": no broker leads it"));
    }
    shape.replication =
        i == 0 ? partition.replica_cnt : std::min(shape.replication, partition.replica_cnt);
  }
  char* cluster_id = rd_kafka_clusterid(client, Millis(kAskMax));
  if (cluster_id == nullptr) return absl::UnavailableError("the Kafka cluster tells no id");
  shape.cluster_id = cluster_id;
  rd_kafka_mem_free(client, cluster_id);
  return shape;
}

absl::StatusOr<TopicConfig> DescribeConfig(rd_kafka_t* client, const std::string& topic) {
  const Owned<rd_kafka_ConfigResource_t, rd_kafka_ConfigResource_destroy> resource(
      rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
  std::array<rd_kafka_ConfigResource_t*, 1> resources = {resource.get()};
  ABSL_ASSIGN_OR_RETURN(
      const Event event,
      Ask(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, [&](auto* options, auto* queue) {
        rd_kafka_DescribeConfigs(client, resources.data(), resources.size(), options, queue);
      }));
  size_t count = 0;
  const auto* const result = rd_kafka_event_DescribeConfigs_result(event.get());
  const rd_kafka_ConfigResource_t** const described =
      rd_kafka_DescribeConfigs_result_resources(result, &count);
  if (count != 1) return absl::UnavailableError("no answer about the settings of the topic");
  ABSL_RETURN_IF_ERROR(
      StatusOf(rd_kafka_ConfigResource_error(described[0]), absl::StrCat("topic ", topic)));
  const rd_kafka_ConfigEntry_t** const entries =
      rd_kafka_ConfigResource_configs(described[0], &count);
  TopicConfig config;
  for (size_t i = 0; i < count; ++i) {
    const char* value = rd_kafka_ConfigEntry_value(entries[i]);
    config[rd_kafka_ConfigEntry_name(entries[i])] = value == nullptr ? "" : value;
  }
  return config;
}

absl::Status CreateTopic(rd_kafka_t* client, const std::string& topic, const TopicShape& shape,
                         const TopicConfig& config) {
  std::array<char, kErrorBytes> error{};
  const Owned<rd_kafka_NewTopic_t, rd_kafka_NewTopic_destroy> created(rd_kafka_NewTopic_new(
      topic.c_str(), shape.partitions, shape.replication, error.data(), error.size()));
  if (created == nullptr) return absl::InvalidArgumentError(error.data());
  for (const auto& [name, value] : config) {
    rd_kafka_NewTopic_set_config(created.get(), name.c_str(), value.c_str());
  }
  std::array<rd_kafka_NewTopic_t*, 1> topics = {created.get()};
  ABSL_ASSIGN_OR_RETURN(
      const Event event,
      Ask(client, RD_KAFKA_ADMIN_OP_CREATETOPICS, [&](auto* options, auto* queue) {
        rd_kafka_CreateTopics(client, topics.data(), topics.size(), options, queue);
      }));
  size_t count = 0;
  const rd_kafka_topic_result_t** const results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  for (size_t i = 0; i < count; ++i) {
    const rd_kafka_resp_err_t result = rd_kafka_topic_result_error(results[i]);
    if (result == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) continue;
    const char* why = rd_kafka_topic_result_error_string(results[i]);
    ABSL_RETURN_IF_ERROR(
        StatusOf(result, absl::StrCat("making topic ", topic, why == nullptr ? "" : ": ",
                                      why == nullptr ? "" : why)));
  }
  return absl::OkStatus();
}

}  // namespace buurtlog::kafka
