#include "libs/eventlog/sqlite_log_flusher.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "buurtlog/log/v1/record.pb.h"
#include "google/protobuf/util/time_util.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"

namespace buurtlog::eventlog {
namespace {

using EntryPtr = std::shared_ptr<const CommittedEntry>;

// Folds `bytes` and keeps the canonical form when it counts; null when it does not.
absl::StatusOr<EntryPtr> FoldEntry(FoldState& state, Partition partition, std::string bytes) {
  auto entry = std::make_shared<CommittedEntry>();
  entry->bytes = std::move(bytes);
  absl::StatusOr<FoldResult> folded = Fold(state, partition, entry->bytes);
  ABSL_RETURN_IF_ERROR(folded.status());
  if (folded->verdict != Verdict::kCounts) return EntryPtr();
  entry->view = folded->entry;
  if (!folded->filled.empty()) {
    entry->bytes = std::move(folded->filled);
    ABSL_ASSIGN_OR_RETURN(entry->view, ParseEntry(entry->bytes));
    entry->view.hash = state.head_hash;
  }
  if (entry->view.header.kind == EntryKind::kEpoch) entry->owner = state.owner;
  return EntryPtr(std::move(entry));
}

}  // namespace

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

// What one transaction is about to change.
struct SqliteLogFlusher::Flush {
  struct Change {
    FoldState state;
    std::vector<EntryPtr> entries;
  };
  absl::flat_hash_map<Partition, Change> changes;
  FlushStats stats;
};

SqliteLogFlusher::SqliteLogFlusher(Parts parts, LogFileWriter writer, LogFileWriter checkpointer)
    : parts_(std::move(parts)),
      record_bytes_max_(parts_.reader.identity().record_bytes_max),
      writer_(std::move(writer)),
      states_(parts_.tail.Heads()),
      checkpointer_(std::move(checkpointer)),
      checkpoint_queue_(parts_.scheduler.NewQueue("log checkpoint", QueueKind::kBlocking)),
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
  checkpoint_queue_.reset();
  // A log that was closed well opens without going through its WAL.
  writer_.Checkpoint(CheckpointMode::kTruncate).status().IgnoreError();
}

void SqliteLogFlusher::OnFlush(absl::AnyInvocable<void(const FlushStats&)> observer) {
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

// One transaction a task, so that a simulation can stop the world between two.
void SqliteLogFlusher::FlushWaiting() {
  Run(TakeWaiting());
  absl::MutexLock lock(&mutex_);
  scheduled_ = !waiting_.empty() && !closing_;
  if (scheduled_) queue_->Post([this] { FlushWaiting(); });
}

void SqliteLogFlusher::Run(std::vector<Call> calls) {
  const absl::Duration begin = parts_.scheduler.Now();
  absl::Status status = doubtful_ ? ReadAgain() : absl::OkStatus();
  Flush flush;
  if (status.ok()) {
    for (Call& call : calls) Judge(call, flush);
    if (!flush.changes.empty()) status = Store(flush);
  }
  if (status.ok()) Publish(flush);
  for (Call& call : calls) {
    if (!call.judged) call.verdict = status;
    call.Answer();
  }
  if (!status.ok() || flush.changes.empty()) return;
  std::vector<Partition> grown;
  for (const auto& [partition, change] : flush.changes) grown.push_back(partition);
  parts_.grew(grown);
  flush.stats.batches = calls.size();
  if (observer_) {
    flush.stats.sync_time = parts_.scheduler.Now() - begin;
    observer_(flush.stats);
  }
  CheckpointIfLarge();
}

std::string SqliteLogFlusher::EpochEntry(const Call& call, const FoldState& state) {
  std::array<uint8_t, 16> nonce{};
  parts_.random.Fill(absl::MakeSpan(nonce));
  log::v1::EpochRecord record;
  record.set_nonce(std::string(nonce.begin(), nonce.end()));
  record.set_owner(call.owner);
  record.set_known_sequence(state.next - 1);
  record.set_known_hash(state.head_hash.ToBytes());
  *record.mutable_recorded_at() = google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(
      absl::ToUnixMicros(parts_.clock.Now()));
  EntryHeader header;
  header.kind = EntryKind::kEpoch;
  header.partition = call.partition;
  header.epoch = state.epoch + 1;
  return EncodeEntry(header, record.SerializeAsString());
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
    call.entries.push_back(EpochEntry(call, state));
    call.bytes = call.entries.front().size();
  } else if (call.epoch != state.epoch) {
    return refuse(absl::AbortedError("another owner has begun an epoch"));
  }
  std::vector<EntryPtr> entries;
  for (std::string& bytes : call.entries) {
    if (bytes.size() > record_bytes_max_) {
      return refuse(absl::InvalidArgumentError("an entry is over the size limit of this log"));
    }
    absl::StatusOr<EntryPtr> entry = FoldEntry(state, call.partition, std::move(bytes));
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
  if (call.begun) call.begun_state = state;
  if (entries.empty()) return;
  Flush::Change& change = flush.changes[call.partition];
  change.state = std::move(state);
  std::move(entries.begin(), entries.end(), std::back_inserter(change.entries));
}

// OK: durable. RESOURCE_EXHAUSTED: nothing was stored. UNAVAILABLE: unknown.
absl::Status SqliteLogFlusher::Store(Flush& flush) {
  // Before the commit nothing of it is on the disk, so an early failure is no doubt: only the code
  // differs.
  absl::StatusOr<sqlite::Transaction> transaction = writer_.Begin();
  absl::Status status = transaction.status();
  bool committing = false;
  if (status.ok()) {
    for (const auto& [partition, change] : flush.changes) {
      for (const EntryPtr& entry : change.entries) {
        if (status.ok()) {
          status = writer_.Insert(partition, entry->view.header.sequence, entry->bytes);
        }
      }
    }
    committing = status.ok();
    if (committing) status = transaction->Commit();
  }
  if (status.ok()) return status;
  if (writer_.NoRoom()) return absl::ResourceExhaustedError("the disk of the log is full");
  doubtful_ = true;
  return absl::UnavailableError(
      absl::StrCat(committing ? "unknown whether it was stored: " : "the log cannot be written: ",
                   status.message()));
}

void SqliteLogFlusher::Publish(Flush& flush) {
  for (auto& [partition, change] : flush.changes) {
    states_[partition] = change.state;
    parts_.tail.Publish(partition, std::move(change.entries), std::move(change.state));
  }
}

// After a commit of unknown outcome the file says what counts. What it has more than we knew is
// made durable before anybody may see it: a failed sync may have left it in the memory of the
// machine alone.
absl::Status SqliteLogFlusher::ReadAgain() {
  std::vector<Partition> grown;
  Flush found;
  for (Partition partition = 0; partition < states_.size(); ++partition) {
    FoldState state = states_[partition];
    std::vector<EntryPtr> entries;
    absl::StatusOr<Sequence> last = parts_.reader.LastSequence(partition);
    if (!last.ok()) return absl::UnavailableError(last.status().message());
    while (state.next <= *last) {
      FoldState target = state;
      const absl::Status read =
          parts_.reader.Read(partition, target, *last + 1, {}, [&](const EntryView& entry) {
            ABSL_ASSIGN_OR_RETURN(EntryPtr kept,
                                  FoldEntry(state, partition, std::string(entry.bytes)));
            entries.push_back(std::move(kept));
            return absl::OkStatus();
          });
      if (!read.ok()) return absl::UnavailableError(read.message());
    }
    if (*last + 1 < state.next) {
      return absl::UnavailableError(absl::StrCat("partition ", partition, ", sequence ", *last + 1,
                                                 ": what was durable is missing"));
    }
    if (entries.empty()) continue;
    grown.push_back(partition);
    found.changes[partition] = {std::move(state), std::move(entries)};
  }
  if (!grown.empty()) {
    const absl::StatusOr<bool> complete = writer_.Checkpoint(CheckpointMode::kRestart);
    if (!complete.ok()) return absl::UnavailableError(complete.status().message());
    if (!*complete) return absl::UnavailableError("a reader holds up the end of the log");
  }
  doubtful_ = false;
  Publish(found);
  parts_.grew(grown);
  return absl::OkStatus();
}

// The bulk of the WAL is moved beside the commits by another connection; what came in meanwhile is
// little, and moved here between two commits, so that the next one begins the WAL anew. While
// readers hold that up, the WAL grows and it is tried again later; when it has grown fourfold we
// wait for them a moment.
void SqliteLogFlusher::CheckpointIfLarge() {
  const int pages = writer_.wal_pages();
  if (checkpointed_.exchange(false)) {
    // Failure means that the WAL goes on growing; whether there is room is for the next commit to
    // say.
    writer_
        .Checkpoint(pages > 4 * kWalPagesMax ? CheckpointMode::kRestart : CheckpointMode::kPassive)
        .status()
        .IgnoreError();
    checkpoint_at_pages_ = pages + kWalPagesMax / 4;
    return;
  }
  if (pages < kWalPagesMax) {
    checkpoint_at_pages_ = kWalPagesMax;
    return;
  }
  if (pages < checkpoint_at_pages_) return;
  checkpoint_at_pages_ = pages + kWalPagesMax / 4;
  checkpoint_queue_->Post([this] {
    checkpointer_.Checkpoint(CheckpointMode::kPassive).status().IgnoreError();
    checkpointed_ = true;
  });
}

}  // namespace buurtlog::eventlog
