#include "libs/kafka/client.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "libs/base/absl_view.h"

namespace buurtlog::kafka {
namespace {

void DropLogLine(const rd_kafka_t*, int, const char*, const char*) {}

}  // namespace

absl::StatusOr<Client> NewClient(rd_kafka_type_t type, const Properties& properties,
                                 const ClientCallbacks& callbacks) {
  const Owned<rd_kafka_conf_t, rd_kafka_conf_destroy> conf(rd_kafka_conf_new());
  std::array<char, kErrorBytes> error{};
  Properties all = properties;
  all.emplace_back("socket.nagle.disable", "true");
  all.emplace_back("reconnect.backoff.ms", "20");
  all.emplace_back("reconnect.backoff.max.ms", "500");
  for (const auto& [name, value] : all) {
    const rd_kafka_conf_res_t set =
        rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), error.data(), error.size());
    // The value may be a password, so the message is ours.
    if (set == RD_KAFKA_CONF_UNKNOWN) {
      return absl::InvalidArgumentError(absl::StrCat("there is no Kafka property ", name));
    }
    if (set != RD_KAFKA_CONF_OK) {
      return absl::InvalidArgumentError(
          absl::StrCat("the value of Kafka property ", name, " is not a valid one"));
    }
  }
  rd_kafka_conf_set_log_cb(conf.get(), &DropLogLine);
  rd_kafka_conf_set_opaque(conf.get(), callbacks.opaque);
  if (callbacks.delivery != nullptr) rd_kafka_conf_set_dr_msg_cb(conf.get(), callbacks.delivery);
  if (callbacks.error != nullptr) rd_kafka_conf_set_error_cb(conf.get(), callbacks.error);
  if (callbacks.rebalance != nullptr) {
    rd_kafka_conf_set_rebalance_cb(conf.get(), callbacks.rebalance);
  }
  rd_kafka_conf_t* taken = rd_kafka_conf_dup(conf.get());
  Client client(rd_kafka_new(type, taken, error.data(), error.size()));
  if (client == nullptr) {
    rd_kafka_conf_destroy(taken);
    return absl::InvalidArgumentError(absl::StrCat("no Kafka client: ", error.data()));
  }
  return client;
}

absl::Status StatusOf(rd_kafka_resp_err_t error, std::string_view doing) {
  const std::string message = absl::StrCat(AbslView(doing), ": ", rd_kafka_err2str(error));
  switch (error) {
    case RD_KAFKA_RESP_ERR_NO_ERROR: return absl::OkStatus();
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION: return absl::InvalidArgumentError(message);
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION: return absl::PermissionDeniedError(message);
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: return absl::NotFoundError(message);
    default: return absl::UnavailableError(message);
  }
}

int Millis(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

}  // namespace buurtlog::kafka
