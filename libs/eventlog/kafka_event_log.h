// The kafka engine: a topic for each service, which many replicas write and read, each with a copy
// of what counts on its own disk. A writer answers when its message has been delivered and the
// replica has read it back as counting; epochs, sequences and hashes in the entries decide what
// counts, the broker decides only their order (docs/log-format.md).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/random.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventlog/topic.h"
#include "libs/eventlog/topic_partition.h"

namespace buurtlog::eventlog {

struct KafkaLogOptions {
  std::string folder;  // of this replica's copy (topic_copy.h)
  // For the time and the nonce in epoch records. Outlive the log.
  Clock* clock = &SystemClock();
  Random* random = &SystemRandom();
  // Lets the thread that opens or follows wait.
  std::function<void(absl::Duration)> sleep = absl::SleepFor;
};

class KafkaEventLog final : public EventLog {
 public:
  // Reads what the topic has now into the copy, and follows it from there. Errors as
  // TopicCopy::Open; DATA_LOSS: the topic does not have what this replica has read; UNAVAILABLE: no
  // broker. `files` and `scheduler` outlive the log. Blocks.
  static absl::StatusOr<std::unique_ptr<KafkaEventLog>> Open(std::unique_ptr<Topic> topic,
                                                             const KafkaLogOptions& options,
                                                             Files& files, Scheduler& scheduler);
  // Answers what is under way with UNAVAILABLE.
  ~KafkaEventLog() override;

  const LogIdentity& identity() const override;
  absl::Status Read(Partition partition, FoldState& at, const ReadLimits& limits,
                    absl::FunctionRef<absl::Status(const EntryView&)> visit) override;
  absl::StatusOr<FoldState> Seek(Partition partition, Sequence from) override;
  absl::Status ReadEntries(Partition partition, absl::Span<const Sequence> sequences,
                           const ReadLimits& limits,
                           absl::FunctionRef<absl::Status(const EntryView&)> visit) override;
  std::unique_ptr<Subscription> Watch(absl::AnyInvocable<void(Partition)> grew) override;
  // As far as this replica has read.
  absl::StatusOr<FoldState> Head(Partition partition) override;
  void BeginEpoch(Partition partition, std::string owner,
                  absl::AnyInvocable<void(absl::StatusOr<FoldState>)> done) override;
  // One without entries sends a barrier, which all share that come while one is under way.
  void Append(Partition partition, Epoch epoch, std::vector<std::string> entries,
              absl::AnyInvocable<void(absl::Status)> done) override;

  // Why a partition cannot be followed any more, or why the copy cannot be written at the moment.
  absl::Status health() override;
  // Why the copy that was in the folder was thrown away and made again; empty: it was not.
  const std::string& discarded() const;
  // With what came together from the topic.
  void OnProgress(absl::AnyInvocable<void(const LogProgress&)> observer) override;

  class Impl;

 private:
  explicit KafkaEventLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace buurtlog::eventlog
