// What executor, workers and deciders of batches share. Private to libs/eventsourcing.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "libs/eventsourcing/command_executor.h"

namespace buurtlog::eventsourcing {

inline constexpr size_t kCommandHashBytes = 16;
// How long to wait for the state store when it has fallen behind.
inline constexpr absl::Duration kStoreBehindDelay = absl::Milliseconds(5);
// An epoch that is held for longer was not lost in a quarrel: what was lost before it is forgotten.
inline constexpr absl::Duration kHeldMin = absl::Seconds(5);

// A command on its way, with its caller.
struct PendingCommand {
  Command command;
  CommandDone done;
  CommandName name;
  std::array<char, kCommandHashBytes> hash{};
  int tries = 0;            // how often it was handed to a decider
  bool may_forward = true;  // false: another replica took it, and sent it here
  // While nobody owns the partition who can be reached: since when, by the scheduler, and whether
  // the owner was asked and did not answer.
  std::optional<absl::Duration> waits_since;
  bool unreached = false;
  // It was decided by an owner whose answer was lost, or here in an append that may yet count:
  // nobody may say that it was not begun.
  bool in_doubt = false;
  // Filled in by the decision, for when the batch is durable.
  bool recorded = false;
  absl::StatusOr<type::v1::Receipt> answer = absl::UnknownError("not decided yet");
  // Commands under the same name that came while this one was under way; they wait for what becomes
  // of it.
  std::vector<std::unique_ptr<PendingCommand>> followers;
};
using PendingCommandPtr = std::unique_ptr<PendingCommand>;

// Labels name the service and a status code, never a person.
class ExecutorMetrics {
 public:
  ExecutorMetrics(prometheus::Registry& registry, const std::string& service);
  void QueueGrew(double by) { queue_length_.Increment(by); }
  void Batch(size_t commands) { batch_size_.Observe(static_cast<double>(commands)); }
  void Appended(size_t events) { events_.Increment(static_cast<double>(events)); }
  void Owned(double by) { owned_.Increment(by); }
  void Forwarded() { forwarded_.Increment(); }
  void Outcome(absl::StatusCode code) {
    outcomes_[static_cast<size_t>(code) % kCodes]->Increment();
  }

 private:
  static constexpr size_t kCodes = 17;
  prometheus::Gauge& queue_length_;
  prometheus::Histogram& batch_size_;
  prometheus::Counter& events_;
  prometheus::Gauge& owned_;
  prometheus::Counter& forwarded_;
  std::array<prometheus::Counter*, kCodes> outcomes_{};
};

struct ExecutorCore {
  CommandExecutor::Parts parts;
  std::vector<const AggregateType*> types;
  ExecutorOptions options;
  ExecutorMetrics metrics;
  absl::Mutex failure_mutex{};
  absl::Status failure ABSL_GUARDED_BY(failure_mutex) =
      absl::OkStatus();  // the first partition's that failed
  // Partitions that want an epoch and are not to have one, as the clock is behind.
  int clocks_behind ABSL_GUARDED_BY(failure_mutex) = 0;
  absl::Status clock_behind ABSL_GUARDED_BY(failure_mutex) = absl::OkStatus();

  // Commands that have not been answered. Shared with callbacks of the log that may outlive the
  // executor.
  std::shared_ptr<std::atomic<int64_t>> in_flight = std::make_shared<std::atomic<int64_t>>(0);

  // Every command ends here, once.
  void Answer(PendingCommandPtr pending, absl::StatusOr<type::v1::Receipt> answer) {
    in_flight->fetch_sub(1, std::memory_order_relaxed);
    const bool was_not_begun =
        absl::IsDeadlineExceeded(answer.status()) || absl::IsResourceExhausted(answer.status());
    if (pending->in_doubt && was_not_begun) {
      answer = absl::UnavailableError(
          "unknown whether the command was taken; repeat it with the same key");
    }
    metrics.Outcome(answer.status().code());
    pending->done(std::move(answer));
  }
};

}  // namespace buurtlog::eventsourcing
