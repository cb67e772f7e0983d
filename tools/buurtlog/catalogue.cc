#include "tools/buurtlog/catalogue.h"

#include <stdlib.h>

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/about.h"
#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/random.h"
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

namespace {

absl::StatusOr<std::unique_ptr<eventlog::LogReader>> OpenInFolder(const std::string& data_folder,
                                                                  const std::string& service,
                                                                  Scheduler& scheduler) {
  eventlog::SqliteLogOptions options;
  options.folder = absl::StrCat(data_folder, "/", service, "/log");
  auto reader = eventlog::SqliteEventLog::OpenReader(options, SystemFiles(), scheduler);
  if (!absl::IsNotFound(reader.status())) return reader;
  return absl::NotFoundError(
      absl::StrCat("there is no log of ", service, " in ", data_folder,
                   "; `buurtlog region` makes a region, --data names another folder"));
}

// A folder that goes with the last who holds it.
absl::StatusOr<std::shared_ptr<void>> NewScratch(std::string& path) {
  std::error_code error;
  std::string pattern =
      (std::filesystem::temp_directory_path(error) / "buurtlog-log-XXXXXX").string();
  if (error || mkdtemp(pattern.data()) == nullptr) {
    return absl::UnavailableError("no temporary folder can be made");
  }
  path = pattern;
  return std::shared_ptr<void>(nullptr, [pattern](void*) {
    std::error_code ignored;
    std::filesystem::remove_all(pattern, ignored);
  });
}

}  // namespace

absl::StatusOr<OpenLogs> OpenLogsOf(const std::string& data_folder, Scheduler& scheduler,
                                    const kafka::LogWords& words) {
  OpenLogs logs;
  ABSL_ASSIGN_OR_RETURN(const std::shared_ptr<eventlog::LogEngine> engine,
                        kafka::NewLogEngine(words, SystemFiles()));
  std::string scratch;
  if (engine->shared()) {
    ABSL_ASSIGN_OR_RETURN(logs.scratch, NewScratch(scratch));
  }
  for (const CatalogueEntry& entry : Catalogue()) {
    absl::StatusOr<std::unique_ptr<eventlog::LogReader>> reader;
    if (engine->shared()) {
      const std::string folder = absl::StrCat(scratch, "/", entry.service);
      ABSL_RETURN_IF_ERROR(SystemFiles().MakeFolder(folder));
      auto opened = engine->Open(entry.service, folder, /*may_make=*/false,
                                 {SystemClock(), SystemRandom(), SystemFiles(), scheduler});
      if (opened.ok()) {
        reader = std::move(opened->log);
      } else {
        reader = opened.status();
      }
    } else {
      reader = OpenInFolder(data_folder, entry.service, scheduler);
    }
    if (absl::IsNotFound(reader.status())) return reader.status();
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
