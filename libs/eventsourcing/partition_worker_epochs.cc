// How a worker comes to an epoch, and what it does while another replica has one.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/about.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/chain_check.h"
#include "libs/eventsourcing/command_forwarder.h"
#include "libs/eventsourcing/partition_worker.h"

namespace buurtlog::eventsourcing {
namespace {

// After this many epochs in a row that could not be had, those who wait are told.
constexpr int kEpochTriesMax = 6;
// A replica from which others took the partition this often in one assignment leaves it to them:
// two that both take themselves for assigned do not go on for ever.
constexpr int kTakenMax = 8;
constexpr absl::Duration kBackOffMin = absl::Milliseconds(50);
constexpr absl::Duration kBackOffMax = absl::Seconds(5);
// While catching up the store is the slower one; more than this ahead of it costs memory and wins
// nothing.
constexpr size_t kCatchUpAheadMax = 50'000;
constexpr eventlog::ReadLimits kCatchUpLimits = {.entries_max = 4'096, .bytes_max = 4 << 20};
// A command waits this long for somebody to own its partition: longer than a takeover takes, and
// shorter than callers wait.
constexpr absl::Duration kOwnerWaitMax = absl::Seconds(5);
constexpr char kLogOutOfReach[] = "LOG_OUT_OF_REACH";
// How often it is tried to reach the owner again.
constexpr absl::Duration kLookAgain = absl::Milliseconds(100);

// Callers need not wait: no other replica reaches it either, or one that does will be the owner.
absl::Status OutOfReach() {
  return WithReason(absl::UnavailableError("the log is out of reach"), kLogOutOfReach);
}

absl::Status NotOwner() {
  return WithReason(absl::UnavailableError("another replica owns the partition"), "NOT_OWNER");
}

}  // namespace

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
    CatchUpFrom(
        place_is_from_store_ ? **checkpoint
                             : eventlog::InitialFoldState(core_.parts.log.identity(), partition_),
        core_.options.shared ? &PartitionWorker::AtEnd : &PartitionWorker::CheckClockAndBegin);
  });
}

// ---- while another replica owns the partition

void PartitionWorker::Assign(bool assigned) {
  mailbox_->Post([this, assigned] {
    assigned_ = assigned;
    taken_ = 0;
    if (!assigned) NoteClock(absl::OkStatus());
    ++assignments_;
    begin_when_caught_up_ = false;
    // One that serves goes on until the one who is assigned has begun an epoch.
    if (assigned && phase_ == Phase::kFollowing) BeginAfter(absl::ZeroDuration());
    if (assigned && phase_ == Phase::kStopped) begin_when_caught_up_ = true;
  });
}

void PartitionWorker::Grew() {
  if (grew_.exchange(true)) return;
  mailbox_->Post([this] {
    grew_.store(false);
    OnGrew();
  });
}

void PartitionWorker::OnGrew() {
  if (phase_ == Phase::kFollowing && !catching_up_) {
    catching_up_ = true;
    return CatchUp();
  }
  if (phase_ != Phase::kServing || foreign_epoch_) return;
  const absl::StatusOr<eventlog::FoldState> head = core_.parts.log.Head(partition_);
  if (!head.ok() || head->epoch <= epoch_behind_.epoch) return;
  // What is under way is answered by the log: it counts, or the other epoch came before it.
  foreign_epoch_ = true;
  if (under_way_.empty()) StepDown();
}

// Another replica has begun an epoch, and nothing of this one is under way.
void PartitionWorker::StepDown() {
  phase_ = Phase::kDraining;
  needs_epoch_ = true;
  fenced_ = true;
  EndDrain();
}

void PartitionWorker::Follow() {
  phase_ = Phase::kFollowing;
  foreign_epoch_ = false;
  CatchUpFrom(place_, &PartitionWorker::AtEnd);
}

// Everything that counts is folded, up to here.
void PartitionWorker::AtEnd() {
  phase_ = Phase::kFollowing;
  decider_.ForgetAll(place_, newest_recorded_at_);
  if (absl::StatusOr<eventlog::FoldState> head = core_.parts.log.Head(partition_); head.ok()) {
    if (head->epoch > owner_epoch_) {
      out_of_reach_ = false;
      TakeBackForwarded();
      TakeHeld();
    }
    owner_ = std::move(head->owner);
    owner_epoch_ = head->epoch;
  }
  if (ready_) std::exchange(ready_, nullptr)(absl::OkStatus());
  ServeReads();
  if (std::exchange(begin_when_caught_up_, false) && assigned_) return CheckClockAndBegin();
  HandOn();
}

void PartitionWorker::HandOn() {
  do {
    TakeInbox();
    for (PendingCommandPtr& pending : std::exchange(waiting_, {})) HandOnOne(std::move(pending));
  } while (!RestsUntilCalled());
}

void PartitionWorker::HandOnOne(PendingCommandPtr pending) {
  if (pending->command.deadline <= core_.parts.clock.Now()) {
    return core_.Answer(std::move(pending), absl::DeadlineExceededError(
                                                "nobody owned the partition before the deadline"));
  }
  // What counts was read, and stays; so a repeat needs no owner.
  absl::StatusOr<std::optional<absl::StatusOr<type::v1::Receipt>>> recorded =
      decider_.AnswerInLog(*pending);
  if (!recorded.ok()) return core_.Answer(std::move(pending), recorded.status());
  if (recorded->has_value()) return core_.Answer(std::move(pending), **std::move(recorded));
  const bool own = owner_ == core_.options.owner;
  const bool reachable =
      core_.parts.forwarder != nullptr && !owner_.empty() && !own && pending->may_forward;
  if (!reachable && out_of_reach_) return core_.Answer(std::move(pending), OutOfReach());
  // Whoever was the owner, and is to be it again, keeps what was handed to it.
  if (!pending->may_forward && !(own && assigned_)) {
    return core_.Answer(std::move(pending), NotOwner());
  }
  if (!reachable || pending->unreached || forwarded_.size() >= core_.options.queue_max) {
    return Hold(std::move(pending));
  }
  Forward(std::move(pending));
}

void PartitionWorker::Hold(PendingCommandPtr pending) {
  const absl::Duration now = core_.parts.scheduler.Now();
  if (!pending->waits_since.has_value()) pending->waits_since = now;
  if (now - *pending->waits_since > kOwnerWaitMax) {
    return core_.Answer(std::move(pending), NotOwner());
  }
  if (held_.size() >= core_.options.queue_max) {
    return core_.Answer(std::move(pending),
                        absl::ResourceExhaustedError("too many commands wait for an owner"));
  }
  held_.push_back(std::move(pending));
  if (std::exchange(looks_again_, true)) return;
  tasks_.PostAfter(kLookAgain, [this] {
    looks_again_ = false;
    TakeHeld();
    Work();
  });
}

void PartitionWorker::Forward(PendingCommandPtr pending) {
  const uint64_t number = ++forwards_;
  log::v1::HandedCommand handed = ToHanded(pending->command);
  const absl::Time deadline = pending->command.deadline;
  forwarded_[number] = {std::move(pending), owner_epoch_};
  core_.metrics.Forwarded();
  core_.parts.forwarder->Forward(
      owner_, std::move(handed), deadline,
      [this, mailbox = mailbox_, number](absl::StatusOr<type::v1::Receipt> answer) {
        mailbox->Post([this, number, answer = std::move(answer)]() mutable {
          OnForwarded(number, std::move(answer));
        });
      });
}

void PartitionWorker::OnForwarded(uint64_t number, absl::StatusOr<type::v1::Receipt> answer) {
  const auto it = forwarded_.find(number);
  if (it == forwarded_.end()) return;  // taken back
  PendingCommandPtr pending = std::move(it->second.pending);
  forwarded_.erase(it);
  if (!absl::IsUnavailable(answer.status()) || StatusReason(answer.status()) == kLogOutOfReach) {
    return core_.Answer(std::move(pending), std::move(answer));
  }
  // Unknown whether it was decided; under its key it is decided once, wherever it is sent next.
  pending->unreached = true;
  pending->in_doubt = true;
  if (phase_ != Phase::kFollowing || catching_up_) {
    waiting_.push_back(std::move(pending));
    return Work();
  }
  Hold(std::move(pending));
  // Whoever took the partition from this one again and again is gone.
  if (assigned_ && taken_ >= kTakenMax) {
    taken_ = 0;
    BeginAfter(BackOff());
  }
}

// The owner they were sent to is the owner no more, or this one has become it.
void PartitionWorker::TakeBackForwarded() {
  for (auto& [number, forwarded] : forwarded_) {
    forwarded.pending->unreached = false;
    forwarded.pending->in_doubt = true;
    waiting_.push_back(std::move(forwarded.pending));
  }
  forwarded_.clear();
}

void PartitionWorker::TakeHeld() {
  for (PendingCommandPtr& pending : std::exchange(held_, {})) {
    pending->unreached = false;
    waiting_.push_back(std::move(pending));
  }
}

void PartitionWorker::BeginAfter(absl::Duration delay) {
  const uint64_t assignment = ++assignments_;
  const auto begin = [this, assignment] {
    if (assignment != assignments_ || phase_ != Phase::kFollowing || !assigned_) return;
    if (catching_up_) {
      begin_when_caught_up_ = true;
    } else {
      CheckClockAndBegin();
    }
  };
  if (delay > absl::ZeroDuration()) {
    tasks_.PostAfter(delay, begin);
  } else {
    begin();
  }
}

// ---- on the way to an epoch

void PartitionWorker::CatchUpFrom(const eventlog::FoldState& place,
                                  void (PartitionWorker::*then)()) {
  place_ = place;
  then_ = then;
  catching_up_ = true;
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
    if (++lost_ > kEpochTriesMax) AnswerWaiting(OutOfReach());
    tasks_.PostAfter(kBackOffMax, [this] { CatchUp(); });
  } else if (visited) {
    tasks_.Post([this] { CatchUp(); });
  } else {
    place_is_from_store_ = false;
    catching_up_ = false;
    (this->*then_)();
  }
}

// A store that does not go with the log is made anew from it, once.
bool PartitionWorker::DiscardStore(const absl::Status& why) {
  if (!absl::IsDataLoss(why) || !place_is_from_store_) return false;
  if (absl::IsDataLoss(core_.parts.log.health())) return false;  // it is the log that is damaged
  place_is_from_store_ = false;
  if (absl::Status status = core_.parts.store.Discard(partition_); !status.ok()) return false;
  const eventlog::FoldState start =
      eventlog::InitialFoldState(core_.parts.log.identity(), partition_);
  tasks_.Post([this, start] { CatchUpFrom(start, then_); });
  return true;
}

void PartitionWorker::CheckClockAndBegin() {
  if (phase_ == Phase::kFollowing) phase_ = Phase::kBeginning;
  if (newest_recorded_at_ == absl::InfinitePast()) {
    absl::StatusOr<absl::Time> newest = NewestRecordedAt(core_.parts.log, partition_, place_);
    if (absl::IsUnavailable(newest.status())) return TryAgainLater(newest.status());
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
  serves_since_ = core_.parts.scheduler.Now();
  SetOwns(true);
  NoteClock(absl::OkStatus());
  owner_ = core_.options.owner;
  owner_epoch_ = epoch_behind_.epoch;
  out_of_reach_ = false;
  foreign_epoch_ = false;
  TakeBackForwarded();
  TakeHeld();
  if (ready_) std::exchange(ready_, nullptr)(absl::OkStatus());
  ServeReads();
  Work();
}

void PartitionWorker::TryAgainLater(const absl::Status& why) {
  const bool clock = StatusReason(why).has_value();
  if (absl::IsAborted(why)) ++taken_;
  // A clock that is wrong at the start is for people to mend; the same holds for a log that cannot
  // be written at all.
  if (phase_ == Phase::kStopped && (clock || lost_ >= kEpochTriesMax)) return Fail(why);
  if (clock) NoteClock(why);
  // Once may be a broker that goes and another that takes over; but a replica that has dropped out
  // of its group besides is cut off.
  const bool away = core_.options.shared && absl::IsUnavailable(why);
  if (away && (lost_ > 0 || !assigned_)) out_of_reach_ = true;
  if (out_of_reach_) {
    AnswerWaiting(OutOfReach());
  } else if (lost_ >= kEpochTriesMax) {
    AnswerWaiting(absl::UnavailableError(why.message()));
  }
  const absl::Duration delay = BackOff();
  ++lost_;
  if (!core_.options.shared) {
    tasks_.PostAfter(delay, [this] { CheckClockAndBegin(); });
    return;
  }
  phase_ = Phase::kFollowing;
  catching_up_ = true;
  if (assigned_ && taken_ < kTakenMax) BeginAfter(delay);
  Follow();
}

// Why it may not begin an epoch for the moment, for health(); OK when it has begun one.
void PartitionWorker::NoteClock(const absl::Status& status) {
  if (clock_behind_ == !status.ok()) return;
  clock_behind_ = !status.ok();
  absl::MutexLock lock(&core_.failure_mutex);
  core_.clocks_behind += clock_behind_ ? 1 : -1;
  if (clock_behind_) core_.clock_behind = status;
}

// Half of it by chance, so that two do not go on in step.
absl::Duration PartitionWorker::BackOff() {
  const absl::Duration full = std::min(kBackOffMax, kBackOffMin * (1 << std::min(lost_, 10)));
  const int64_t half_micros = absl::ToInt64Microseconds(full) / 2;
  return absl::Microseconds(
      half_micros +
      static_cast<int64_t>(RandomBelow(core_.parts.random, static_cast<uint64_t>(half_micros))));
}

void PartitionWorker::Fail(const absl::Status& why) {
  phase_ = Phase::kFailed;
  failure_ = why;
  {
    absl::MutexLock lock(&core_.failure_mutex);
    if (core_.failure.ok()) core_.failure = why;
  }
  folder_ = nullptr;
  SetOwns(false);
  TakeBackForwarded();
  if (ready_) std::exchange(ready_, nullptr)(why);
  ServeReads();
  Work();
}

}  // namespace buurtlog::eventsourcing
