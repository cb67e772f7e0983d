// The clients service as a process of its own.
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "libs/kafka/log_flags.h"
#include "libs/rpc/service_main.h"
#include "services/clients/clients_service.h"

ABSL_FLAG(std::string, data, "data",
          "Folder of what this process keeps: its log, or its copy of it, states, read models.");
ABSL_FLAG(std::string, shared, "",
          "Folder of keys/ and people.json, the same for all replicas; empty: the data folder.");
ABSL_FLAG(std::string, address, "127.0.0.1:7411",
          "Host and port for gRPC; port 0 takes a free one.");
ABSL_FLAG(std::string, advertised_address, "",
          "Host and port at which other replicas reach this one; empty: the address.");
ABSL_FLAG(std::string, metrics_address, "", "Host and port for /metrics; empty for none.");
ABSL_FLAG(std::string, teams_address, "127.0.0.1:7410", "Host and port of the teams service.");
ABSL_FLAG(double, team_calls_per_second, buurtlog::rpc::kTeamCallsPerSecond,
          "Calls each second that one team may make; more are refused. 0: no limit.");
ABSL_FLAG(bool, insecure_dev, false, "Built-in issuer of tokens, for trying out on loopback only.");
ABSL_FLAG(bool, verbose, false, "Log every call.");

using buurtlog::clients::ClientsService;

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Serves buurtlog.clients.v1.ClientsService on its log.");
  absl::ParseCommandLine(argc, argv);
  buurtlog::rpc::ServiceMain main;
  main.name = "clients";
  main.data_folder = absl::GetFlag(FLAGS_data);
  main.shared_folder = absl::GetFlag(FLAGS_shared);
  main.open_engine = buurtlog::kafka::LogEngineOfFlags;
  main.address = absl::GetFlag(FLAGS_address);
  main.advertised_address = absl::GetFlag(FLAGS_advertised_address);
  main.metrics_address = absl::GetFlag(FLAGS_metrics_address);
  main.team_calls_per_second = absl::GetFlag(FLAGS_team_calls_per_second);
  main.insecure_dev = absl::GetFlag(FLAGS_insecure_dev);
  main.verbose = absl::GetFlag(FLAGS_verbose);
  main.services.push_back(ClientsService::Served(absl::GetFlag(FLAGS_teams_address)));
  return buurtlog::rpc::RunService(std::move(main));
}
