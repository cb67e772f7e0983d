// The services this command knows: their aggregates and their read models, for everything that
// reads logs from the outside.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventsourcing/decider.h"
#include "libs/eventsourcing/projection_runner.h"
#include "libs/kafka/kafka_engine.h"

namespace buurtlog::command {

struct CatalogueEntry {
  std::string service;
  std::vector<const eventsourcing::AggregateType*> aggregates;
  std::vector<std::unique_ptr<eventsourcing::ReadModel>> (*read_models)() = nullptr;
};
// In the order in which services depend on each other's events.
const std::vector<CatalogueEntry>& Catalogue();

// The logs of a data folder, opened for reading beside whoever writes them.
struct OpenLogs {
  // Of logs on Kafka: what was read of them, for as long as they are open.
  std::shared_ptr<void> scratch;
  std::vector<std::unique_ptr<eventlog::LogReader>> readers;       // as Catalogue()
  std::vector<std::unique_ptr<eventsourcing::EventCodec>> codecs;  // as Catalogue()
  std::vector<eventsourcing::LogSource> sources;                   // as Catalogue()
};
// NOT_FOUND naming the folder, or the topic, when there are no logs.
absl::StatusOr<OpenLogs> OpenLogsOf(const std::string& data_folder, Scheduler& scheduler,
                                    const kafka::LogWords& words = {});

}  // namespace buurtlog::command
