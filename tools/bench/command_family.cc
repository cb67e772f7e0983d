#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "tools/bench/families.h"
#include "tools/bench/interleaved.h"
#include "tools/bench/preallocated_file.h"
#include "tools/bench/servers.h"
#include "tools/bench/visits_workload.h"

namespace buurtlog::bench {
namespace {

constexpr double kShareOfLimit = 0.9;
constexpr double kTimesPeer = 1.4;
constexpr size_t kLatencyGoalCallers = 32;
constexpr double kLatencyGoalMs = 5;
constexpr size_t kPageBytes = 4096;
constexpr size_t kSyncFileBytes = size_t{16} << 20;

// The servers of this family. UmaDB is not there when there is no process.
struct Servers {
  Running empty;
  Running bare_file;
  Running tally;
  Running umadb;
};

absl::StatusOr<Servers> StartServers(const BenchOptions& options) {
  Servers servers;
  ABSL_ASSIGN_OR_RETURN(servers.empty, StartBenchServer(options, "empty"));
  ABSL_ASSIGN_OR_RETURN(servers.bare_file, StartBenchServer(options, "bare_file"));
  ABSL_ASSIGN_OR_RETURN(servers.tally, StartBenchServer(options, "tally"));
  if (!options.umadb.empty()) {
    ABSL_ASSIGN_OR_RETURN(servers.umadb, StartPeer(options));
  }
  return servers;
}

// Appends a page and syncs, again and again.
absl::StatusOr<double> SyncsPerSecond(PreallocatedFile& file, absl::Duration measured) {
  const std::string page(kPageBytes, 'x');
  const absl::Time begin = absl::Now();
  size_t syncs = 0;
  while (absl::Now() < begin + measured) {
    ABSL_RETURN_IF_ERROR(file.Append(page));
    ABSL_RETURN_IF_ERROR(file.Sync());
    ++syncs;
  }
  return static_cast<double>(syncs) / absl::ToDoubleSeconds(absl::Now() - begin);
}

absl::Status MeasureSync(const BenchOptions& options, AddRow add) {
  ABSL_ASSIGN_OR_RETURN(auto file,
                        PreallocatedFile::Create(options.folder + "/fdatasync", kSyncFileBytes));
  std::vector<double> per_second;
  for (size_t round = 0; round < options.rounds; ++round) {
    ABSL_ASSIGN_OR_RETURN(double syncs, SyncsPerSecond(*file, options.measured / 2));
    per_second.push_back(syncs);
  }
  add({"fdatasync of 4 KiB in a preallocated file", Median(std::move(per_second)), "syncs/s"});
  return absl::OkStatus();
}

void AddRows(const std::string& of, const Callers& callers, const Summary& ours,
             const Summary& bare, const Summary* peer, AddRow add) {
  Row row{absl::StrCat("command, ", of), ours.per_second, "commands/s"};
  row.limit = bare.per_second;
  row.goal = kShareOfLimit * bare.per_second;
  if (peer != nullptr) {
    row.peer = peer->per_second;
    row.goal = std::max(*row.goal, kTimesPeer * peer->per_second);
  }
  row.note = ours.Cost();
  add(std::move(row));

  Row p50{absl::StrCat("command, median, ", of), ours.p50_ms, "ms", Better::kLess};
  p50.limit = bare.p50_ms;
  if (peer != nullptr) p50.peer = peer->p50_ms;
  add(std::move(p50));

  Row p99{absl::StrCat("command, 99th percentile, ", of), ours.p99_ms, "ms", Better::kLess};
  p99.limit = bare.p99_ms;
  if (callers.callers == kLatencyGoalCallers) p99.goal = kLatencyGoalMs;
  if (peer != nullptr) p99.peer = peer->p99_ms;
  add(std::move(p99));
}

absl::Status MeasureTally(const BenchOptions& options, const Servers& servers, Streams streams,
                          const Callers& callers, AddRow add) {
  Asked asked;
  asked.streams = streams;
  asked.callers = callers.callers;
  asked.payload_bytes = options.payload_bytes;
  const auto commands = [asked] { return AddWorkload(asked); };
  std::vector<Subject> subjects = {{"empty", &servers.empty, commands},
                                   {"bare file", &servers.bare_file, commands},
                                   {"ours", &servers.tally, commands}};
  const bool with_peer = servers.umadb.process != nullptr;
  if (with_peer) {
    subjects.push_back({"umadb", &servers.umadb, [asked] { return PeerAppendWorkload(asked); }});
  }
  std::cerr << NameOf(streams) << " streams,";
  ABSL_ASSIGN_OR_RETURN(const std::vector<Summary> summaries,
                        RunInterleaved(options, callers, subjects));
  const std::string of = absl::StrCat(NameOf(streams), " streams, ", NameOf(callers));
  AddRows(of, callers, summaries[2], summaries[1], with_peer ? &summaries[3] : nullptr, add);
  Row empty{absl::StrCat("empty call, ", of), summaries[0].per_second, "calls/s"};
  empty.note = summaries[0].Cost();
  add(std::move(empty));
  return absl::OkStatus();
}

// The real services, with all that follows an event: four read models and a process.
absl::Status MeasurePlanVisit(const BenchOptions& options, const Servers& servers, AddRow add) {
  ABSL_ASSIGN_OR_RETURN(
      const std::string folder,
      RegionFolder(options, options.smoke ? RegionSize{1, 0.1} : RegionSize{4, 1}));
  ABSL_ASSIGN_OR_RETURN(const Running buurtlog, StartBuurtlog(options, folder));
  for (const size_t callers : options.callers) {
    Asked asked;
    asked.callers = callers;
    asked.payload_bytes = options.payload_bytes;
    const std::vector<Subject> subjects = {
        {"bare file", &servers.bare_file, [asked] { return AddWorkload(asked); }},
        {"PlanVisit", &buurtlog, [&buurtlog] { return PlanVisitWorkload(buurtlog); }}};
    std::cerr << "PlanVisit,";
    ABSL_ASSIGN_OR_RETURN(const std::vector<Summary> summaries,
                          RunInterleaved(options, {callers, 1}, subjects));
    Row row{absl::StrCat("PlanVisit, ", NameOf({callers, 1})), summaries[1].per_second,
            "commands/s"};
    row.limit = summaries[0].per_second;
    row.note = summaries[1].Cost();
    add(std::move(row));
    Row p99{absl::StrCat("PlanVisit, 99th percentile, ", NameOf({callers, 1})), summaries[1].p99_ms,
            "ms", Better::kLess};
    p99.limit = summaries[0].p99_ms;
    add(std::move(p99));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureCommand(const BenchOptions& options, AddRow add) {
  ABSL_RETURN_IF_ERROR(MeasureSync(options, add));
  ABSL_ASSIGN_OR_RETURN(const Servers servers, StartServers(options));
  for (const Streams streams : options.streams) {
    for (const size_t connections : options.connections) {
      // How calls are spread over connections has nothing to do with which streams they are for.
      if (streams != Streams::kMany && connections != options.connections.front()) continue;
      for (const size_t callers : options.callers) {
        if (callers < connections) continue;
        ABSL_RETURN_IF_ERROR(MeasureTally(options, servers, streams, {callers, connections}, add));
      }
    }
  }
  return MeasurePlanVisit(options, servers, add);
}

}  // namespace buurtlog::bench
