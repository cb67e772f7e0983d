#include "tools/buurtlog/serve_command.h"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/files.h"
#include "libs/rpc/service_main.h"
#include "services/clients/clients_service.h"
#include "services/teams/teams_service.h"
#include "services/visits/visits_service.h"

namespace buurtlog::command {
namespace {

struct ServeWords {
  std::string shared_folder;
  std::string advertised_address;
  std::string metrics_address;
  double team_calls_per_second = rpc::kTeamCallsPerSecond;
  bool insecure_dev = false;
  bool verbose = false;
};

absl::Status Serve(CommandLine& line, const Output& output, const ServeWords& words) {
  rpc::ServiceMain main;
  main.name = "buurtlog";
  main.data_folder = line.data_folder;
  main.open_engine = [&line] { return kafka::NewLogEngine(line.log, SystemFiles()); };
  main.address = line.session.address.empty() ? kAddressDefault : line.session.address;
  main.shared_folder = words.shared_folder;
  main.advertised_address = words.advertised_address;
  main.metrics_address = words.metrics_address;
  main.team_calls_per_second = words.team_calls_per_second;
  main.insecure_dev = words.insecure_dev;
  main.verbose = words.verbose;
  // They find each other in this process.
  main.services.push_back(teams::TeamsService::Served());
  main.services.push_back(clients::ClientsService::Served(""));
  main.services.push_back(visits::VisitsService::Served("", ""));
  const absl::Status ended = rpc::Serve(std::move(main), [&output](const rpc::Serving& serving) {
    output.JsonText(nlohmann::json{{"event", "serving"},
                                   {"address", serving.address},
                                   {"metrics_address", serving.metrics_address}}
                        .dump());
    output.Line(absl::StrCat(
        "teams, clients and visits are served at ", serving.address,
        serving.metrics_address.empty()
            ? ""
            : absl::StrCat(", metrics at http://", serving.metrics_address, "/metrics")));
    std::cout << std::flush;
  });
  if (!absl::IsDataLoss(ended)) return ended;
  // A damaged key or identity is no end of a log.
  const bool of_a_log = !absl::StrContains(ended.message(), "/keys/") &&
                        !absl::StrContains(ended.message(), "/identity");
  if (!of_a_log) return ended;
  return absl::DataLossError(absl::StrCat(
      ended.message(), "; `buurtlog log accept-shortened` says whether a log has lost its end"));
}

}  // namespace

void AddServeCommand(CLI::App& app, CommandLine& line) {
  auto words = std::make_shared<ServeWords>();
  CLI::App* serve = app.add_subcommand(
      "serve", "Run every service in one process on the data folder, until Ctrl-C or SIGTERM");
  serve->add_flag(
      "--insecure-dev,--insecure_dev", words->insecure_dev,
      "Sign-in without a password, for invented people on this machine only (loopback)");
  serve->add_option("--shared", words->shared_folder,
                    "Folder of keys/ and people.json, the same for all replicas; default: the data "
                    "folder");
  serve->add_option("--advertised_address,--advertised-address", words->advertised_address,
                    "Host and port at which other replicas reach this process; default: the "
                    "address");
  serve->add_option("--metrics_address,--metrics-address", words->metrics_address,
                    "Host and port for Prometheus metrics; default: none");
  serve
      ->add_option("--team_calls_per_second,--team-calls-per-second", words->team_calls_per_second,
                   "Calls each second that one team may make, more are refused; 0: no limit; "
                   "default: 200")
      ->check(CLI::NonNegativeNumber);
  serve->add_flag("--verbose", words->verbose, "Log every call");
  serve->callback(
      Runs(line, [words](CommandLine& l, const Output& o) { return Serve(l, o, *words); }));
}

}  // namespace buurtlog::command
