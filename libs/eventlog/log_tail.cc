#include "libs/eventlog/log_tail.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/sqlite_log_file.h"

namespace buurtlog::eventlog {
namespace {

// What an entry costs beside its bytes.
constexpr size_t kEntryOverheadBytes = 256;

size_t Cost(const CommittedEntry& entry) { return entry.bytes.size() + kEntryOverheadBytes; }

}  // namespace

LogTail::LogTail(std::vector<FoldState> heads) {
  partitions_.reserve(heads.size());
  for (FoldState& head : heads) {
    const Sequence end = head.next;
    partitions_.push_back({std::move(head), end, {}});
  }
}

void LogTail::Publish(Partition partition, std::vector<CommittedEntryPtr> entries, FoldState head) {
  absl::MutexLock lock(&mutex_);
  PartitionTail& tail = partitions_[partition];
  CHECK(tail.head.next + entries.size() == head.next);
  for (CommittedEntryPtr& entry : entries) {
    bytes_ += Cost(*entry);
    ages_.push_back(partition);
    tail.entries.push_back(std::move(entry));
  }
  tail.head = std::move(head);
  ForgetOld();
}

void LogTail::Moved(Partition partition, Sequence last) {
  absl::MutexLock lock(&mutex_);
  PartitionTail& tail = partitions_[partition];
  tail.moved_end = std::max(tail.moved_end, last + 1);
  ForgetOld();
}

void LogTail::ForgetOld() {
  while (bytes_ > kTailBytesMax) {
    PartitionTail& oldest = partitions_[ages_.front()];
    // They are moved in the order in which they came, so those behind it are not moved either.
    if (oldest.first() >= oldest.moved_end) return;
    bytes_ -= Cost(*oldest.entries.front());
    oldest.entries.pop_front();
    ages_.pop_front();
  }
}

CommittedEntryPtr LogTail::Find(Partition partition, Sequence sequence) {
  absl::MutexLock lock(&mutex_);
  const PartitionTail& tail = partitions_[partition];
  if (sequence < tail.first() || sequence >= tail.head.next) return nullptr;
  return tail.entries[sequence - tail.first()];
}

absl::StatusOr<std::vector<CommittedEntryPtr>> LogTail::FindLast(
    Partition partition, absl::Span<const Sequence> sequences) {
  std::vector<CommittedEntryPtr> found;
  if (sequences.empty()) return found;
  absl::MutexLock lock(&mutex_);
  const PartitionTail& tail = partitions_[partition];
  if (sequences.back() >= tail.head.next) {
    return DataLossAt(partition, sequences.back(), "missing; the log ends before it");
  }
  const Sequence first = tail.first();
  const auto in_memory = std::lower_bound(sequences.begin(), sequences.end(), first);
  found.reserve(static_cast<size_t>(sequences.end() - in_memory));
  for (auto sequence = in_memory; sequence != sequences.end(); ++sequence) {
    found.push_back(tail.entries[*sequence - first]);
  }
  return found;
}

Sequence LogTail::MovedEnd(Partition partition) {
  absl::MutexLock lock(&mutex_);
  const PartitionTail& tail = partitions_[partition];
  return std::min(tail.moved_end, tail.head.next);
}

FoldState LogTail::Head(Partition partition) {
  absl::MutexLock lock(&mutex_);
  return partitions_[partition].head;
}

std::vector<FoldState> LogTail::Heads() {
  std::vector<FoldState> heads;
  absl::MutexLock lock(&mutex_);
  heads.reserve(partitions_.size());
  for (const PartitionTail& tail : partitions_) heads.push_back(tail.head);
  return heads;
}

absl::StatusOr<std::optional<std::vector<CommittedEntryPtr>>> LogTail::Read(
    Partition partition, const FoldState& at, const ReadLimits& limits) {
  std::vector<CommittedEntryPtr> found;
  absl::MutexLock lock(&mutex_);
  const PartitionTail& tail = partitions_[partition];
  if (at.next > tail.head.next) {
    return DataLossAt(partition, tail.head.next,
                      absl::StrCat("the log ends here, the reader has come to ", at.next - 1));
  }
  if (at.next == tail.head.next) {
    if (at.head_hash != tail.head.head_hash) {
      return DataLossAt(partition, at.next - 1, "the reader is not on the chain of this log");
    }
    return found;
  }
  const Sequence first = tail.first();
  if (at.next < first) return std::nullopt;
  size_t bytes = 0;
  for (size_t i = at.next - first; i < tail.entries.size(); ++i) {
    const CommittedEntryPtr& entry = tail.entries[i];
    if (found.size() >= limits.entries_max) break;
    if (!found.empty() && bytes + entry->bytes.size() > limits.bytes_max) break;
    bytes += entry->bytes.size();
    found.push_back(entry);
    if (bytes >= limits.bytes_max) break;
  }
  if (!found.empty() && found.front()->view.header.previous_hash != at.head_hash) {
    return DataLossAt(partition, at.next - 1, "the reader is not on the chain of this log");
  }
  return found;
}

}  // namespace buurtlog::eventlog
