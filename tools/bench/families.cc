#include "tools/bench/families.h"

namespace buurtlog::bench {

const std::vector<Family>& Families() {
  static const auto& families = *new std::vector<Family>{
      {"command", "a durable command through gRPC", MeasureCommand},
      {"append", "a durable append in process", MeasureAppend},
      {"refusals", "a command that a rule refuses", MeasureRefusals},
      {"flood", "calls while another team floods", MeasureFlood},
      {"batch", "many commands in one call", MeasureBatch},
      {"load", "all events of a stream through gRPC", MeasureLoad},
      {"replay", "logs read from their first entry", MeasureReplay},
      {"rebuild", "read models folded anew", MeasureRebuild},
      {"start", "start time and memory on a large region", MeasureStart},
      {"size", "bytes on disk", MeasureSize},
      {"kafka", "a durable command on Apache Kafka", MeasureKafka},
      {"history", "commands on top of ever more events", MeasureHistory},
  };
  return families;
}

}  // namespace buurtlog::bench
