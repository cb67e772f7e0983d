// A region on Kafka: several replicas of `buurtlog serve`, each with a data folder of its own, and
// callers who know all of them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libs/kafka/kafka_engine.h"
#include "tests/end_to_end/child_process.h"
#include "tests/faults/care_load.h"
#include "tests/faults/clock_faults.h"
#include "tests/faults/disk_faults.h"

namespace buurtlog::faults {

struct RegionOptions {
  std::string folder;  // below it stands all that the replicas keep
  size_t replicas = 3;
  std::string region;  // of the topics
  int replication = 1;
  std::optional<size_t> called;  // the one replica that callers know; none: all of them
  // The brokers as a replica is to know them, or (SIZE_MAX) as others do.
  std::function<std::string(size_t replica)> brokers;
};

// Not thread-safe, but for AddressOf.
class RegionProcesses final : public CareTarget {
 public:
  explicit RegionProcesses(RegionOptions options);

  size_t count() const { return replicas_.size(); }
  // Starts a replica and does not wait for it.
  void Launch(size_t replica);
  // As SystemProcesses.
  absl::Status AwaitServing(size_t replica, absl::Duration at_most = absl::Seconds(60));
  void Signal(size_t replica, int signal) { replicas_[replica].process->Signal(signal); }
  int Wait(size_t replica);
  bool running(size_t replica) const { return replicas_[replica].process.has_value(); }

  // All replicas, for gRPC to choose from.
  std::string AddressOf(const std::string& service) const override;
  const std::string& people_folder() const override { return shared_folder_; }
  const std::string& address(size_t replica) const { return replicas_[replica].address; }
  const std::string& data_folder(size_t replica) const { return replicas_[replica].data_folder; }
  ClockFaults& clock(size_t replica) { return *replicas_[replica].clock; }
  DiskFaults& disk(size_t replica) { return *replicas_[replica].disk; }
  // What a replica has written to standard error so far.
  std::string LogLines(size_t replica) const;
  // Where the logs are, for whoever reads them from outside.
  kafka::LogWords log_words() const;
  // `buurtlog` with these words on a replica's data folder.
  absl::StatusOr<end_to_end::ProgramResult> Command(size_t replica,
                                                    const std::vector<std::string>& words,
                                                    absl::Duration at_most) const;

 private:
  struct Replica {
    std::string data_folder;
    std::string address;
    std::string log_file;
    std::unique_ptr<ClockFaults> clock;
    std::unique_ptr<DiskFaults> disk;
    std::optional<end_to_end::ChildProcess> process;
    bool serving = false;
  };
  std::vector<std::string> LogWordsFor(size_t replica) const;

  const RegionOptions options_;
  const std::string shared_folder_;
  std::vector<Replica> replicas_;
};

}  // namespace buurtlog::faults
