#include "libs/kafka/log_flags.h"

#include <string>

#include "absl/flags/flag.h"
#include "libs/kafka/kafka_engine.h"

ABSL_FLAG(std::string, log, "sqlite",
          "Where the log is: sqlite, in the data folder, or kafka:<host:port>,<host:port>...");
ABSL_FLAG(std::string, region, buurtlog::kafka::kRegionDefault,
          "Name of the region: its topics are buurtlog.<region>.<service>.v1.");
ABSL_FLAG(int, kafka_replication, buurtlog::kafka::kReplicationDefault,
          "Replicas that the topics must have at least, and are made with.");
ABSL_FLAG(std::string, kafka_cluster_id, "", "Refuse any other Kafka cluster; empty: take any.");
ABSL_FLAG(std::string, kafka_properties, "",
          "File with librdkafka properties (TLS, SASL), one name=value a line.");

namespace buurtlog::kafka {

namespace {

LogWords WordsOfFlags() {
  LogWords words;
  words.log = absl::GetFlag(FLAGS_log);
  words.region = absl::GetFlag(FLAGS_region);
  words.replication = absl::GetFlag(FLAGS_kafka_replication);
  words.cluster_id = absl::GetFlag(FLAGS_kafka_cluster_id);
  words.properties_file = absl::GetFlag(FLAGS_kafka_properties);
  return words;
}

}  // namespace

absl::StatusOr<std::shared_ptr<eventlog::LogEngine>> LogEngineOfFlags() {
  return NewLogEngine(WordsOfFlags(), SystemFiles());
}

absl::StatusOr<TopicOptions> TopicOptionsOfFlags() {
  return TopicOptionsOf(WordsOfFlags(), SystemFiles());
}

}  // namespace buurtlog::kafka
