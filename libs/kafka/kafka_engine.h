// The logs of a process on Apache Kafka, and how a command line says which engine it wants.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "libs/base/files.h"
#include "libs/eventlog/log_engine.h"
#include "libs/kafka/kafka_topic.h"

namespace buurtlog::kafka {

inline constexpr char kRegionDefault[] = "region";

// Words of a command line. The fields of `topics` but the service are the same for all logs.
struct LogWords {
  std::string log = "sqlite";  // or "kafka:<host:port>,<host:port>..."
  std::string region = kRegionDefault;
  int replication = kReplicationDefault;
  std::string cluster_id;
  // A file with a librdkafka property (`security.protocol=SSL`) on each line; # begins a comment.
  std::string properties_file;
};

// INVALID_ARGUMENT naming the word, NOT_FOUND for a file that is not there.
absl::StatusOr<TopicOptions> TopicOptionsOf(const LogWords& words, Files& files);

// SqliteEngine, or one on Kafka: what it keeps of a log is in the folder `topic`. Errors as
// TopicOptionsOf.
absl::StatusOr<std::shared_ptr<eventlog::LogEngine>> NewLogEngine(const LogWords& words,
                                                                  Files& files);

}  // namespace buurtlog::kafka
