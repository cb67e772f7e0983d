#include "libs/kafka/kafka_topic.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "libs/base/about.h"
#include "libs/base/check.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/identity_file.h"
#include "libs/eventlog/topic_message.h"
#include "libs/kafka/admin.h"
#include "libs/kafka/consumer.h"
#include "libs/kafka/producer.h"

namespace buurtlog::kafka {
namespace {

using eventlog::LogIdentity;
using eventlog::Offset;

// Until every partition of a topic has its leader, and every broker knows it.
constexpr absl::Duration kLeadersMax = absl::Seconds(30);
constexpr absl::Duration kLeadersPause = absl::Milliseconds(50);

int MinInsync(int replication) { return replication >= 3 ? 2 : 1; }

// What a topic must have, with the reason that a refusal gives.
struct Setting {
  const char* name;
  std::string value;
  const char* reason;
};

std::vector<Setting> SettingsOf(int replication) {
  return {
      {"cleanup.policy", "delete", "TOPIC_CLEANUP_POLICY"},
      {"retention.ms", "-1", "TOPIC_RETENTION"},
      {"retention.bytes", "-1", "TOPIC_RETENTION"},
      {"min.insync.replicas", std::to_string(MinInsync(replication)), "TOPIC_MIN_INSYNC_REPLICAS"},
      {"max.message.bytes", std::to_string(kMaxMessageBytes), "TOPIC_MAX_MESSAGE_BYTES"},
      {"unclean.leader.election.enable", "false", "TOPIC_UNCLEAN_ELECTION"},
  };
}

absl::Status Differs(const std::string& topic, const std::string& what, const std::string& is,
                     const std::string& must_be, std::string_view reason) {
  return WithReason(absl::FailedPreconditionError(absl::StrCat("topic ", topic, ": ", what, " is ",
                                                               is, " and must be ", must_be)),
                    reason);
}

absl::Status CheckShape(const std::string& topic, const TopicShape& shape,
                        const TopicOptions& options) {
  if (!options.cluster_id.empty() && shape.cluster_id != options.cluster_id) {
    return Differs(topic, "the cluster", shape.cluster_id, options.cluster_id, "KAFKA_CLUSTER");
  }
  if (shape.replication < options.replication) {
    return Differs(topic, "the number of replicas", std::to_string(shape.replication),
                   std::to_string(options.replication), "TOPIC_REPLICATION");
  }
  return absl::OkStatus();
}

absl::Status CheckConfig(const std::string& topic, const TopicConfig& config, int replication) {
  for (const Setting& setting : SettingsOf(replication)) {
    const auto found = config.find(setting.name);
    const std::string is = found == config.end() ? "not told" : found->second;
    if (is != setting.value) return Differs(topic, setting.name, is, setting.value, setting.reason);
  }
  return absl::OkStatus();
}

absl::Status Create(rd_kafka_t* client, const std::string& topic, const TopicOptions& options,
                    uint32_t partitions) {
  TopicConfig config;
  for (const Setting& setting : SettingsOf(options.replication)) {
    config[setting.name] = setting.value;
  }
  return CreateTopic(client, topic, {"", static_cast<int>(partitions), options.replication},
                     config);
}

// Asks again for as long as the answer is one that passes.
template <typename Ask>
auto Persist(absl::Duration patience, Ask ask) {
  const absl::Time until = absl::Now() + patience;
  auto answer = ask();
  while (absl::IsUnavailable(answer.status()) && absl::Now() < until) {
    absl::SleepFor(kLeadersPause);
    answer = ask();
  }
  return answer;
}

// A broken connection is told again and again, why it breaks once.
void KeepReason(rd_kafka_t*, int error, const char* reason, void* said) {
  std::string& kept = *static_cast<std::string*>(said);
  const bool is_why = error == RD_KAFKA_RESP_ERR__SSL || error == RD_KAFKA_RESP_ERR__AUTHENTICATION;
  if (kept.empty() || is_why) kept = reason;
}

// Of a topic that is there: it is not known to every broker yet.
absl::Status Passing(const absl::Status& status) {
  return absl::IsNotFound(status) ? absl::UnavailableError(status.message()) : status;
}

absl::StatusOr<TopicShape> WaitForLeaders(rd_kafka_t* client, const std::string& topic) {
  return Persist(kLeadersMax, [&] {
    absl::StatusOr<TopicShape> shape = DescribeShape(client, topic);
    if (!shape.ok()) shape = Passing(shape.status());
    return shape;
  });
}

// The message at an offset that exists.
absl::StatusOr<Message> TryReadMessage(rd_kafka_t* client, const std::string& topic,
                                       int32_t partition, Offset offset) {
  const TopicHandle handle(rd_kafka_topic_new(client, topic.c_str(), nullptr));
  if (rd_kafka_consume_start(handle.get(), partition, offset) != 0) {
    return Passing(StatusOf(rd_kafka_last_error(), "reading the topic"));
  }
  Message message(rd_kafka_consume(handle.get(), partition, Millis(kAskMax)));
  rd_kafka_consume_stop(handle.get(), partition);
  if (message == nullptr) return absl::UnavailableError("the Kafka cluster does not answer");
  ABSL_RETURN_IF_ERROR(Passing(StatusOf(message->err, "reading the topic")));
  return message;
}

absl::StatusOr<Message> ReadMessage(rd_kafka_t* client, const std::string& topic, int32_t partition,
                                    Offset offset) {
  return Persist(kLeadersMax, [&] { return TryReadMessage(client, topic, partition, offset); });
}

absl::StatusOr<Offset> EndOf(rd_kafka_t* client, const std::string& topic, int32_t partition) {
  struct Ends {
    int64_t low = 0;
    int64_t high = 0;
  };
  // A partition may be between two leaders.
  ABSL_ASSIGN_OR_RETURN(
      const Ends ends, Persist(kLeadersMax, [&]() -> absl::StatusOr<Ends> {
        Ends now;
        ABSL_RETURN_IF_ERROR(
            Passing(StatusOf(rd_kafka_query_watermark_offsets(client, topic.c_str(), partition,
                                                              &now.low, &now.high, Millis(kAskMax)),
                             "asking how far the topic goes")));
        return now;
      }));
  const auto [low, high] = ends;
  if (low > 0) {
    return absl::DataLossError(absl::StrCat("topic ", topic, ", partition ", partition,
                                            ": it begins at offset ", low,
                                            "; what was before is gone"));
  }
  return high;
}

absl::Status TrySendIdentity(Producer& producer, int32_t partition, const LogIdentity& identity) {
  ABSL_ASSIGN_OR_RETURN(std::string text, eventlog::EncodeIdentity(identity));
  absl::Notification known;
  absl::Status outcome;
  producer.Send(static_cast<eventlog::Partition>(partition),
                eventlog::MessageKey(identity, eventlog::kIdentitySend), std::move(text),
                [&](absl::Status status) {
                  outcome = std::move(status);
                  known.Notify();
                });
  known.WaitForNotification();
  return outcome;
}

// It may stand there more than once afterwards; the first one says what the log is.
absl::Status SendIdentity(Producer& producer, int32_t partition, const LogIdentity& identity) {
  struct Outcome {
    absl::Status sent;
    const absl::Status& status() const { return sent; }
  };
  return Persist(kLeadersMax,
                 [&] { return Outcome{TrySendIdentity(producer, partition, identity)}; })
      .sent;
}

// What stands in front of the partition; written there when nothing does and `make` says what.
absl::StatusOr<LogIdentity> IdentityOf(rd_kafka_t* client, const std::string& topic,
                                       int32_t partition, const std::optional<LogIdentity>& make,
                                       Producer& producer) {
  ABSL_ASSIGN_OR_RETURN(const Offset end, EndOf(client, topic, partition));
  if (end == 0) {
    if (!make.has_value()) {
      return absl::NotFoundError(absl::StrCat("topic ", topic, " holds no log"));
    }
    ABSL_RETURN_IF_ERROR(SendIdentity(producer, partition, *make));
  }
  ABSL_ASSIGN_OR_RETURN(const Message first, ReadMessage(client, topic, partition, 0));
  const std::string place = absl::StrCat("topic ", topic, ", partition ", partition);
  absl::StatusOr<LogIdentity> identity =
      eventlog::DecodeIdentity({static_cast<const char*>(first->payload), first->len}, place);
  if (!absl::IsDataLoss(identity.status())) return identity;
  return WithReason(absl::FailedPreconditionError(
                        absl::StrCat(place, ": does not begin with the identity of a log")),
                    "FOREIGN_ENTRY");
}

class KafkaTopic final : public eventlog::Topic {
 public:
  KafkaTopic(std::unique_ptr<std::string> said, Client asking, TopicOptions options,
             LogIdentity identity, std::string place_id, Scheduler& scheduler)
      : said_(std::move(said)),
        asking_(std::move(asking)),
        options_(std::move(options)),
        name_(TopicName(options_)),
        identity_(std::move(identity)),
        place_id_(std::move(place_id)),
        scheduler_(scheduler) {}

  const LogIdentity& identity() const override { return identity_; }
  const std::string& place_id() const override { return place_id_; }

  std::unique_ptr<eventlog::TopicProducer> NewProducer() override {
    auto producer = Producer::Open(options_.properties, name_, scheduler_);
    CHECK(producer.ok());  // one with these properties was there before
    return *std::move(producer);
  }

  absl::StatusOr<std::vector<Offset>> Ends() override {
    std::vector<Offset> ends;
    for (uint32_t partition = 0; partition < identity_.partitions; ++partition) {
      ABSL_ASSIGN_OR_RETURN(const Offset end,
                            EndOf(asking_.get(), name_, static_cast<int32_t>(partition)));
      ends.push_back(end);
    }
    return ends;
  }

  std::unique_ptr<eventlog::Subscription> Follow(std::vector<Offset> from,
                                                 Follower follower) override {
    auto consumer = Consumer::Start(options_.properties, name_, std::move(from),
                                    std::move(follower), scheduler_);
    CHECK(consumer.ok());  // as above
    return *std::move(consumer);
  }

 private:
  const std::unique_ptr<std::string> said_;  // by the client, which it outlives
  const Client asking_;
  const TopicOptions options_;
  const std::string name_;
  const LogIdentity identity_;
  const std::string place_id_;
  Scheduler& scheduler_;
};

bool IsName(const std::string& name) {
  return !name.empty() && name.size() <= kRegionBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

}  // namespace

std::string TopicName(const TopicOptions& options) {
  return absl::StrCat("buurtlog.", options.region, ".", options.service, ".v",
                      options.topic_version);
}

absl::Status CheckTopicOptions(const TopicOptions& options) {
  if (options.brokers.empty()) return InvalidField("brokers", "host:port, with commas between");
  if (!IsName(options.region)) {
    return InvalidField("region",
                        absl::StrCat("letters a to z, digits and -; at most ", kRegionBytesMax));
  }
  if (options.replication < 1) return InvalidField("replication", "1 or more");
  return absl::OkStatus();
}

// Why no broker answers, as the client heard it.
absl::Status WithWhatWasSaid(const absl::Status& status, rd_kafka_t& client,
                             const std::string& said) {
  while (rd_kafka_poll(&client, 0) > 0) {
  }
  if (said.empty()) return status;
  return About("asking the Kafka cluster",
               absl::UnavailableError(absl::StrCat(status.message(), "; ", said)));
}

absl::StatusOr<std::unique_ptr<eventlog::Topic>> OpenTopic(const TopicOptions& given,
                                                           const std::optional<LogIdentity>& make,
                                                           Scheduler& scheduler) {
  ABSL_RETURN_IF_ERROR(CheckTopicOptions(given));
  TopicOptions options = given;
  options.properties.emplace_back("bootstrap.servers", options.brokers);
  options.properties.emplace_back("message.max.bytes", std::to_string(kMaxMessageBytes));
  const std::string topic = TopicName(options);
  Properties asking = ConsumerProperties(options.properties);
  // It reads single messages, and nobody waits for more to come.
  asking.emplace_back("fetch.wait.max.ms", "10");
  auto said = std::make_unique<std::string>();
  ABSL_ASSIGN_OR_RETURN(Client client, NewClient(RD_KAFKA_CONSUMER, asking,
                                                 {.error = &KeepReason, .opaque = said.get()}));
  absl::StatusOr<TopicShape> shape = DescribeShape(client.get(), topic);
  if (absl::IsUnavailable(shape.status())) shape = WithWhatWasSaid(shape.status(), *client, *said);
  if (absl::IsNotFound(shape.status()) && make.has_value()) {
    ABSL_RETURN_IF_ERROR(Create(client.get(), topic, options, make->partitions));
    shape = WaitForLeaders(client.get(), topic);
  }
  ABSL_RETURN_IF_ERROR(shape.status());
  ABSL_RETURN_IF_ERROR(CheckShape(topic, *shape, options));
  ABSL_ASSIGN_OR_RETURN(const TopicConfig config, Persist(kLeadersMax, [&] {
                          absl::StatusOr<TopicConfig> found = DescribeConfig(client.get(), topic);
                          if (!found.ok()) found = Passing(found.status());
                          return found;
                        }));
  ABSL_RETURN_IF_ERROR(CheckConfig(topic, config, options.replication));
  ABSL_ASSIGN_OR_RETURN(const std::unique_ptr<Producer> producer,
                        Producer::Open(options.properties, topic, scheduler));
  // The first partition decides when several make the topic at once.
  ABSL_ASSIGN_OR_RETURN(const LogIdentity identity,
                        IdentityOf(client.get(), topic, 0, make, *producer));
  if (identity.service != options.service || identity.topic_version != options.topic_version) {
    return Differs(topic, "the log", absl::StrCat(identity.service, ".v", identity.topic_version),
                   absl::StrCat(options.service, ".v", options.topic_version), "FOREIGN_ENTRY");
  }
  if (shape->partitions != static_cast<int>(identity.partitions)) {
    return Differs(topic, "the number of partitions", std::to_string(shape->partitions),
                   std::to_string(identity.partitions), "TOPIC_PARTITIONS");
  }
  for (int32_t partition = 1; partition < shape->partitions; ++partition) {
    ABSL_ASSIGN_OR_RETURN(
        const LogIdentity other,
        IdentityOf(client.get(), topic, partition,
                   make.has_value() ? std::make_optional(identity) : std::nullopt, *producer));
    if (other == identity) continue;
    return Differs(topic, absl::StrCat("the log of partition ", partition), other.log_id.ToString(),
                   identity.log_id.ToString(), "FOREIGN_ENTRY");
  }
  return std::unique_ptr<eventlog::Topic>(
      std::make_unique<KafkaTopic>(std::move(said), std::move(client), std::move(options), identity,
                                   absl::StrCat(shape->cluster_id, "/", topic), scheduler));
}

}  // namespace buurtlog::kafka
