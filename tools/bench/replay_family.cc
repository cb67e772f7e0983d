// Reading logs from their first entry, with and without folding them into read models.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libs/base/clock.h"
#include "libs/base/scheduler.h"
#include "libs/base/status_macros.h"
#include "tools/bench/families.h"
#include "tools/bench/server_process.h"
#include "tools/bench/visits_workload.h"
#include "tools/buurtlog/catalogue.h"

namespace buurtlog::bench {
namespace {

using eventlog::EntryView;
using eventlog::Partition;

constexpr double kReplayGoal = 1'000'000;
constexpr double kRebuildGoal = 250'000;
constexpr size_t kScanBytes = 1 << 20;
constexpr size_t kHashedBytesMax = size_t{256} << 20;
constexpr absl::Duration kRebuildMax = absl::Hours(1);

// The logs of the region that replays read.
absl::StatusOr<std::string> ReplayedFolder(const BenchOptions& options) {
  return RegionFolder(options, options.smoke ? RegionSize{1, 0.1} : RegionSize{4, 1});
}

// Every entry of every log, verified; the number of entries.
template <typename Visit>
absl::StatusOr<uint64_t> ReadAll(const command::OpenLogs& logs, Visit visit) {
  uint64_t entries = 0;
  for (const auto& log : logs.readers) {
    for (Partition partition = 0; partition < log->identity().partitions; ++partition) {
      eventlog::FoldState at = eventlog::InitialFoldState(log->identity(), partition);
      uint64_t before = 0;
      do {
        before = entries;
        ABSL_RETURN_IF_ERROR(log->Read(partition, at, {}, [&](const EntryView& entry) {
          ++entries;
          visit(entry);
          return absl::OkStatus();
        }));
      } while (entries > before);
    }
  }
  return entries;
}

// What one core spends on it, until the time is over: times a second.
template <typename Once>
absl::StatusOr<double> PerCoreSecond(absl::Duration measured, Once once) {
  const absl::Duration begin = OwnCpuTime();
  absl::Duration spent;
  uint64_t count = 0;
  do {
    ABSL_ASSIGN_OR_RETURN(const uint64_t done, once());
    count += done;
    spent = OwnCpuTime() - begin;
  } while (spent < measured);
  return static_cast<double>(count) / absl::ToDoubleSeconds(spent);
}

absl::StatusOr<std::vector<std::string>> SomeEntries(const command::OpenLogs& logs) {
  std::vector<std::string> entries;
  size_t bytes = 0;
  ABSL_RETURN_IF_ERROR(ReadAll(logs, [&](const EntryView& entry) {
                         if (bytes + entry.bytes.size() > kHashedBytesMax) return;
                         bytes += entry.bytes.size();
                         entries.emplace_back(entry.bytes);
                       }).status());
  return entries;
}

// Bytes of the log files, read and forgotten.
absl::StatusOr<uint64_t> Scan(const std::string& data_folder) {
  std::string block(kScanBytes, '\0');
  uint64_t bytes = 0;
  for (const command::CatalogueEntry& entry : command::Catalogue()) {
    for (const auto& file : std::filesystem::directory_iterator(
             absl::StrCat(data_folder, "/", entry.service, "/log"))) {
      const int descriptor = open(file.path().c_str(), O_RDONLY | O_CLOEXEC);
      if (descriptor < 0) return absl::ErrnoToStatus(errno, "cannot scan a log file");
      for (ssize_t got = 1; got > 0; bytes += static_cast<uint64_t>(got)) {
        got = read(descriptor, block.data(), block.size());
        if (got < 0) break;
      }
      close(descriptor);
    }
  }
  return bytes;
}

absl::Status MeasureReading(const BenchOptions& options, const std::string& folder,
                            const command::OpenLogs& logs, AddRow add) {
  std::vector<double> replayed;
  std::vector<double> hashed;
  std::vector<double> scanned;
  ABSL_ASSIGN_OR_RETURN(const std::vector<std::string> entries, SomeEntries(logs));
  if (entries.empty()) return absl::NotFoundError("the logs are empty");
  for (size_t round = 0; round < options.rounds; ++round) {
    ABSL_ASSIGN_OR_RETURN(double per_second, PerCoreSecond(options.measured, [&] {
                            return ReadAll(logs, [](const EntryView&) {});
                          }));
    replayed.push_back(per_second);
    ABSL_ASSIGN_OR_RETURN(per_second,
                          PerCoreSecond(options.measured, [&]() -> absl::StatusOr<uint64_t> {
                            eventlog::Hash hash;
                            for (const std::string& entry : entries) {
                              hash = eventlog::EntryHash(hash, entry);
                            }
                            return entries.size();
                          }));
    hashed.push_back(per_second);
    ABSL_ASSIGN_OR_RETURN(per_second,
                          PerCoreSecond(options.measured, [&] { return Scan(folder); }));
    scanned.push_back(per_second);
    std::cerr << absl::StreamFormat(" replay %.0f entries/s, hashing alone %.0f, scan %.0f MB/s\n",
                                    replayed.back(), hashed.back(), scanned.back() / 1e6);
  }
  Row row{"raw replay with verification", Median(std::move(replayed)), "entries/s/core"};
  row.limit = Median(std::move(hashed));
  row.goal = kReplayGoal;
  row.note = "limit: the hash chain alone, in memory";
  add(std::move(row));
  add({"scan of the log files", Median(std::move(scanned)) / 1e6, "MB/s/core"});
  return absl::OkStatus();
}

// All read models of all services at once, from nothing; the time on processors that it took.
absl::StatusOr<absl::Duration> RebuildAll(const std::string& folder,
                                          const command::OpenLogs& logs) {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler();
  prometheus::Registry metrics;
  std::vector<std::unique_ptr<eventsourcing::ProjectionRunner>> runners;
  const absl::Duration begin = OwnCpuTime();
  for (const command::CatalogueEntry& entry : command::Catalogue()) {
    for (auto& model : entry.read_models()) {
      std::vector<eventsourcing::LogSource> sources;
      for (const std::string& service : model->spec().services) {
        for (const eventsourcing::LogSource& source : logs.sources) {
          if (source.codec->service() == service) sources.push_back(source);
        }
      }
      ABSL_ASSIGN_OR_RETURN(auto runner,
                            eventsourcing::ProjectionRunner::Open(
                                absl::StrCat(folder, "/", entry.service), std::move(model),
                                std::move(sources), {*scheduler, SystemClock(), metrics}));
      runners.push_back(std::move(runner));
    }
  }
  for (const auto& runner : runners) runner->Start();
  const absl::Time until = absl::Now() + kRebuildMax;
  for (const auto& runner : runners) {
    while (!runner->caught_up()) {
      ABSL_RETURN_IF_ERROR(runner->health());
      if (absl::Now() > until) return absl::DeadlineExceededError("a read model does not catch up");
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  return OwnCpuTime() - begin;
}

}  // namespace

absl::Status MeasureReplay(const BenchOptions& options, AddRow add) {
  ABSL_ASSIGN_OR_RETURN(const std::string folder, ReplayedFolder(options));
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler();
  ABSL_ASSIGN_OR_RETURN(const command::OpenLogs logs, command::OpenLogsOf(folder, *scheduler));
  return MeasureReading(options, folder, logs, add);
}

absl::Status MeasureRebuild(const BenchOptions& options, AddRow add) {
  ABSL_ASSIGN_OR_RETURN(const std::string folder, ReplayedFolder(options));
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler();
  ABSL_ASSIGN_OR_RETURN(const command::OpenLogs logs, command::OpenLogsOf(folder, *scheduler));
  ABSL_ASSIGN_OR_RETURN(const uint64_t entries, ReadAll(logs, [](const EntryView&) {}));
  std::vector<double> per_second;
  for (size_t round = 0; round < options.rounds; ++round) {
    const absl::Time begin = absl::Now();
    ABSL_ASSIGN_OR_RETURN(const absl::Duration spent,
                          RebuildAll(options.folder + "/rebuilt", logs));
    per_second.push_back(static_cast<double>(entries) / absl::ToDoubleSeconds(spent));
    std::cerr << absl::StreamFormat(" %d entries in %.2f s, %.2f s of a core\n", entries,
                                    absl::ToDoubleSeconds(absl::Now() - begin),
                                    absl::ToDoubleSeconds(spent));
  }
  Row row{"rebuild of all read models", Median(std::move(per_second)), "events/s/core"};
  row.goal = kRebuildGoal;
  add(std::move(row));
  return absl::OkStatus();
}

}  // namespace buurtlog::bench
