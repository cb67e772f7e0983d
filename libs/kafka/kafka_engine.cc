#include "libs/kafka/kafka_engine.h"

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/kafka_event_log.h"
#include "libs/kafka/replica_group.h"

namespace buurtlog::kafka {
namespace {

constexpr absl::string_view kKafkaPrefix = "kafka:";

// What the log's guarantees stand on is not for a file to change.
constexpr std::array<absl::string_view, 14> kOurs = {"acks",
                                                     "client.id",
                                                     "group.id",
                                                     "session.timeout.ms",
                                                     "heartbeat.interval.ms",
                                                     "enable.idempotence",
                                                     "transactional.id",
                                                     "message.timeout.ms",
                                                     "linger.ms",
                                                     "isolation.level",
                                                     "auto.offset.reset",
                                                     "check.crcs",
                                                     "bootstrap.servers",
                                                     "message.max.bytes"};

absl::StatusOr<Properties> ReadProperties(const std::string& path, Files& files) {
  Properties properties;
  if (path.empty()) return properties;
  ABSL_ASSIGN_OR_RETURN(const std::string text, files.Read(path));
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || absl::StartsWith(line, "#")) continue;
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    const absl::string_view name = absl::StripAsciiWhitespace(parts.first);
    if (!absl::StrContains(line, "=") || name.empty()) {
      return InvalidField("kafka_properties",
                          absl::StrCat(path, ", line ", number, ": must be name=value"));
    }
    for (const absl::string_view ours : kOurs) {
      if (name != ours) continue;
      return InvalidField("kafka_properties", absl::StrCat(path, ", line ", number, ": ", name,
                                                           " is not to be changed"));
    }
    properties.emplace_back(name, absl::StripAsciiWhitespace(parts.second));
  }
  return properties;
}

class KafkaEngine final : public eventlog::LogEngine {
 public:
  explicit KafkaEngine(TopicOptions options) : options_(std::move(options)) {}

  absl::StatusOr<Opened> Open(const std::string& service, const std::string& folder, bool may_make,
                              const eventlog::LogSeams& seams) override {
    TopicOptions topic_options = options_;
    topic_options.service = service;
    std::optional<eventlog::LogIdentity> make;
    if (may_make) make = eventlog::NewLogIdentity(service, seams.clock, seams.random);
    ABSL_ASSIGN_OR_RETURN(std::unique_ptr<eventlog::Topic> topic,
                          OpenTopic(topic_options, make, seams.scheduler));
    eventlog::KafkaLogOptions log_options;
    log_options.folder = folder + "/topic";
    log_options.clock = &seams.clock;
    log_options.random = &seams.random;
    ABSL_ASSIGN_OR_RETURN(
        std::unique_ptr<eventlog::KafkaEventLog> log,
        eventlog::KafkaEventLog::Open(std::move(topic), log_options, seams.files, seams.scheduler));
    std::string discarded = log->discarded();
    return Opened{std::move(log), std::move(discarded)};
  }

  bool shared() const override { return true; }

  absl::StatusOr<std::unique_ptr<eventlog::Membership>> Join(
      const std::string& service, const std::string& member,
      absl::AnyInvocable<void(const std::vector<eventlog::Partition>&)> assigned,
      Scheduler& scheduler) override {
    TopicOptions topic_options = options_;
    topic_options.service = service;
    Properties properties = options_.properties;
    properties.emplace_back("bootstrap.servers", options_.brokers);
    return ReplicaGroup::Join(properties, TopicName(topic_options), member, std::move(assigned),
                              scheduler);
  }

 private:
  const TopicOptions options_;
};

}  // namespace

absl::StatusOr<TopicOptions> TopicOptionsOf(const LogWords& words, Files& files) {
  absl::string_view brokers = words.log;
  if (!absl::ConsumePrefix(&brokers, kKafkaPrefix)) {
    return InvalidField("log", "sqlite, or kafka: and the brokers (kafka:host:port,host:port)");
  }
  TopicOptions options;
  options.brokers = std::string(brokers);
  options.region = words.region;
  options.replication = words.replication;
  options.cluster_id = words.cluster_id;
  ABSL_ASSIGN_OR_RETURN(options.properties, ReadProperties(words.properties_file, files));
  ABSL_RETURN_IF_ERROR(CheckTopicOptions(options));
  return options;
}

absl::StatusOr<std::shared_ptr<eventlog::LogEngine>> NewLogEngine(const LogWords& words,
                                                                  Files& files) {
  if (words.log == "sqlite") {
    return std::shared_ptr<eventlog::LogEngine>(&eventlog::SqliteEngine(), [](auto*) {});
  }
  ABSL_ASSIGN_OR_RETURN(TopicOptions options, TopicOptionsOf(words, files));
  return std::shared_ptr<eventlog::LogEngine>(std::make_shared<KafkaEngine>(std::move(options)));
}

}  // namespace buurtlog::kafka
