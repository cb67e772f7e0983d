// One of the servers that the benchmarks call, as a process of its own.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "libs/base/scheduler.h"
#include "libs/base/status_macros.h"
#include "libs/kafka/log_flags.h"
#include "libs/rpc/service_host.h"
#include "libs/rpc/service_main.h"
#include "tools/bench/bare_log.h"
#include "tools/bench/bare_server.h"
#include "tools/bench/kafka_limits.h"
#include "tools/bench/preallocated_file.h"
#include "tools/bench/tally.h"

ABSL_FLAG(
    std::string, kind, "tally",
    "tally (a service of Buurtlog), empty (answers at once), bare_file (appends the bytes to a "
    "preallocated file), or with --log=kafka:... read_back (sends them and reads them back) "
    "or transactions.");
ABSL_FLAG(std::string, data, "data", "Folder on a real disk, which exists.");
ABSL_FLAG(size_t, file_bytes, size_t{256} << 20, "Size of the preallocated file.");
ABSL_FLAG(double, team_calls_per_second, 0, "As of every service; 0: no limit.");
ABSL_FLAG(std::string, address, "127.0.0.1:0", "Host and port for gRPC; port 0 takes a free one.");

namespace buurtlog::bench {
namespace {

absl::StatusOr<std::unique_ptr<AppendingLog>> LogOf(const std::string& kind, Scheduler& scheduler,
                                                    std::unique_ptr<PreallocatedFile>& file) {
  if (kind == "empty") return nullptr;
  if (kind == "bare_file") {
    ABSL_ASSIGN_OR_RETURN(
        file, PreallocatedFile::Create(absl::StrCat(absl::GetFlag(FLAGS_data), "/bare_file"),
                                       absl::GetFlag(FLAGS_file_bytes)));
    return std::make_unique<BareLog>(*file, scheduler);
  }
  ABSL_ASSIGN_OR_RETURN(const kafka::TopicOptions topic, kafka::TopicOptionsOfFlags());
  if (kind == "read_back") return NewReadBackLog(topic, scheduler);
  if (kind == "transactions") return NewTransactionLog(topic, scheduler);
  return absl::InvalidArgumentError(absl::StrCat("there is no kind ", kind));
}

absl::Status Serve(const std::string& kind) {
  rpc::BlockTerminationSignals();
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler(1);
  std::unique_ptr<PreallocatedFile> file;
  ABSL_ASSIGN_OR_RETURN(const std::unique_ptr<AppendingLog> log, LogOf(kind, *scheduler, file));
  return ServeBare(absl::GetFlag(FLAGS_address), log.get(), [](const std::string& address) {
    std::cout << nlohmann::json{{"event", "serving"}, {"address", address}}.dump() << std::endl;
  });
}

}  // namespace
}  // namespace buurtlog::bench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Serves buurtlog.bench.v1.TallyService for the benchmarks.");
  absl::ParseCommandLine(argc, argv);
  const std::string kind = absl::GetFlag(FLAGS_kind);
  if (kind == "tally") {
    buurtlog::rpc::ServiceMain main;
    main.name = "tally";
    main.data_folder = absl::GetFlag(FLAGS_data);
    main.open_engine = buurtlog::kafka::LogEngineOfFlags;
    main.address = absl::GetFlag(FLAGS_address);
    main.team_calls_per_second = absl::GetFlag(FLAGS_team_calls_per_second);
    main.insecure_dev = true;
    main.services.push_back(buurtlog::bench::ServedTally());
    return buurtlog::rpc::RunService(std::move(main));
  }
  const absl::Status ended = buurtlog::bench::Serve(kind);
  if (ended.ok()) return 0;
  std::cerr << ended << "\n";
  return 1;
}
