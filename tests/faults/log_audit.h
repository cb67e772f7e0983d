// Reads the logs of a data folder, each time from where it stood the time before, and compares them
// with what callers were told.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "libs/eventlog/fold.h"
#include "libs/kafka/kafka_engine.h"
#include "tests/faults/care_load.h"

namespace buurtlog::faults {

// Not thread-safe.
class LogAudit {
 public:
  // `words`: where the logs are; in the data folder unless it says Kafka.
  explicit LogAudit(std::string data_folder, kafka::LogWords words = {})
      : data_folder_(std::move(data_folder)), words_(std::move(words)) {}

  // Reads on. DATA_LOSS when what was read before is not there any more, or does not follow.
  absl::Status ReadOn();
  // What must not be, a sentence each: a key that stands in a log twice, an answer whose record
  // is not at its place, or one that stands before another that was answered before it was asked.
  // `done` was answered before ReadOn was called.
  std::vector<std::string> Compare(const std::vector<Done>& done);

  struct Place {
    std::string service;
    uint32_t partition = 0;
    uint64_t sequence = 0;
  };
  // Where the record of a key stands; null when there is none.
  const Place* PlaceOf(const std::string& key) const;
  size_t records() const { return records_; }
  // Of services, by partition.
  const std::map<std::string, std::vector<eventlog::FoldState>>& places() const { return places_; }

 private:
  const std::string data_folder_;
  const kafka::LogWords words_;
  std::map<std::string, std::vector<eventlog::FoldState>> places_;
  absl::flat_hash_map<std::string, Place> by_key_;  // of the log, as text
  std::vector<std::string> twice_;
  size_t records_ = 0;
  size_t compared_ = 0;  // of `done`

  std::vector<std::string> OutOfOrder(const std::vector<Done>& done) const;
};

}  // namespace buurtlog::faults
