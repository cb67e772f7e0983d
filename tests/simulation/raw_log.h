// A log read from its beginning and judged anew, without the fold that the engines share: what
// counts must follow by sequence, epoch and hash, and each stream and each key by the rules of
// DESIGN's records, whatever the product's own code says.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "buurtlog/log/v1/record.pb.h"
#include "libs/base/ids.h"
#include "libs/eventlog/event_log.h"
#include "tests/simulation/simulated_topic.h"

namespace buurtlog::simulation {

// The caller's name for a command: key and actor.
using CommandKey = std::pair<std::string, std::string>;

struct RawRecord {
  eventlog::Partition partition = 0;
  eventlog::Sequence sequence = 0;
  log::v1::Record record;
};

// One event of a stream.
struct RawText {
  eventlog::Sequence sequence = 0;
  std::string text;
};

struct RawStream {
  eventlog::Partition partition = 0;
  std::vector<RawText> texts;
  // Of the entries before `next`.
  size_t CountBefore(eventlog::Sequence next) const;
};

struct RawLog {
  // By partition: the hash of every entry, the first at 0.
  std::vector<std::vector<eventlog::Hash>> hashes;
  std::map<CommandKey, RawRecord> records;
  std::map<std::string, RawStream> streams;  // by stream id
  size_t entries = 0;
};

// Reads to the end of every partition. DATA_LOSS says what does not hold; UNAVAILABLE when the log
// was out of reach.
absl::StatusOr<RawLog> ReadRawLog(eventlog::LogReader& log);

// What counts in a topic, from its messages and by rules of its own.
absl::StatusOr<RawLog> ReadRawTopic(const SimulatedTopic& topic);

// Of the message with the last entry that counts in this partition; 0 without one.
absl::StatusOr<eventlog::Offset> LastCountingOffset(const SimulatedTopic& topic,
                                                    eventlog::Partition partition);

// Everything that `before` had stands in `after` at the same places.
absl::Status CheckExtends(const RawLog& before, const RawLog& after);

}  // namespace buurtlog::simulation
