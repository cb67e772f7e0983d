#include "libs/eventsourcing/partition_worker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/about.h"
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
// After this many epochs in a row that could not be had, those who wait are told.
constexpr int kEpochTriesMax = 6;
constexpr absl::Duration kBackOffMin = absl::Milliseconds(50);
constexpr absl::Duration kBackOffMax = absl::Seconds(5);
// How long to wait for the state store when it has fallen behind.
constexpr absl::Duration kStoreBehindDelay = absl::Milliseconds(5);
// While catching up the store is the slower one; more than this ahead of it costs memory and wins
// nothing.
constexpr size_t kCatchUpAheadMax = 50'000;
constexpr eventlog::ReadLimits kCatchUpLimits = {.entries_max = 4'096, .bytes_max = 4 << 20};

absl::Status ShuttingDown() { return absl::UnavailableError("the service is shutting down"); }

}  // namespace

PartitionWorker::PartitionWorker(ExecutorCore& core, eventlog::Partition partition)
    : core_(core),
      partition_(partition),
      decider_(core, partition),
      queue_(
          core.parts.scheduler.NewQueue(absl::StrCat("executor-", partition), QueueKind::kCompute)),
      mailbox_(queue_->mailbox()),
      tasks_(*queue_) {}

PartitionWorker::~PartitionWorker() { CHECK(queue_ == nullptr); }

void PartitionWorker::Start(absl::AnyInvocable<void(absl::Status)> ready) {
  tasks_.Post([this, ready = std::move(ready)]() mutable {
    ready_ = std::move(ready);
    absl::StatusOr<std::optional<eventlog::FoldState>> checkpoint =
        core_.parts.store.Checkpoint(partition_);
    if (!checkpoint.ok()) return Fail(checkpoint.status());
    place_is_from_store_ = checkpoint->has_value();
    // The store is written behind the log, so it never knows more than the log has held.
    if (place_is_from_store_) {
      const absl::Status on_chain =
          eventlog::CheckOnChain(core_.parts.log, partition_, **checkpoint);
      if (absl::IsDataLoss(on_chain)) return Fail(About("the state store", on_chain));
    }
    CatchUpFrom(place_is_from_store_
                    ? **checkpoint
                    : eventlog::InitialFoldState(core_.parts.log.identity(), partition_),
                &PartitionWorker::CheckClockAndBegin);
  });
}

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
  // In all the cases in which this returns early, what ends them comes back here; so the inbox
  // stays `awake_`.
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
  lost_ = 0;
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
  // Unknown: it counts, or will never count, once an epoch of ours stands behind it. A batch that
  // only carries answers is known.
  if (!disk_full && !absl::IsAborted(status) && batch.behind.next > decider_.committed().next &&
      !batch.changes.empty()) {
    needs_epoch_ = true;
  }
  for (PendingCommandPtr& pending : batch.commands) {
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
  place_ = decider_.committed();
  if (fenced_) return TryAgainLater(absl::AbortedError("another owner wrote"));
  CheckClockAndBegin();
}

void PartitionWorker::AnswerWaiting(const absl::Status& status) {
  std::deque<PendingCommandPtr> all = std::move(waiting_);
  waiting_.clear();
  {
    absl::MutexLock lock(&mutex_);
    core_.metrics.QueueGrew(-static_cast<double>(inbox_.size()));
    for (PendingCommandPtr& pending : inbox_) all.push_back(std::move(pending));
    inbox_.clear();
  }
  for (PendingCommandPtr& pending : all) core_.Answer(std::move(pending), status);
}

// ---- on the way to an epoch

void PartitionWorker::CatchUpFrom(const eventlog::FoldState& place,
                                  void (PartitionWorker::*then)()) {
  place_ = place;
  then_ = then;
  folder_ = std::make_unique<RecordFolder>(core_.parts.store, core_.types, partition_);
  CatchUp();
}

void PartitionWorker::CatchUp() {
  if (core_.parts.store.waiting() > kCatchUpAheadMax) {
    tasks_.PostAfter(kStoreBehindDelay, [this] { CatchUp(); });
    return;
  }
  bool visited = false;
  const absl::Status status = core_.parts.log.Read(
      partition_, place_, kCatchUpLimits, [&](const eventlog::EntryView& entry) -> absl::Status {
        ABSL_RETURN_IF_ERROR(folder_->Fold(entry));
        visited = true;
        return absl::OkStatus();
      });
  // Log or store out of reach: what was folded stands, and it goes on from there later.
  if (!status.ok() && !absl::IsUnavailable(status)) {
    if (!DiscardStore(status)) Fail(status);
    return;
  }
  if (visited) {
    core_.parts.store.Add(partition_, folder_->TakeChanges(), place_);
    newest_recorded_at_ = std::max(newest_recorded_at_, folder_->recorded_at());
  }
  if (!status.ok()) {
    if (++lost_ > kEpochTriesMax) AnswerWaiting(absl::UnavailableError("the log is out of reach"));
    tasks_.PostAfter(kBackOffMax, [this] { CatchUp(); });
  } else if (visited) {
    tasks_.Post([this] { CatchUp(); });
  } else {
    place_is_from_store_ = false;
    (this->*then_)();
  }
}

// A store that does not go with the log is made anew from it, once.
bool PartitionWorker::DiscardStore(const absl::Status& why) {
  if (!absl::IsDataLoss(why) || !place_is_from_store_) return false;
  place_is_from_store_ = false;
  if (absl::Status status = core_.parts.store.Discard(partition_); !status.ok()) return false;
  const eventlog::FoldState start =
      eventlog::InitialFoldState(core_.parts.log.identity(), partition_);
  tasks_.Post([this, start] { CatchUpFrom(start, &PartitionWorker::CheckClockAndBegin); });
  return true;
}

void PartitionWorker::CheckClockAndBegin() {
  if (newest_recorded_at_ == absl::InfinitePast()) {
    absl::StatusOr<absl::Time> newest = NewestRecordedAt(core_.parts.log, partition_, place_);
    if (!newest.ok()) return Fail(newest.status());
    newest_recorded_at_ = *newest;
  }
  if (core_.parts.clock.Now() < newest_recorded_at_ - kClockBehindMax) {
    return TryAgainLater(
        WithReason(absl::FailedPreconditionError(
                       "this machine's clock is behind the newest record of the log"),
                   "CLOCK_BEHIND"));
  }
  core_.parts.log.BeginEpoch(
      partition_, core_.options.owner,
      [this, mailbox = mailbox_](absl::StatusOr<eventlog::FoldState> behind) {
        mailbox->Post([this, behind = std::move(behind)]() mutable { OnEpoch(std::move(behind)); });
      });
}

void PartitionWorker::OnEpoch(absl::StatusOr<eventlog::FoldState> behind) {
  if (!behind.ok()) return TryAgainLater(behind.status());
  epoch_behind_ = *std::move(behind);
  CatchUpFrom(place_, &PartitionWorker::Serve);
}

void PartitionWorker::Serve() {
  folder_ = nullptr;
  if (place_.next != epoch_behind_.next || place_.head_hash != epoch_behind_.head_hash) {
    return TryAgainLater(absl::AbortedError("another owner has begun an epoch"));
  }
  decider_.ForgetAll(place_, newest_recorded_at_);
  phase_ = Phase::kServing;
  if (ready_) std::exchange(ready_, nullptr)(absl::OkStatus());
  ServeReads();
  Work();
}

void PartitionWorker::TryAgainLater(const absl::Status& why) {
  // A clock that is wrong at the start is for people to mend; the same holds for a log that cannot
  // be written at all.
  if (phase_ == Phase::kStopped && (StatusReason(why).has_value() || lost_ >= kEpochTriesMax)) {
    return Fail(why);
  }
  if (lost_ >= kEpochTriesMax) AnswerWaiting(absl::UnavailableError(why.message()));
  const absl::Duration full = std::min(kBackOffMax, kBackOffMin * (1 << std::min(lost_, 10)));
  const int64_t half_micros = absl::ToInt64Microseconds(full) / 2;
  const auto jitter =
      static_cast<int64_t>(RandomBelow(core_.parts.random, static_cast<uint64_t>(half_micros)));
  ++lost_;
  tasks_.PostAfter(absl::Microseconds(half_micros + jitter), [this] { CheckClockAndBegin(); });
}

void PartitionWorker::Fail(const absl::Status& why) {
  phase_ = Phase::kFailed;
  failure_ = why;
  {
    absl::MutexLock lock(&core_.failure_mutex);
    if (core_.failure.ok()) core_.failure = why;
  }
  folder_ = nullptr;
  if (ready_) std::exchange(ready_, nullptr)(why);
  ServeReads();
  Work();
}

}  // namespace buurtlog::eventsourcing
