// Durable append in process: each writer has a partition and one entry under way.
#include <atomic>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "libs/base/check.h"
#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/random.h"
#include "libs/base/scheduler.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/sqlite_event_log.h"
#include "tools/bench/bare_log.h"
#include "tools/bench/families.h"
#include "tools/bench/preallocated_file.h"

namespace buurtlog::bench {
namespace {

using eventlog::SqliteEventLog;

constexpr double kShareOfLimit = 0.9;
// What stands around a payload in a record of the tally: ids, actor, times, lengths.
constexpr size_t kAroundPayloadBytes = 170;

using Append = absl::AnyInvocable<void(size_t writer, const eventlog::EntryHeader& header,
                                       std::string entry, absl::AnyInvocable<void()> done)>;

// Writers that append one entry after another until they are told to end.
class Writers {
 public:
  // `heads` has the end of each writer's partition, and moves on. Both outlive it.
  Writers(std::vector<eventlog::FoldState>& heads, const BenchOptions& options,
          Scheduler& scheduler, Append append)
      : heads_(heads),
        body_(kAroundPayloadBytes + options.payload_bytes, 'x'),
        append_(std::move(append)),
        ended_(static_cast<int>(heads.size())) {
    for (size_t i = 0; i < heads.size(); ++i) {
      queues_.push_back(scheduler.NewQueue("writer", QueueKind::kCompute));
    }
  }

  // Entries a second.
  double Run(const BenchOptions& options) {
    for (size_t i = 0; i < heads_.size(); ++i) queues_[i]->Post([this, i] { Next(i); });
    absl::SleepFor(options.warm_up);
    const absl::Time begin = absl::Now();
    const uint64_t before = appended_.load();
    do {
      absl::SleepFor(options.measured);
    } while (appended_.load() == before);
    const double per_second =
        static_cast<double>(appended_.load() - before) / absl::ToDoubleSeconds(absl::Now() - begin);
    ending_.store(true);
    ended_.Wait();
    return per_second;
  }

 private:
  void Next(size_t writer) {
    if (ending_.load(std::memory_order_relaxed)) {
      ended_.DecrementCount();
      return;
    }
    eventlog::FoldState& head = heads_[writer];
    eventlog::EntryHeader header;
    header.partition = static_cast<eventlog::Partition>(writer);
    header.epoch = head.epoch;
    header.sequence = head.next;
    header.previous_hash = head.head_hash;
    std::string entry = eventlog::EncodeEntry(header, body_);
    head.head_hash = eventlog::EntryHash(head.head_hash, entry);
    ++head.next;
    append_(writer, header, std::move(entry), [this, writer] {
      appended_.fetch_add(1, std::memory_order_relaxed);
      queues_[writer]->Post([this, writer] { Next(writer); });
    });
  }

  std::vector<eventlog::FoldState>& heads_;
  const std::string body_;
  Append append_;
  std::atomic<uint64_t> appended_ = 0;
  std::atomic<bool> ending_ = false;
  absl::BlockingCounter ended_;
  std::vector<std::unique_ptr<TaskQueue>> queues_;
};

absl::StatusOr<std::unique_ptr<SqliteEventLog>> NewLog(const std::string& folder, size_t partitions,
                                                       Scheduler& scheduler) {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  eventlog::LogIdentity identity;
  identity.log_id = NewUuid(absl::Now(), SystemRandom());
  identity.service = "tally";
  identity.partitions = static_cast<uint32_t>(partitions);
  identity.synthetic = true;
  eventlog::SqliteLogOptions options;
  options.folder = folder;
  ABSL_RETURN_IF_ERROR(SqliteEventLog::Create(identity, options, SystemFiles()));
  return SqliteEventLog::Open(options, SystemFiles(), scheduler);
}

absl::StatusOr<std::vector<eventlog::FoldState>> BeginEpochs(eventlog::EventLog& log,
                                                             size_t partitions) {
  std::vector<eventlog::FoldState> heads;
  for (size_t i = 0; i < partitions; ++i) {
    absl::Notification done;
    absl::StatusOr<eventlog::FoldState> begun;
    log.BeginEpoch(static_cast<eventlog::Partition>(i), "bench",
                   [&](absl::StatusOr<eventlog::FoldState> state) {
                     begun = std::move(state);
                     done.Notify();
                   });
    done.WaitForNotification();
    if (!begun.ok()) return begun.status();
    heads.push_back(*std::move(begun));
  }
  return heads;
}

absl::Status MeasureWriters(const BenchOptions& options, size_t writers, AddRow add) {
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler();
  ABSL_ASSIGN_OR_RETURN(auto log, NewLog(options.folder + "/append", writers, *scheduler));
  ABSL_ASSIGN_OR_RETURN(std::vector<eventlog::FoldState> heads, BeginEpochs(*log, writers));
  ABSL_ASSIGN_OR_RETURN(
      auto file, PreallocatedFile::Create(options.folder + "/bare_append", options.file_bytes));
  BareLog bare(*file, *scheduler);
  std::vector<eventlog::FoldState> bare_heads(writers);
  std::vector<double> ours_per_second;
  std::vector<double> bare_per_second;
  for (size_t round = 0; round < options.rounds; ++round) {
    Writers on_bare(
        bare_heads, options, *scheduler,
        [&bare](size_t, const eventlog::EntryHeader&, const std::string& entry,
                absl::AnyInvocable<void()> done) { bare.Append(entry, std::move(done)); });
    bare_per_second.push_back(on_bare.Run(options));
    Writers on_log(heads, options, *scheduler,
                   [&log](size_t writer, const eventlog::EntryHeader& header, std::string entry,
                          absl::AnyInvocable<void()> done) {
                     std::vector<std::string> entries;
                     entries.push_back(std::move(entry));
                     log->Append(static_cast<eventlog::Partition>(writer), header.epoch,
                                 std::move(entries),
                                 [done = std::move(done)](absl::Status durable) mutable {
                                   CHECK(durable.ok());
                                   done();
                                 });
                   });
    ours_per_second.push_back(on_log.Run(options));
    std::cerr << absl::StreamFormat(" %d writers: bare %.0f/s, ours %.0f/s\n", writers,
                                    bare_per_second.back(), ours_per_second.back());
  }
  Row row{absl::StrCat("append in process, ", writers, writers == 1 ? " writer" : " writers"),
          Median(std::move(ours_per_second)), "entries/s"};
  row.limit = Median(std::move(bare_per_second));
  row.goal = kShareOfLimit * *row.limit;
  add(std::move(row));
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureAppend(const BenchOptions& options, AddRow add) {
  for (const size_t writers : {1, 8, 32}) {
    ABSL_RETURN_IF_ERROR(MeasureWriters(options, writers, add));
  }
  return absl::OkStatus();
}

}  // namespace buurtlog::bench
