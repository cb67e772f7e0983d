#include "libs/eventsourcing/partition_worker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/chain_check.h"

namespace buurtlog::eventsourcing {
namespace {

// A batch is closed when its entries reach this.
constexpr size_t kBatchBytesMax = 4 << 20;
// A command that was decided this often without becoming durable is given back to its caller.
constexpr int kTriesMax = 8;

absl::Status ShuttingDown() { return absl::UnavailableError("the service is shutting down"); }

}  // namespace

PartitionWorker::PartitionWorker(ExecutorCore& core, eventlog::Partition partition)
    : core_(core),
      partition_(partition),
      decider_(core, partition),
      assigned_(!core.options.shared),
      queue_(
          core.parts.scheduler.NewQueue(absl::StrCat("executor-", partition), QueueKind::kCompute)),
      mailbox_(queue_->mailbox()),
      tasks_(*queue_) {}

PartitionWorker::~PartitionWorker() { CHECK(queue_ == nullptr); }

void PartitionWorker::Execute(PendingCommandPtr pending) {
  absl::Status refused;
  bool wake = false;
  {
    absl::MutexLock lock(&mutex_);
    if (closed_) {
      refused = ShuttingDown();
    } else if (inbox_.size() >= core_.options.queue_max) {
      refused = absl::ResourceExhaustedError("too many commands wait");
    } else {
      inbox_.push_back(std::move(pending));
      core_.metrics.QueueGrew(1);
      wake = !std::exchange(awake_, true);
    }
  }
  if (!refused.ok()) core_.Answer(std::move(pending), std::move(refused));
  // Deciding waits for nothing but short reads, so the caller's thread is as good as another.
  if (wake) mailbox_->PostOrRun([this] { Work(); });
}

void PartitionWorker::ReadState(const StreamKey& key, ReadDone done) {
  {
    absl::MutexLock lock(&mutex_);
    if (!closed_) {
      reads_.push_back({key, std::move(done)});
      tasks_.Post([this] { ServeReads(); });
      return;
    }
  }
  done(ShuttingDown());
}

void PartitionWorker::Close() {
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }
  queue_ = nullptr;  // waits for the task that runs; from here on this thread is alone
  for (Batch& batch : under_way_) {
    for (PendingCommandPtr& pending : batch.commands) DecideAnew(std::move(pending));
  }
  waiting_.insert(waiting_.begin(), std::make_move_iterator(anew_.begin()),
                  std::make_move_iterator(anew_.end()));
  TakeBackForwarded();
  AnswerWaiting(ShuttingDown());
  std::vector<Read> reads;
  {
    absl::MutexLock lock(&mutex_);
    reads.swap(reads_);
  }
  for (Read& read : reads) read.done(ShuttingDown());
}

// ---- serving

void PartitionWorker::Work() {
  if (phase_ == Phase::kFailed) {
    TakeInbox();
    AnswerWaiting(absl::UnavailableError(failure_.message()));
    return;
  }
  if (phase_ == Phase::kFollowing && !catching_up_) return HandOn();
  // In all the cases in which this returns early, what ends them comes back here; so the inbox
  // stays `awake_`.
  if (foreign_epoch_) return;
  if (phase_ != Phase::kServing || under_way_.size() >= core_.options.batches_in_flight_max) return;
  if (core_.parts.store.waiting() > StateStore::kChangesWaitingMax) {
    tasks_.PostAfter(kStoreBehindDelay, [this] { Work(); });
    return;
  }
  TakeInbox();
  if (waiting_.empty()) return;
  DecideBatch();
  // Once more, behind the answers that have come meanwhile.
  if (!RestsUntilCalled()) tasks_.Post([this] { Work(); });
}

// True when nothing waits: the next who comes will wake the worker.
bool PartitionWorker::RestsUntilCalled() {
  if (!waiting_.empty()) return false;
  absl::MutexLock lock(&mutex_);
  awake_ = !inbox_.empty();
  return !awake_;
}

void PartitionWorker::TakeInbox() {
  absl::MutexLock lock(&mutex_);
  size_t taken = 0;
  while (!inbox_.empty() &&
         (waiting_.size() < core_.options.batch_max || phase_ == Phase::kFailed)) {
    waiting_.push_back(std::move(inbox_.front()));
    inbox_.pop_front();
    ++taken;
  }
  if (taken > 0) core_.metrics.QueueGrew(-static_cast<double>(taken));
  awake_ = !waiting_.empty() && phase_ != Phase::kFailed;
}

void PartitionWorker::ServeReads() {
  if (phase_ == Phase::kStopped) return;
  std::vector<Read> reads;
  {
    absl::MutexLock lock(&mutex_);
    reads.swap(reads_);
  }
  for (Read& read : reads) {
    if (phase_ == Phase::kFailed) {
      read.done(absl::UnavailableError(failure_.message()));
    } else {
      read.done(decider_.ReadState(read.key));
    }
  }
}

void PartitionWorker::DecideBatch() {
  decider_.BeginBatch();
  for (size_t i = 0; i < core_.options.batch_max && !waiting_.empty(); ++i) {
    if (decider_.batch_bytes() >= kBatchBytesMax) break;
    PendingCommandPtr pending = std::move(waiting_.front());
    waiting_.pop_front();
    if (++pending->tries > kTriesMax) {
      core_.Answer(std::move(pending),
                   absl::UnavailableError("the log could not take the command"));
    } else {
      decider_.Decide(std::move(pending));
    }
  }
  Batch batch = decider_.TakeBatch();
  if (batch.commands.empty()) return;
  core_.metrics.Batch(batch.commands.size());
  Send(std::move(batch));
}

void PartitionWorker::Send(Batch batch) {
  std::vector<std::string> entries = std::move(batch.entries);
  const uint64_t number = batch.number;
  const eventlog::Epoch epoch = batch.behind.epoch;
  under_way_.push_back(std::move(batch));
  // Also answers that write nothing: whoever lost the partition without knowing it must not give
  // them.
  core_.parts.log.Append(
      partition_, epoch, std::move(entries),
      [this, mailbox = mailbox_, in_flight = core_.in_flight, number](absl::Status status) {
        Task answer = [this, number, status = std::move(status)]() mutable {
          OnAppended(number, std::move(status));
        };
        // The log has others to answer, unless there is one alone.
        if (*in_flight > 1) {
          mailbox->Post(std::move(answer));
        } else {
          mailbox->PostOrRun(std::move(answer));
        }
      });
}

void PartitionWorker::OnAppended(uint64_t number, absl::Status status) {
  for (Batch& batch : under_way_) {
    if (batch.number == number) batch.outcome = std::move(status);
  }
  CompleteBatches();
  if (foreign_epoch_ && phase_ == Phase::kServing && under_way_.empty()) return StepDown();
  Work();
}

void PartitionWorker::CompleteBatches() {
  while (!under_way_.empty() && under_way_.front().outcome.has_value()) {
    Batch batch = std::move(under_way_.front());
    under_way_.pop_front();
    if (phase_ == Phase::kServing && batch.outcome->ok()) {
      Complete(std::move(batch));
    } else {
      Drain(std::move(batch));
    }
  }
  if (phase_ == Phase::kDraining && under_way_.empty()) EndDrain();
}

void PartitionWorker::Complete(Batch batch) {
  if (lost_ > 0 && core_.parts.scheduler.Now() - serves_since_ > kHeldMin) lost_ = 0;
  // The store first: a caller that has its answer may ask for the stream's records at once.
  decider_.Promote(batch);
  core_.metrics.Appended(batch.events);
  for (PendingCommandPtr& pending : batch.commands) {
    std::vector<PendingCommandPtr> followers = std::move(pending->followers);
    for (PendingCommandPtr& follower : followers) {
      absl::StatusOr<type::v1::Receipt> answer = pending->answer;
      if (follower->hash != pending->hash) {
        answer = absl::AlreadyExistsError("the idempotency key names another command");
      }
      core_.Answer(std::move(follower), std::move(answer));
    }
    absl::StatusOr<type::v1::Receipt> answer = std::move(pending->answer);
    core_.Answer(std::move(pending), std::move(answer));
  }
}

// ---- when an append did not end well

void PartitionWorker::Drain(Batch batch) {
  const absl::Status& status = *batch.outcome;
  if (phase_ == Phase::kServing) {
    phase_ = Phase::kDraining;
    needs_epoch_ = false;
    // The first of its chain, so it was not one of ours that broke it.
    fenced_ = absl::IsAborted(status);
    needs_epoch_ = fenced_;
  }
  const bool disk_full = absl::IsResourceExhausted(status);
  // What is fenced or did not fit the disk never counts; everything else may, or does.
  const bool may_count = !disk_full && !absl::IsAborted(status);
  // Unknown: it counts, or will never count, once an epoch of ours stands behind it. Of a batch
  // that only carries answers there is nothing to know, but the log takes nothing in this epoch any
  // more.
  const bool counts = !batch.changes.empty() && batch.behind.next <= decider_.committed().next;
  if (may_count && !counts) needs_epoch_ = true;
  for (PendingCommandPtr& pending : batch.commands) {
    if (pending->recorded && may_count) pending->in_doubt = true;
    if (!disk_full || !pending->recorded) {
      DecideAnew(std::move(pending));
      continue;
    }
    std::vector<PendingCommandPtr> followers = std::move(pending->followers);
    for (PendingCommandPtr& follower : followers) {
      if (follower->hash == pending->hash) {
        core_.Answer(std::move(follower), status);
      } else {
        DecideAnew(std::move(follower));
      }
    }
    core_.Answer(std::move(pending), status);
  }
}

void PartitionWorker::DecideAnew(PendingCommandPtr pending) {
  std::vector<PendingCommandPtr> followers = std::move(pending->followers);
  pending->followers.clear();
  pending->recorded = false;
  anew_.push_back(std::move(pending));
  for (PendingCommandPtr& follower : followers) anew_.push_back(std::move(follower));
}

void PartitionWorker::EndDrain() {
  // Before those that came later.
  waiting_.insert(waiting_.begin(), std::make_move_iterator(anew_.begin()),
                  std::make_move_iterator(anew_.end()));
  anew_.clear();
  decider_.Forget(decider_.committed());
  if (!needs_epoch_) {
    phase_ = Phase::kServing;
    tasks_.Post([this] { Work(); });
    return;
  }
  phase_ = Phase::kBeginning;
  SetOwns(false);
  place_ = decider_.committed();
  if (fenced_) return TryAgainLater(absl::AbortedError("another owner wrote"));
  if (!assigned_) return TryAgainLater(absl::UnavailableError("an append did not come through"));
  CheckClockAndBegin();
}

void PartitionWorker::AnswerWaiting(const absl::Status& status) {
  std::deque<PendingCommandPtr> all = std::move(waiting_);
  waiting_.clear();
  for (PendingCommandPtr& pending : held_) all.push_back(std::move(pending));
  held_.clear();
  {
    absl::MutexLock lock(&mutex_);
    core_.metrics.QueueGrew(-static_cast<double>(inbox_.size()));
    for (PendingCommandPtr& pending : inbox_) all.push_back(std::move(pending));
    inbox_.clear();
  }
  for (PendingCommandPtr& pending : all) core_.Answer(std::move(pending), status);
}

}  // namespace buurtlog::eventsourcing
