#include "libs/eventlog/sqlite_log_flusher.h"

#include <algorithm>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"

namespace buurtlog::eventlog {

struct SqliteLogFlusher::Call {
  Partition partition = 0;
  Epoch epoch = 0;
  std::vector<std::string> entries;
  size_t bytes = 0;
  absl::AnyInvocable<void(absl::Status)> appended;
  // Of BeginEpoch.
  std::string owner;
  absl::AnyInvocable<void(absl::StatusOr<FoldState>)> begun;
  FoldState begun_state;

  bool judged = false;  // `verdict` is known before anything is stored
  absl::Status verdict;

  void Answer() {
    if (!begun) {
      appended(std::move(verdict));
    } else if (verdict.ok()) {
      begun(std::move(begun_state));
    } else {
      begun(std::move(verdict));
    }
  }
};

// What one batch is about to change.
struct SqliteLogFlusher::Flush {
  struct Change {
    FoldState state;
    std::vector<CommittedEntryPtr> entries;
  };
  // In order, so that a simulation writes the same again.
  absl::btree_map<Partition, Change> changes;
  LogProgress stats;
};

SqliteLogFlusher::SqliteLogFlusher(Parts parts, Journal journal)
    : parts_(std::move(parts)),
      record_bytes_max_(parts_.identity.record_bytes_max),
      journal_(std::move(journal)),
      states_(parts_.tail.Heads()),
      queue_(parts_.scheduler.NewQueue("log flusher", QueueKind::kBlocking)) {}

SqliteLogFlusher::~SqliteLogFlusher() {
  {
    absl::MutexLock lock(&mutex_);
    closing_ = true;
  }
  queue_.reset();
  for (std::vector<Call> calls = TakeWaiting(); !calls.empty(); calls = TakeWaiting()) {
    Run(std::move(calls));
  }
  // What is left in the journal is found by the next one who opens the log.
  if (doubtful_ == nullptr && parts_.mover.MoveAllAndTidy().ok()) journal_.Empty().IgnoreError();
}

void SqliteLogFlusher::OnProgress(absl::AnyInvocable<void(const LogProgress&)> observer) {
  observer_ = std::move(observer);
}

void SqliteLogFlusher::Append(Partition partition, Epoch epoch, std::vector<std::string> entries,
                              absl::AnyInvocable<void(absl::Status)> done) {
  Call call;
  call.partition = partition;
  call.epoch = epoch;
  call.entries = std::move(entries);
  for (const std::string& entry : call.entries) call.bytes += entry.size();
  call.appended = std::move(done);
  Add(std::move(call));
}

void SqliteLogFlusher::BeginEpoch(Partition partition, std::string owner,
                                  absl::AnyInvocable<void(absl::StatusOr<FoldState>)> done) {
  Call call;
  call.partition = partition;
  call.owner = std::move(owner);
  call.begun = std::move(done);
  Add(std::move(call));
}

void SqliteLogFlusher::Add(Call call) {
  if (call.partition >= states_.size()) {
    call.judged = true;
    call.verdict = absl::InvalidArgumentError(absl::StrCat("no partition ", call.partition));
  }
  absl::MutexLock lock(&mutex_);
  if (waiting_bytes_ + call.bytes > kWaitingBytesMax || waiting_.size() >= kWaitingCallsMax) {
    call.judged = true;
    call.verdict = absl::ResourceExhaustedError("too much is waiting for the log");
  }
  // Answered in its turn, but need not keep its bytes until then.
  if (call.judged) {
    call.entries.clear();
    call.bytes = 0;
  }
  waiting_bytes_ += call.bytes;
  waiting_.push_back(std::move(call));
  if (scheduled_ || closing_) return;
  scheduled_ = true;
  queue_->Post([this] { FlushWaiting(); });
}

std::vector<SqliteLogFlusher::Call> SqliteLogFlusher::TakeWaiting() {
  std::vector<Call> calls;
  absl::MutexLock lock(&mutex_);
  size_t bytes = 0;
  size_t count = 0;
  while (count < waiting_.size() && (count == 0 || bytes < kFlushBytesMax)) {
    bytes += waiting_[count++].bytes;
  }
  waiting_bytes_ -= bytes;
  if (count == waiting_.size()) {
    calls.swap(waiting_);
  } else {
    const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
    calls.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
    waiting_.erase(waiting_.begin(), end);
  }
  return calls;
}

void SqliteLogFlusher::Gather() {
  absl::MutexLock lock(&mutex_);
  const auto enough = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return closing_ || waiting_.size() >= expected_;
  };
  if (gather_ > absl::ZeroDuration()) mutex_.AwaitWithTimeout(absl::Condition(&enough), gather_);
  expected_ = waiting_.size();
}

// One batch a task, so that a simulation can stop the world between two.
void SqliteLogFlusher::FlushWaiting() {
  Gather();
  Run(TakeWaiting());
  absl::MutexLock lock(&mutex_);
  scheduled_ = !waiting_.empty() && !closing_;
  if (scheduled_) queue_->Post([this] { FlushWaiting(); });
}

void SqliteLogFlusher::Run(std::vector<Call> calls) {
  const absl::Duration begin = parts_.scheduler.Now();
  absl::Status status = doubtful_ == nullptr ? absl::OkStatus() : Settle();
  Flush flush;
  if (status.ok()) {
    for (Call& call : calls) Judge(call, flush);
    if (!flush.changes.empty()) status = Store(flush);
  }
  const absl::Duration took = parts_.scheduler.Now() - begin;
  {
    absl::MutexLock lock(&mutex_);
    gather_ = std::min(kGatherMax, took / kGatherPartOfSync);
  }
  if (status.ok()) {
    std::vector<CommittedEntryPtr> durable = Publish(flush);
    if (!durable.empty()) parts_.mover.Add(std::move(durable), journal_.generation());
  } else if (!flush.changes.empty() && absl::IsUnavailable(status)) {
    doubtful_ = std::make_unique<Flush>(std::move(flush));
  }
  for (Call& call : calls) {
    if (!call.judged) call.verdict = status;
    call.Answer();
  }
  if (!status.ok() || flush.changes.empty()) return;
  std::vector<Partition> grown;
  for (const auto& [partition, change] : flush.changes) grown.push_back(partition);
  parts_.grew(grown);
  flush.stats.calls = calls.size();
  if (observer_) {
    flush.stats.took = took;
    observer_(flush.stats);
  }
}

// Runs the call through the fold on top of what the calls before it in this flush have changed.
void SqliteLogFlusher::Judge(Call& call, Flush& flush) {
  if (call.judged) return;
  const auto refuse = [&call](absl::Status status) {
    call.judged = true;
    call.verdict = std::move(status);
  };
  if (call.owner.size() > kOwnerBytesMax) {
    return refuse(absl::InvalidArgumentError("the owner's name is too long"));
  }
  const auto earlier = flush.changes.find(call.partition);
  FoldState state =
      earlier == flush.changes.end() ? states_[call.partition] : earlier->second.state;
  if (call.begun) {
    call.entries.push_back(
        EncodeEpochRecord(state, call.partition, call.owner, parts_.clock.Now(), parts_.random));
    call.bytes = call.entries.front().size();
  } else if (call.epoch != state.epoch) {
    return refuse(absl::AbortedError("another owner has begun an epoch"));
  }
  std::vector<CommittedEntryPtr> entries;
  for (std::string& bytes : call.entries) {
    if (bytes.size() > record_bytes_max_) {
      return refuse(absl::InvalidArgumentError("an entry is over the size limit of this log"));
    }
    absl::StatusOr<CommittedEntryPtr> entry = FoldEntry(state, call.partition, std::move(bytes));
    // The fold knows the bytes as an entry, of another partition: it does not follow this head.
    if (absl::IsInvalidArgument(entry.status())) {
      return refuse(absl::AbortedError(entry.status().message()));
    }
    if (!entry.ok()) return refuse(absl::InvalidArgumentError(entry.status().message()));
    if (*entry == nullptr) {
      return refuse(absl::AbortedError("does not follow the head of the partition"));
    }
    if (!call.begun && (*entry)->view.header.kind != EntryKind::kRecord) {
      return refuse(absl::InvalidArgumentError("only records are appended"));
    }
    entries.push_back(*std::move(entry));
  }
  flush.stats.entries += entries.size();
  flush.stats.bytes += call.bytes;
  if (call.begun) {
    ++flush.stats.epochs;
    call.begun_state = state;
  }
  if (entries.empty()) {
    // Asked by the owner; stands on nothing that is stored now, unless there is something.
    call.judged = earlier == flush.changes.end();
    return;
  }
  Flush::Change& change = flush.changes[call.partition];
  change.state = std::move(state);
  std::move(entries.begin(), entries.end(), std::back_inserter(change.entries));
}

// OK: durable. RESOURCE_EXHAUSTED: nothing was stored. UNAVAILABLE: unknown.
absl::Status SqliteLogFlusher::Store(Flush& flush) {
  std::vector<std::string_view> entries;
  entries.reserve(flush.stats.entries);
  for (const auto& [partition, change] : flush.changes) {
    for (const CommittedEntryPtr& entry : change.entries) entries.push_back(entry->bytes);
  }
  journal_.Release(parts_.mover.released_before());
  absl::Status appended = journal_.Append(entries);
  if (!absl::IsResourceExhausted(appended)) return appended;
  const absl::Status trouble = parts_.mover.trouble();
  if (trouble.ok()) return appended;
  return absl::ResourceExhaustedError(
      absl::StrCat(appended.message(), "; log.db: ", trouble.message()));
}

// Shows what became durable to readers, and gives it back for whoever takes it on.
std::vector<CommittedEntryPtr> SqliteLogFlusher::Publish(Flush& flush) {
  std::vector<CommittedEntryPtr> all;
  all.reserve(flush.stats.entries);
  for (auto& [partition, change] : flush.changes) {
    states_[partition] = change.state;
    all.insert(all.end(), change.entries.begin(), change.entries.end());
    parts_.tail.Publish(partition, std::move(change.entries), std::move(change.state));
  }
  return all;
}

// Makes a write of unknown outcome count: it goes into log.db, behind everything before it, and the
// journal begins anew, so that it no longer matters what the failed write left there.
absl::Status SqliteLogFlusher::Settle() {
  std::vector<CommittedEntryPtr> entries;
  for (const auto& [partition, change] : doubtful_->changes) {
    entries.insert(entries.end(), change.entries.begin(), change.entries.end());
  }
  if (absl::Status status = parts_.mover.MoveAll(entries); !status.ok()) {
    return absl::UnavailableError(absl::StrCat("the log cannot be written: ", status.message()));
  }
  journal_.Restart();
  const std::unique_ptr<Flush> settled = std::move(doubtful_);
  Publish(*settled);  // it is in log.db already
  std::vector<Partition> grown;
  for (const auto& [partition, change] : settled->changes) grown.push_back(partition);
  parts_.grew(grown);
  return absl::OkStatus();
}

}  // namespace buurtlog::eventlog
