#include "tools/buurtlog/region_command.h"

#include <prometheus/registry.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "libs/base/care_day.h"
#include "libs/base/clock.h"
#include "libs/base/status_macros.h"
#include "tools/buurtlog/catalogue.h"
#include "tools/region/region_maker.h"

namespace buurtlog::command {
namespace {

struct RegionWords {
  int teams = 4;
  double years = 1;
  uint64_t seed = 1;
  std::string today;
};

// Folds the read models, so that the first start of the services finds them ready.
absl::Status FoldReadModels(const std::string& data_folder, const Output& output) {
  std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler();
  prometheus::Registry metrics;
  ABSL_ASSIGN_OR_RETURN(OpenLogs logs, OpenLogsOf(data_folder, *scheduler));
  for (const CatalogueEntry& service : Catalogue()) {
    for (auto& model : service.read_models()) {
      const std::string name = absl::StrCat(service.service, "/", model->spec().name);
      std::vector<eventsourcing::LogSource> sources;
      for (const eventsourcing::LogSource& source : logs.sources) {
        const auto& wanted = model->spec().services;
        if (std::count(wanted.begin(), wanted.end(), source.codec->service()) > 0)
          sources.push_back(source);
      }
      std::vector<eventsourcing::Position> heads;
      for (const eventsourcing::LogSource& source : sources) {
        for (uint32_t p = 0; p < source.log->identity().partitions; ++p) {
          ABSL_ASSIGN_OR_RETURN(eventlog::FoldState head, source.log->Head(p));
          if (head.next > 1) heads.push_back({source.codec->service(), p, head.next - 1});
        }
      }
      const std::string folder = absl::StrCat(data_folder, "/", service.service, "/read_models");
      ABSL_ASSIGN_OR_RETURN(
          auto runner, eventsourcing::ProjectionRunner::Open(folder, std::move(model), sources,
                                                             {*scheduler, SystemClock(), metrics}));
      runner->Start();
      absl::Notification reached;
      absl::Status status;
      runner->WhenReached(std::move(heads), absl::InfiniteFuture(), [&](absl::Status result) {
        status = std::move(result);
        reached.Notify();
      });
      while (!reached.WaitForNotificationWithTimeout(absl::Milliseconds(300))) {
        ABSL_RETURN_IF_ERROR(runner->health());
        output.Progress(
            absl::StrFormat("folding %s: %s records to go", name, Grouped(runner->lag())));
      }
      ABSL_RETURN_IF_ERROR(status);
    }
  }
  output.ProgressEnd();
  return absl::OkStatus();
}

absl::Status Make(CommandLine& line, const Output& output, const RegionWords& words) {
  region::RegionOptions options;
  options.data_folder = line.data_folder;
  options.teams = words.teams;
  options.years = words.years;
  options.seed = words.seed;
  options.today = CareDay(SystemClock().Now());
  if (!words.today.empty()) {
    ABSL_ASSIGN_OR_RETURN(options.today, ParseCareDay(words.today));
  }
  const absl::Time begin = absl::Now();
  options.progress = [&](const region::RegionProgress& progress) {
    const double seconds = std::max(1e-3, absl::ToDoubleSeconds(absl::Now() - begin));
    output.Progress(absl::StrFormat(
        "%s: day %d of %d, %s commands, %s/s", CareDayText(progress.day), progress.days_done,
        progress.days, Grouped(progress.records),
        Grouped(static_cast<uint64_t>(static_cast<double>(progress.records) / seconds))));
  };
  ABSL_ASSIGN_OR_RETURN(region::RegionResult made, region::MakeRegion(options));
  output.ProgressEnd();
  const absl::Duration took = absl::Now() - begin;
  ABSL_RETURN_IF_ERROR(FoldReadModels(line.data_folder, output));
  output.Heading(absl::StrFormat("A region in %s, from seed %d", line.data_folder, options.seed));
  output.Line(absl::StrFormat(
      "  %d organisation%s, %d team%s, %s nurses, %s clients, %s visits; %s commands "
      "in %.1f s, read models in %.1f s",
      made.organisations, made.organisations == 1 ? "" : "s", made.teams,
      made.teams == 1 ? "" : "s", Grouped(made.nurses), Grouped(made.clients), Grouped(made.visits),
      Grouped(made.commands), absl::ToDoubleSeconds(took),
      absl::ToDoubleSeconds(absl::Now() - begin - took)));
  output.Line("  Everybody in it is invented; BSNs are of the test range.");
  output.JsonText(nlohmann::json{{"organisations", made.organisations},
                                 {"teams", made.teams},
                                 {"nurses", made.nurses},
                                 {"clients", made.clients},
                                 {"visits", made.visits},
                                 {"commands", made.commands},
                                 {"seconds", absl::ToDoubleSeconds(absl::Now() - begin)}}
                      .dump());
  return absl::OkStatus();
}

}  // namespace

void AddRegionCommand(CLI::App& app, CommandLine& line) {
  auto words = std::make_shared<RegionWords>();
  CLI::App* region = app.add_subcommand("region",
                                        "Make an invented region in the data folder: "
                                        "organisations, teams, nurses, clients, years of visits");
  region->add_option("--teams", words->teams, "Teams of 6 to 12 nurses")
      ->check(CLI::Range(1, region::kTeamsMax))
      ->capture_default_str();
  region->add_option("--years", words->years, "Years of history")
      ->check(CLI::Range(0.001, region::kYearsMax))
      ->capture_default_str();
  region
      ->add_option("--seed", words->seed,
                   "The same seed, teams, years and day make the same region, byte for byte")
      ->check(WholeNumberFrom(0, INT64_MAX))
      ->capture_default_str();
  region->add_option("--today", words->today,
                     "YYYY-MM-DD, the day the history leads up to; default: today in Amsterdam");
  region->callback(
      Runs(line, [words](CommandLine& l, const Output& o) { return Make(l, o, *words); }));
}

}  // namespace buurtlog::command
