// The worker of one partition: takes what waits, has it decided, appends, and answers in order when
// it is durable; and finds out what counts when an append did not end well, which is certain only
// behind a new epoch. Private to libs/eventsourcing.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/scheduler.h"
#include "libs/eventsourcing/batch_decider.h"
#include "libs/eventsourcing/pending_command.h"
#include "libs/eventsourcing/record_folder.h"

namespace buurtlog::eventsourcing {

// Execute and ReadState are thread-safe. `core` outlives it.
class PartitionWorker {
 public:
  using ReadDone = absl::AnyInvocable<void(absl::StatusOr<StoredState>)>;

  PartitionWorker(ExecutorCore& core, eventlog::Partition partition);
  // After Close.
  ~PartitionWorker();

  // Folds what the store missed, begins an epoch, and serves. `ready` is called on the worker's
  // queue.
  void Start(absl::AnyInvocable<void(absl::Status)> ready);
  void Execute(PendingCommandPtr pending);
  void ReadState(const StreamKey& key, ReadDone done);
  // Ends the work and answers whatever waits or is under way with UNAVAILABLE. Answers of the log
  // that come later are dropped.
  void Close();

 private:
  enum class Phase {
    kStopped,  // not started, or catching up for the first time
    kServing,
    kDraining,   // an append failed: nothing is sent until all those under way are answered
    kBeginning,  // on the way to a new epoch
    kFailed,     // the log cannot be followed; see failure_
  };
  struct Read {
    StreamKey key;
    ReadDone done;
  };
  // Serving.
  void Work();
  void TakeInbox();
  bool RestsUntilCalled();
  void ServeReads();
  void DecideBatch();
  void Send(Batch batch);
  void OnAppended(uint64_t number, absl::Status status);
  void CompleteBatches();
  void Complete(Batch batch);

  // When an append did not end well.
  void Drain(Batch batch);
  void EndDrain();
  void DecideAnew(PendingCommandPtr pending);
  void AnswerWaiting(const absl::Status& status);

  // On the way to an epoch.
  void CatchUpFrom(const eventlog::FoldState& place, void (PartitionWorker::*then)());
  void CatchUp();
  bool DiscardStore(const absl::Status& why);
  void CheckClockAndBegin();
  void OnEpoch(absl::StatusOr<eventlog::FoldState> behind);
  void Serve();
  void TryAgainLater(const absl::Status& why);
  void Fail(const absl::Status& why);

  ExecutorCore& core_;
  const eventlog::Partition partition_;

  absl::Mutex mutex_;
  std::deque<PendingCommandPtr> inbox_ ABSL_GUARDED_BY(mutex_);
  std::vector<Read> reads_ ABSL_GUARDED_BY(mutex_);
  // Somebody will look at the inbox: a task is posted or runs, or the end of what is under way
  // leads there.
  bool awake_ ABSL_GUARDED_BY(mutex_) = true;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;

  // The rest is touched by tasks of the queue only.
  Phase phase_ = Phase::kStopped;
  absl::Status failure_;
  absl::AnyInvocable<void(absl::Status)> ready_;
  BatchDecider decider_;
  std::deque<PendingCommandPtr> waiting_;  // taken from the inbox, in order
  std::deque<Batch> under_way_;
  std::vector<PendingCommandPtr> anew_;  // gathered while draining
  bool needs_epoch_ = false;
  bool fenced_ = false;
  int lost_ = 0;  // epochs lost, or not to be had, since a batch was last made durable

  std::unique_ptr<RecordFolder> folder_;
  eventlog::FoldState place_;
  eventlog::FoldState epoch_behind_;
  absl::Time newest_recorded_at_ = absl::InfinitePast();
  bool place_is_from_store_ = false;
  void (PartitionWorker::*then_)() = nullptr;

  std::unique_ptr<TaskQueue> queue_;
  const std::shared_ptr<Mailbox> mailbox_;  // of the queue, for callers and for the log's answers
  TaskQueue&
      tasks_;  // *queue_, for tasks: stays while the queue is waiting for its last one to end
};

}  // namespace buurtlog::eventsourcing
