// The worker of one partition: takes what waits, has it decided, appends, and answers in order when
// it is durable; and finds out what counts when an append did not end well, which is certain only
// behind a new epoch. Where several replicas share a log, it follows the partition for as long as
// another one owns it, and hands commands to that one. partition_worker.cc serves,
// partition_worker_epochs.cc follows and comes to epochs. Private to libs/eventsourcing.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
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

  // Folds what the store missed, begins an epoch, and serves; where replicas share the log it
  // follows until the partition is assigned to it. `ready` is called on the worker's queue, when it
  // serves or follows.
  void Start(absl::AnyInvocable<void(absl::Status)> ready);
  void Execute(PendingCommandPtr pending);
  // A new assignment: the partition is to be owned by this replica, or by another.
  void Assign(bool assigned);
  // The partition of the log has grown: another owner may have written.
  void Grew();
  // Whether it serves, as far as it knows.
  bool owns() const { return owns_.load(std::memory_order_relaxed); }
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
    kFollowing,  // another replica owns the partition, or nobody yet
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

  // While another replica owns the partition.
  void Follow();
  void AtEnd();
  void HandOn();
  void HandOnOne(PendingCommandPtr pending);
  void Hold(PendingCommandPtr pending);
  void Forward(PendingCommandPtr pending);
  void OnForwarded(uint64_t number, absl::StatusOr<type::v1::Receipt> answer);
  void TakeBackForwarded();
  void TakeHeld();
  void OnGrew();
  void StepDown();
  void NoteClock(const absl::Status& status);
  void BeginAfter(absl::Duration delay);
  absl::Duration BackOff();
  void SetOwns(bool owns) {
    if (owns_.exchange(owns) != owns) core_.metrics.Owned(owns ? 1 : -1);
  }

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
  int lost_ = 0;  // epochs lost, or not to be had, since one was held for long enough
  absl::Duration serves_since_;

  // For following.
  bool assigned_;
  bool clock_behind_ = false;
  bool out_of_reach_ = false;  // the log, when an epoch was wanted last
  int taken_ = 0;              // epochs that others took since it was assigned
  uint64_t assignments_ = 0;   // and other reasons to forget a timer that is set
  bool catching_up_ = false;
  bool begin_when_caught_up_ = false;
  bool foreign_epoch_ = false;  // another owner's counts, while what this one sent is under way
  std::string owner_;           // of the partition, as its newest epoch record says
  eventlog::Epoch owner_epoch_ = 0;
  std::deque<PendingCommandPtr> held_;  // until somebody owns the partition who can be reached
  bool looks_again_ = false;            // a timer is set for those
  struct Forwarded {
    PendingCommandPtr pending;
    eventlog::Epoch epoch = 0;  // of the owner it was sent to
  };
  absl::btree_map<uint64_t, Forwarded> forwarded_;  // in the order of their sending
  uint64_t forwards_ = 0;
  std::atomic<bool> grew_ = false;  // OnGrew is posted
  std::atomic<bool> owns_ = false;

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
