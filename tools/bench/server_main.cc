// One of the servers that the benchmarks call, as a process of its own.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "libs/rpc/service_main.h"
#include "tools/bench/bare_server.h"
#include "tools/bench/tally.h"

ABSL_FLAG(std::string, kind, "tally",
          "tally (a service of Buurtlog), empty (answers at once) or bare_file (appends the bytes "
          "to a preallocated file).");
ABSL_FLAG(std::string, data, "data", "Folder on a real disk, which exists.");
ABSL_FLAG(size_t, file_bytes, size_t{256} << 20, "Size of the preallocated file.");
ABSL_FLAG(std::string, address, "127.0.0.1:0", "Host and port for gRPC; port 0 takes a free one.");

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Serves buurtlog.bench.v1.TallyService for the benchmarks.");
  absl::ParseCommandLine(argc, argv);
  const std::string kind = absl::GetFlag(FLAGS_kind);
  if (kind == "tally") {
    buurtlog::rpc::ServiceMain main;
    main.name = "tally";
    main.data_folder = absl::GetFlag(FLAGS_data);
    main.address = absl::GetFlag(FLAGS_address);
    main.insecure_dev = true;
    main.services.push_back(buurtlog::bench::ServedTally());
    return buurtlog::rpc::RunService(std::move(main));
  }
  if (kind != "empty" && kind != "bare_file") {
    std::cerr << "there is no kind " << kind << "\n";
    return 2;
  }
  const absl::Status ended = buurtlog::bench::ServeBare(
      kind == "empty" ? buurtlog::bench::BareKind::kEmpty : buurtlog::bench::BareKind::kBareFile,
      absl::GetFlag(FLAGS_address),
      {absl::StrCat(absl::GetFlag(FLAGS_data), "/bare_file"), absl::GetFlag(FLAGS_file_bytes)},
      [](const std::string& address) {
        std::cout << nlohmann::json{{"event", "serving"}, {"address", address}}.dump() << std::endl;
      });
  if (ended.ok()) return 0;
  std::cerr << ended << "\n";
  return 1;
}
