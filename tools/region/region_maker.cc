#include "tools/region/region_maker.h"

#include <prometheus/registry.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/care_day.h"
#include "libs/base/check.h"
#include "libs/base/files.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/service_node.h"
#include "libs/identity/people.h"
#include "services/clients/domain/client.h"
#include "services/teams/domain/team.h"
#include "services/visits/domain/visit.h"
#include "tools/region/region_history.h"

namespace buurtlog::region {
namespace {

using eventsourcing::ServiceNode;

// The three services on one seeded scheduler, without their read models.
class Services {
 public:
  Services(const RegionOptions& options, ManualClock& clock, Random& random)
      : options_(options), clock_(clock), random_(random), scheduler_(options.seed) {}

  absl::Status Open() {
    std::string key(32, '\0');
    ABSL_ASSIGN_OR_RETURN(
        key, eventsourcing::LoadOrMakeCommandHashKey(options_.data_folder, options_.data_folder,
                                                     SystemFiles(), random_));
    ABSL_ASSIGN_OR_RETURN(teams_, OpenOne("teams", key, &teams::TeamAggregate()));
    ABSL_ASSIGN_OR_RETURN(clients_, OpenOne("clients", key, &clients::ClientAggregate()));
    ABSL_ASSIGN_OR_RETURN(visits_, OpenOne("visits", key, &visits::VisitAggregate()));
    return absl::OkStatus();
  }

  ServiceNode& teams() { return *teams_; }
  ServiceNode& clients() { return *clients_; }
  ServiceNode& visits() { return *visits_; }
  uint64_t records() const { return records_; }

  // Runs the commands to their answers; a command that is refused is a mistake of the history.
  absl::Status Run(ServiceNode& node, Commands commands) {
    if (commands.empty()) return absl::OkStatus();
    records_ += commands.size();
    std::optional<std::vector<absl::StatusOr<type::v1::Receipt>>> receipts;
    node.executor().ExecuteAll(std::move(commands),
                               [&receipts](auto done) { receipts = std::move(done); });
    if (!scheduler_.RunUntil([&receipts] { return receipts.has_value(); })) {
      return absl::InternalError("commands of the region were never answered");
    }
    for (const auto& receipt : *receipts) ABSL_RETURN_IF_ERROR(receipt.status());
    return absl::OkStatus();
  }

  void Close() {
    teams_.reset();
    clients_.reset();
    visits_.reset();
  }

 private:
  absl::StatusOr<std::unique_ptr<ServiceNode>> OpenOne(const std::string& service,
                                                       const std::string& key,
                                                       const eventsourcing::AggregateType* type) {
    eventsourcing::NodeOptions options;
    options.service = service;
    options.data_folder = options_.data_folder;
    options.owner = "region";
    options.command_hash_key = key;
    ABSL_ASSIGN_OR_RETURN(
        auto node,
        ServiceNode::Open(options, {clock_, random_, SystemFiles(), scheduler_, metrics_}, {type}));
    std::optional<absl::Status> ready;
    node->executor().Start([&ready](absl::Status status) { ready = status; });
    if (!scheduler_.RunUntil([&ready] { return ready.has_value(); })) {
      return absl::InternalError("a service of the region did not start");
    }
    ABSL_RETURN_IF_ERROR(*ready);
    return node;
  }

  const RegionOptions& options_;
  ManualClock& clock_;
  Random& random_;
  prometheus::Registry metrics_;
  SimulatedScheduler scheduler_;
  uint64_t records_ = 0;
  std::unique_ptr<ServiceNode> teams_;
  std::unique_ptr<ServiceNode> clients_;
  std::unique_ptr<ServiceNode> visits_;
};

std::string UnfinishedMark(const std::string& data_folder) {
  return absl::StrCat(data_folder, "/region.unfinished");
}

absl::Status CheckOptions(const RegionOptions& options) {
  if (options.teams < 1 || options.teams > kTeamsMax) {
    return absl::InvalidArgumentError(absl::StrCat("teams is 1 to ", kTeamsMax));
  }
  if (!(options.years > 0) || options.years > kYearsMax) {
    return absl::InvalidArgumentError(absl::StrCat("years is more than 0, to ", kYearsMax));
  }
  if (IsUnfinished(options.data_folder)) {
    return absl::AlreadyExistsError(
        absl::StrCat("the region in ", options.data_folder,
                     " was not finished; remove the folder to make one there"));
  }
  if (SystemFiles().Exists(identity::PeopleFile(options.data_folder))) {
    return absl::AlreadyExistsError(absl::StrCat("there is a region in ", options.data_folder));
  }
  if (SystemFiles().Exists(absl::StrCat(options.data_folder, "/teams"))) {
    return absl::AlreadyExistsError(
        absl::StrCat("the logs in ", options.data_folder,
                     " are not of a region; remove the folder to make one there"));
  }
  return absl::OkStatus();
}

absl::Status OneDay(History& history, Services& services, ManualClock& clock, absl::CivilDay day,
                    bool first) {
  const absl::Time midnight = StartOfCareDay(day);
  clock.Set(midnight + absl::Hours(6));
  if (first) ABSL_RETURN_IF_ERROR(services.Run(services.teams(), history.FormTeams()));
  clock.Set(midnight + absl::Hours(7));
  if (!first) ABSL_RETURN_IF_ERROR(services.Run(services.clients(), history.ClientsLeaving()));
  ABSL_RETURN_IF_ERROR(services.Run(services.clients(), history.ClientsComing(first)));
  clock.Set(midnight + absl::Hours(8));
  for (int ahead = first ? 0 : kDaysAhead; ahead <= kDaysAhead; ++ahead) {
    ABSL_RETURN_IF_ERROR(services.Run(services.visits(), history.PlanVisits(day + ahead)));
  }
  clock.Set(midnight + absl::Hours(22));
  ABSL_RETURN_IF_ERROR(services.Run(services.visits(), history.RecordVisits(day)));
  clock.Set(midnight + absl::Hours(22) + absl::Minutes(30));
  return services.Run(services.visits(), history.CorrectVisits());
}

}  // namespace

bool IsUnfinished(const std::string& data_folder) {
  return SystemFiles().Exists(UnfinishedMark(data_folder));
}

absl::StatusOr<RegionResult> MakeRegion(const RegionOptions& options) {
  ABSL_RETURN_IF_ERROR(CheckOptions(options));
  const int days = std::max(1, static_cast<int>(options.years * 365));
  const absl::CivilDay last = options.today - 2;
  const absl::CivilDay first = last - (days - 1);
  ManualClock clock(StartOfCareDay(first));
  SeededRandom random(options.seed);
  History history(options, clock, random);
  Services services(options, clock, random);
  ABSL_RETURN_IF_ERROR(SystemFiles().MakeFolder(options.data_folder));
  ABSL_RETURN_IF_ERROR(SystemFiles().WriteAtomically(UnfinishedMark(options.data_folder), {}));
  ABSL_RETURN_IF_ERROR(services.Open());
  for (absl::CivilDay day = first; day <= last; ++day) {
    ABSL_RETURN_IF_ERROR(OneDay(history, services, clock, day, day == first));
    if (options.progress) {
      options.progress({day, static_cast<int>(day - first) + 1, days, services.records()});
    }
  }
  // Yesterday and today are planned already; the rest of the week ahead of today too.
  for (absl::CivilDay day = last + kDaysAhead + 1; day <= options.today + kDaysAhead; ++day) {
    ABSL_RETURN_IF_ERROR(services.Run(services.visits(), history.PlanVisits(day)));
  }
  services.Close();
  ABSL_RETURN_IF_ERROR(identity::SavePeople(options.data_folder, history.People(), SystemFiles()));
  ABSL_RETURN_IF_ERROR(SystemFiles().Remove(UnfinishedMark(options.data_folder)));
  return history.result();
}

}  // namespace buurtlog::region
