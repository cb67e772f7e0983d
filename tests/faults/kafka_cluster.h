// A Kafka cluster of a test's own, whose brokers may die, and a network to it that may fail: every
// replica comes in by a door of its own (tools/kafka/broker --doors), behind which stands a proxy
// (kafka_proxy).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/end_to_end/child_process.h"

namespace buurtlog::faults {

// Not thread-safe. The cluster is gone with the object.
class KafkaCluster {
 public:
  KafkaCluster(std::string folder, int brokers, size_t doors);
  ~KafkaCluster();

  absl::Status Start();
  int brokers() const { return brokers_; }
  // Bootstrap addresses behind a door, from 0; or the brokers' own.
  std::string Behind(size_t door) const;
  std::string direct() const { return direct_; }

  // `kill`, `start`, `pause` or `resume`, of a broker from 1.
  absl::Status Broker(const std::string& command, int broker);
  // A command of kafka_proxy: cut, mend, hold, lose, double, or late with seconds.
  void Network(const std::string& command, size_t door, const std::string& seconds = "");

 private:
  absl::StatusOr<std::string> Run(std::vector<std::string> words) const;

  const std::string folder_;
  const int brokers_;
  const size_t doors_;
  std::string direct_;
  std::vector<std::string> behind_;
  std::optional<end_to_end::ChildProcess> proxy_;
};

}  // namespace buurtlog::faults
