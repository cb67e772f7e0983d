// Lets everything go wrong in a region of several replicas on Kafka, at moments drawn from a seed,
// while nurses work on it: replicas and brokers that die or stand still, a network that is cut,
// holds sends up, loses or doubles them, and clocks that jump. Looks every so often, and at the
// end, whether what callers were told holds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "libs/base/random.h"
#include "tests/faults/care_load.h"
#include "tests/faults/kafka_cluster.h"
#include "tests/faults/log_audit.h"
#include "tests/faults/region_processes.h"

namespace buurtlog::faults {

enum class ChaosKind {
  kKillReplica,  // kill -9
  kStopReplica,  // SIGSTOP, and SIGCONT later: what it had in its hands comes too late
  kEndReplica,   // SIGTERM, and a new start: a rolling restart
  kKillBroker,   // kill -9
  kPauseBroker,  // SIGSTOP, and SIGCONT later
  kCutNetwork,   // between a replica and all brokers
  kHoldNetwork,  // what a replica sends waits, and then comes
  kLoseSend,     // one send of entries is swallowed
  kDoubleSend,   // one comes twice
  kLateSend,     // sends come when their sender has given them up
  kMoveClock,    // of a replica
};
const char* NameOf(ChaosKind kind);

struct ChaosOptions {
  int faults = 20;
  uint64_t seed = 1;
  size_t replicas = 3;
  int brokers = 1;  // or 3
  size_t callers = 8;
  int look_every = 25;  // faults between two looks
  // What happens; empty: everything.
  std::vector<ChaosKind> kinds;
  // Of the pause before a fault, and of a fault that lasts.
  absl::Duration pause_max = absl::Milliseconds(800);
  absl::Duration fault_max = absl::Seconds(4);
  absl::Duration fault_min = absl::Milliseconds(200);  // which comes on top of what is drawn
  // One at a time, and of one replica after the other, and whole for so long in between: for the
  // times of takeovers.
  bool one_at_a_time = false;
  // Nurses call the last replica alone, which nothing happens to: how long partitions are without
  // an owner, and not how long a caller is stuck to a replica that hangs.
  bool through_a_well_replica = false;
  absl::Duration rest = absl::Seconds(4);
  std::string folder;
  std::function<void(const std::string&)> tell = [](const std::string&) {};
};

struct ChaosResult {
  int faults = 0;
  std::map<std::string, int> by_kind;
  size_t answered = 0;
  size_t refused = 0;
  size_t repeated = 0;
  size_t tried_again = 0;     // calls that failed though gRPC had tried again
  absl::Status last_failure;  // of them
  size_t records = 0;
  absl::Duration took;
  // With one_at_a_time, by kind: the longest that any nurse waited for an answer, of each fault.
  std::map<std::string, std::vector<absl::Duration>> waited;
  std::vector<std::string> violations;
};

class ChaosRun {
 public:
  explicit ChaosRun(ChaosOptions options);
  ChaosResult Run();

 private:
  // A fault that lasts.
  struct Open {
    ChaosKind kind;
    size_t replica = 0;
    int broker = 0;
    absl::Time until;
  };

  absl::Status Begin();
  ChaosKind Draw();
  // False when such a fault cannot be now.
  bool Inject(ChaosKind kind);
  bool InjectInReplica(ChaosKind kind, size_t replica, absl::Duration lasts);
  void Heal(const Open& fault);
  void HealThoseThatAreOver();
  void HealAll();
  absl::Status AwaitServing(size_t replica);
  bool Well(size_t replica) const;
  void Look(bool all);
  void MeasureWait(ChaosKind kind, absl::Time begun);
  void End();
  void Violation(const std::string& sentence);
  // How many of the replicas something may happen to.
  size_t Hit() const { return region_.count() - (options_.through_a_well_replica ? 1 : 0); }
  uint64_t Below(uint64_t n) { return RandomBelow(random_, n); }
  absl::Duration UpTo(absl::Duration most) {
    return absl::Microseconds(Below(static_cast<uint64_t>(absl::ToInt64Microseconds(most)) + 1));
  }

  const ChaosOptions options_;
  SeededRandom random_;
  KafkaCluster cluster_;
  RegionProcesses region_;
  CareLoad load_;
  LogAudit audit_;
  std::vector<Open> open_;
  ChaosResult result_;
  std::string now_;
  size_t load_violations_ = 0;
  size_t repeated_to_ = 0;
};

// A report for people, in Markdown.
std::string ReportOf(const ChaosOptions& options, const ChaosResult& result);

}  // namespace buurtlog::faults
