#include "libs/eventlog/log_mover.h"

#include <algorithm>
#include <utility>

#include "libs/base/status_macros.h"

namespace buurtlog::eventlog {

LogMover::LogMover(LogFileWriter writer, LogTail& tail, Scheduler& scheduler)
    : tail_(tail),
      writer_(std::move(writer)),
      queue_(scheduler.NewQueue("log mover", QueueKind::kBlocking)),
      tasks_(*queue_) {}

void LogMover::Add(std::vector<CommittedEntryPtr> entries, uint64_t generation) {
  absl::MutexLock lock(&mutex_);
  newest_generation_ = generation;
  for (CommittedEntryPtr& entry : entries) {
    waiting_bytes_ += entry->bytes.size();
    waiting_.push_back({std::move(entry), generation});
  }
  PostMove(waiting_bytes_ >= kMoveAtOnceBytes ? absl::ZeroDuration() : kMoveDelay);
}

void LogMover::PostMove(absl::Duration delay) {
  bool& posted = delay == absl::ZeroDuration() ? at_once_ : soon_;
  if (at_once_ || posted) return;
  posted = true;
  tasks_.PostAfter(delay, [this, &posted] {
    {
      absl::MutexLock mover_lock(&mutex_);
      posted = false;
    }
    MoveTask();
  });
}

// One transaction a task, so that a simulation can stop the world between two.
void LogMover::MoveTask() {
  absl::StatusOr<bool> moved = false;
  {
    absl::MutexLock lock(&write_mutex_);
    moved = MoveSome();
    if (moved.ok()) CheckpointIfLarge();
  }
  absl::MutexLock lock(&mutex_);
  trouble_ = moved.status();
  if (waiting_.empty() && moved.ok()) return;
  const bool much = waiting_bytes_ >= kMoveAtOnceBytes;
  PostMove(!moved.ok() ? kMoveRetryDelay : much ? absl::ZeroDuration() : kMoveDelay);
}

absl::StatusOr<bool> LogMover::MoveSome() {
  std::vector<CommittedEntryPtr> entries;
  {
    absl::MutexLock lock(&mutex_);
    size_t bytes = 0;
    for (const Waiting& waiting : waiting_) {
      if (bytes >= kMoveBytesMax) break;
      bytes += waiting.entry->bytes.size();
      entries.push_back(waiting.entry);
    }
  }
  if (entries.empty()) {
    ABSL_RETURN_IF_ERROR(Release());  // which may have failed before
    return false;
  }
  const size_t count = entries.size();
  ABSL_RETURN_IF_ERROR(Insert(std::move(entries), /*synced=*/false));
  {
    absl::MutexLock lock(&mutex_);
    for (size_t i = 0; i < count; ++i) {
      waiting_bytes_ -= waiting_.front().entry->bytes.size();
      waiting_.pop_front();
    }
  }
  ABSL_RETURN_IF_ERROR(Release());
  return true;
}

absl::Status LogMover::Insert(std::vector<CommittedEntryPtr> entries, bool synced) {
  // Those of a partition stay in their order.
  std::stable_sort(entries.begin(), entries.end(),
                   [](const CommittedEntryPtr& a, const CommittedEntryPtr& b) {
                     return a->view.header.partition < b->view.header.partition;
                   });
  const auto is_last = [&entries](size_t i) {
    return i + 1 == entries.size() ||
           entries[i + 1]->view.header.partition != entries[i]->view.header.partition;
  };
  {
    ABSL_ASSIGN_OR_RETURN(sqlite::Transaction transaction, writer_.Begin(synced));
    std::string owner;
    for (size_t i = 0; i < entries.size(); ++i) {
      YieldProcessor();
      const CommittedEntry& entry = *entries[i];
      const EntryHeader& header = entry.view.header;
      ABSL_RETURN_IF_ERROR(writer_.Insert(header.partition, header.sequence, entry.bytes));
      if (!entry.owner.empty()) owner = entry.owner;
      if (!is_last(i)) continue;
      if (entry.offset >= 0) {
        ABSL_RETURN_IF_ERROR(
            writer_.KeepMessagePlace(header.partition, {header.sequence, entry.offset, owner}));
      }
      owner.clear();
    }
    ABSL_RETURN_IF_ERROR(writer_.Commit(transaction));
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    const EntryHeader& header = entries[i]->view.header;
    if (is_last(i)) tail_.Moved(header.partition, header.sequence);
  }
  return absl::OkStatus();
}

// Once for each file of the journal that was filled.
absl::Status LogMover::Release() {
  uint64_t first_needed = 0;
  {
    absl::MutexLock lock(&mutex_);
    first_needed = waiting_.empty() ? newest_generation_ : waiting_.front().generation;
  }
  if (first_needed <= released_before()) return absl::OkStatus();
  ABSL_RETURN_IF_ERROR(writer_.SyncWal());
  released_before_.store(first_needed, std::memory_order_release);
  return absl::OkStatus();
}

absl::Status LogMover::MoveAll(const std::vector<CommittedEntryPtr>& more) {
  absl::MutexLock lock(&write_mutex_);
  absl::StatusOr<bool> moved = true;
  while (moved.ok() && *moved) moved = MoveSome();
  ABSL_RETURN_IF_ERROR(moved.status());
  // First what `more` stands behind, which may be in doubt.
  ABSL_RETURN_IF_ERROR(writer_.SyncWal());
  return more.empty() ? absl::OkStatus() : Insert(more, /*synced=*/true);
}

size_t LogMover::waiting_bytes() {
  absl::MutexLock lock(&mutex_);
  return waiting_bytes_;
}

absl::Status LogMover::trouble() {
  absl::MutexLock lock(&mutex_);
  return trouble_;
}

absl::Status LogMover::MoveAllAndTidy() {
  ABSL_RETURN_IF_ERROR(MoveAll({}));
  absl::MutexLock lock(&write_mutex_);
  return writer_.Checkpoint(CheckpointMode::kTruncate).status();
}

// While readers hold it up, the WAL grows and it is tried again later; when it has grown fourfold
// we wait for them a moment.
void LogMover::CheckpointIfLarge() {
  const int pages = writer_.wal_pages();
  if (pages < sqlite::kWalPagesMax) checkpoint_at_pages_ = sqlite::kWalPagesMax;
  if (pages < checkpoint_at_pages_) return;
  // Failure means that the WAL goes on growing; whether there is room is for the next commit to
  // say.
  writer_
      .Checkpoint(pages > 4 * sqlite::kWalPagesMax ? CheckpointMode::kRestart
                                                   : CheckpointMode::kPassive)
      .status()
      .IgnoreError();
  checkpoint_at_pages_ = pages + sqlite::kWalPagesMax / 4;
}

}  // namespace buurtlog::eventlog
