#include "tools/buurtlog/catalogue.h"

#include "absl/strings/str_cat.h"
#include "libs/base/about.h"
#include "libs/base/files.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/sqlite_event_log.h"
#include "services/clients/clients_service.h"
#include "services/teams/teams_service.h"
#include "services/visits/visits_service.h"

namespace buurtlog::command {

const std::vector<CatalogueEntry>& Catalogue() {
  static const auto* const entries = new std::vector<CatalogueEntry>{
      {"teams", teams::TeamsService::Aggregates(), teams::TeamsService::ReadModels},
      {"clients", clients::ClientsService::Aggregates(), clients::ClientsService::ReadModels},
      {"visits", visits::VisitsService::Aggregates(), visits::VisitsService::ReadModels}};
  return *entries;
}

absl::StatusOr<OpenLogs> OpenLogsOf(const std::string& data_folder, Scheduler& scheduler) {
  OpenLogs logs;
  for (const CatalogueEntry& entry : Catalogue()) {
    eventlog::SqliteLogOptions options;
    options.folder = absl::StrCat(data_folder, "/", entry.service, "/log");
    auto reader = eventlog::SqliteEventLog::OpenReader(options, SystemFiles(), scheduler);
    if (absl::IsNotFound(reader.status())) {
      return absl::NotFoundError(
          absl::StrCat("there is no log of ", entry.service, " in ", data_folder,
                       "; `buurtlog region` makes a region, --data names another folder"));
    }
    if (!reader.ok()) return About(absl::StrCat("log of ", entry.service), reader.status());
    auto codec = std::make_unique<eventsourcing::EventCodec>(entry.service);
    for (const eventsourcing::AggregateType* type : entry.aggregates)
      codec->Register(type->category, type->event);
    logs.sources.push_back({reader->get(), codec.get()});
    logs.readers.push_back(*std::move(reader));
    logs.codecs.push_back(std::move(codec));
  }
  return logs;
}

}  // namespace buurtlog::command
