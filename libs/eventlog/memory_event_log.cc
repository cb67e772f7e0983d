#include "libs/eventlog/memory_event_log.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "buurtlog/log/v1/record.pb.h"
#include "libs/base/absl_view.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/watchers.h"

namespace buurtlog::eventlog {
namespace {

using EntryPtr = std::shared_ptr<const std::string>;

constexpr std::string_view kForeignOwner = "another owner";

absl::Status DamageAt(Partition partition, Sequence sequence, std::string_view what) {
  return absl::DataLossError(
      absl::StrCat("partition ", partition, ", sequence ", sequence, ": ", AbslView(what)));
}

absl::Status Unknown() { return absl::UnavailableError("unknown whether the append landed"); }

// Folds an entry that was stored as counting.
absl::Status FoldStored(FoldState& at, Partition partition, std::string_view bytes,
                        EntryView& entry) {
  absl::StatusOr<FoldResult> folded = Fold(at, partition, bytes);
  if (absl::IsUnimplemented(folded.status())) return folded.status();
  if (!folded.ok()) return DamageAt(partition, at.next, StdView(folded.status().message()));
  if (folded->verdict != Verdict::kCounts) {
    return DamageAt(partition, at.next, "the entry does not follow the chain of the reader");
  }
  // Stored entries are canonical, so the view is of `bytes`.
  entry = folded->entry;
  return absl::OkStatus();
}

}  // namespace

class MemoryEventLog::Impl {
 public:
  Impl(LogIdentity identity, Scheduler& scheduler)
      : identity_(std::move(identity)), scheduler_(scheduler) {
    CHECK(identity_.partitions >= 1 && identity_.partitions <= kPartitionsMax);
    for (Partition partition = 0; partition < identity_.partitions; ++partition) {
      partitions_.push_back({InitialFoldState(identity_, partition), {}, 0});
    }
    queue_ = scheduler.NewQueue("memory log", QueueKind::kCompute);
  }

  const LogIdentity& identity() const { return identity_; }

  absl::Status Read(Partition partition, FoldState& at, const ReadLimits& limits,
                    absl::FunctionRef<absl::Status(const EntryView&)> visit) {
    ABSL_ASSIGN_OR_RETURN(const std::vector<EntryPtr> entries, Stored(partition, at, limits));
    for (const EntryPtr& bytes : entries) {
      FoldState next = at;
      EntryView entry;
      ABSL_RETURN_IF_ERROR(FoldStored(next, partition, *bytes, entry));
      ABSL_RETURN_IF_ERROR(visit(entry));
      at = std::move(next);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<FoldState> Seek(Partition partition, Sequence from) {
    ABSL_RETURN_IF_ERROR(CheckPlace(partition, from));
    EntryPtr bytes;
    {
      absl::MutexLock lock(&mutex_);
      const std::deque<EntryPtr>& entries = partitions_[partition].entries;
      if (from > entries.size()) {
        return absl::OutOfRangeError(
            absl::StrCat("partition ", partition, " ends before sequence ", from));
      }
      bytes = entries[from - 1];
    }
    const absl::StatusOr<EntryView> entry = ParseEntry(*bytes);
    if (!entry.ok()) return DamageAt(partition, from, StdView(entry.status().message()));
    FoldState state;
    state.next = from;
    state.head_hash = entry->header.previous_hash;
    state.epoch = entry->header.epoch - (entry->header.kind == EntryKind::kEpoch ? 1 : 0);
    return state;
  }

  absl::Status ReadEntries(Partition partition, absl::Span<const Sequence> sequences,
                           const ReadLimits& limits,
                           absl::FunctionRef<absl::Status(const EntryView&)> visit) {
    ReadRoom room(limits);
    for (const Sequence sequence : sequences) {
      ABSL_RETURN_IF_ERROR(CheckPlace(partition, sequence));
      EntryPtr bytes;
      {
        absl::MutexLock lock(&mutex_);
        const std::deque<EntryPtr>& entries = partitions_[partition].entries;
        if (sequence > entries.size()) {
          return DamageAt(partition, sequence, "missing; the log ends before it");
        }
        bytes = entries[sequence - 1];
      }
      if (!room.Take(bytes->size())) break;
      const absl::StatusOr<EntryView> entry = ParseEntry(*bytes);
      if (!entry.ok()) return DamageAt(partition, sequence, StdView(entry.status().message()));
      if (entry->header.partition != partition || entry->header.sequence != sequence) {
        return DamageAt(partition, sequence, "another entry stands in its place");
      }
      ABSL_RETURN_IF_ERROR(visit(*entry));
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Subscription> Watch(absl::AnyInvocable<void(Partition)> grew) {
    return watchers_.Add(std::move(grew));
  }

  absl::StatusOr<FoldState> Head(Partition partition) {
    ABSL_RETURN_IF_ERROR(CheckPlace(partition, 1));
    absl::MutexLock lock(&mutex_);
    return partitions_[partition].head;
  }

  void BeginEpoch(Partition partition, std::string owner,
                  absl::AnyInvocable<void(absl::StatusOr<FoldState>)> done) {
    Enqueue([this, partition, owner = std::move(owner), done = std::move(done)]() mutable {
      absl::StatusOr<FoldState> state = absl::UnavailableError("the log is out of reach");
      if (!out_of_reach()) state = LandEpoch(partition, owner);
      const bool grew = state.ok();
      done(std::move(state));
      if (grew) watchers_.Notify({partition});
    });
  }

  void Append(Partition partition, Epoch epoch, std::vector<std::string> entries,
              absl::AnyInvocable<void(absl::Status)> done) {
    Enqueue([this, partition, epoch, fault = NextFault(), entries = std::move(entries),
             done = std::move(done)]() mutable {
      bool grew = false;
      if (out_of_reach()) return done(absl::UnavailableError("the log is out of reach"));
      done(LandAppend(partition, epoch, std::move(entries), fault, grew));
      if (grew) watchers_.Notify({partition});
    });
  }

  void SetOutOfReach(bool out_of_reach) {
    absl::MutexLock lock(&mutex_);
    out_of_reach_ = out_of_reach;
  }

  void InjectFault(MemoryFault fault) {
    absl::MutexLock lock(&mutex_);
    faults_.push_back(fault);
  }

  void ReleaseLate() {
    std::vector<Partition> grown;
    {
      absl::MutexLock lock(&mutex_);
      for (auto& [partition, entries] : std::exchange(late_, {})) {
        const Sequence before = partitions_[partition].head.next;
        for (std::string& entry : entries) Land(partition, std::move(entry));
        if (partitions_[partition].head.next > before) grown.push_back(partition);
      }
    }
    if (!grown.empty()) queue_->Post([this, grown] { watchers_.Notify(grown); });
  }

  void SetDiskDelay(absl::Duration delay) {
    absl::MutexLock lock(&mutex_);
    delay_ = delay;
  }

  void FlipByte(Partition partition, Sequence sequence, size_t offset) {
    absl::MutexLock lock(&mutex_);
    EntryPtr& entry = partitions_.at(partition).entries.at(sequence - 1);
    std::string bytes = *entry;
    bytes.at(offset) = static_cast<char>(~bytes.at(offset));
    // Readers that hold the old bytes keep them.
    entry = std::make_shared<const std::string>(std::move(bytes));
  }

  size_t void_entries(Partition partition) {
    absl::MutexLock lock(&mutex_);
    return partitions_.at(partition).void_entries;
  }

 private:
  bool out_of_reach() {
    absl::MutexLock lock(&mutex_);
    return out_of_reach_;
  }
  struct PartitionLog {
    FoldState head;
    std::deque<EntryPtr> entries;  // canonical; sequence 1 first
    size_t void_entries = 0;
    Epoch epoch_in_doubt = 0;  // an append was answered UNAVAILABLE in it, so none is taken
  };

  absl::Status CheckPlace(Partition partition, Sequence next) const {
    if (partition >= identity_.partitions) {
      return absl::InvalidArgumentError(absl::StrCat("no partition ", partition));
    }
    if (next == 0) return absl::InvalidArgumentError("sequences begin at 1");
    return absl::OkStatus();
  }

  // The entries behind `at`, up to the limits.
  absl::StatusOr<std::vector<EntryPtr>> Stored(Partition partition, const FoldState& at,
                                               const ReadLimits& limits) {
    ABSL_RETURN_IF_ERROR(CheckPlace(partition, at.next));
    absl::MutexLock lock(&mutex_);
    const PartitionLog& log = partitions_[partition];
    if (at.next > log.head.next) {
      return DamageAt(partition, log.head.next,
                      absl::StrCat("the log ends here, the reader has come to ", at.next - 1));
    }
    if (at.next == log.head.next && at.head_hash != log.head.head_hash) {
      return DamageAt(partition, at.next - 1, "the reader is not on the chain of this log");
    }
    std::vector<EntryPtr> entries;
    size_t bytes = 0;
    for (size_t i = at.next - 1; i < log.entries.size(); ++i) {
      bytes += log.entries[i]->size();
      const bool full = entries.size() >= limits.entries_max || bytes > limits.bytes_max;
      if (full && !entries.empty()) break;
      entries.push_back(log.entries[i]);
    }
    return entries;
  }

  // Calls run in the order they were made, and none before its delay is over.
  void Enqueue(Task call) {
    absl::MutexLock lock(&mutex_);
    waiting_.push_back(std::move(call));
    const absl::Duration now = scheduler_.Now();
    last_due_ = std::max(last_due_, now + delay_);
    // Each of these tasks runs the call that waits longest, which is due if this one is.
    queue_->PostAfter(last_due_ - now, [this] {
      Task next;
      {
        absl::MutexLock relock(&mutex_);
        next = std::move(waiting_.front());
        waiting_.pop_front();
      }
      next();
    });
  }

  std::optional<MemoryFault> NextFault() {
    absl::MutexLock lock(&mutex_);
    if (faults_.empty()) return std::nullopt;
    const MemoryFault fault = faults_.front();
    faults_.pop_front();
    return fault;
  }

  // What the partition says from now on includes `bytes`; the fold decides.
  void Land(Partition partition, std::string bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    PartitionLog& log = partitions_[partition];
    absl::StatusOr<FoldResult> folded = Fold(log.head, partition, bytes);
    CHECK(folded.ok());
    if (folded->verdict == Verdict::kCounts) {
      log.entries.push_back(std::make_shared<const std::string>(
          folded->filled.empty() ? std::move(bytes) : std::move(folded->filled)));
    } else {
      ++log.void_entries;
    }
  }

  absl::StatusOr<FoldState> LandEpoch(Partition partition, std::string_view owner) {
    ABSL_RETURN_IF_ERROR(CheckPlace(partition, 1));
    absl::MutexLock lock(&mutex_);
    return LandEpochLocked(partition, owner);
  }

  absl::StatusOr<FoldState> LandEpochLocked(Partition partition, std::string_view owner)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const FoldState& head = partitions_[partition].head;
    log::v1::EpochRecord record;
    record.set_owner(std::string(owner));
    record.set_known_sequence(head.next - 1);
    record.set_known_hash(head.head_hash.ToBytes());
    const std::string body = record.SerializeAsString();
    if (owner.size() > kOwnerBytesMax || body.size() + kHeaderBytes > identity_.record_bytes_max) {
      return absl::InvalidArgumentError("the owner's name is too long");
    }
    EntryHeader header;
    header.kind = EntryKind::kEpoch;
    header.partition = partition;
    header.epoch = head.epoch + 1;
    Land(partition, EncodeEntry(header, body));
    return head;
  }

  // Whether all of a call would count.
  absl::Status Judge(Partition partition, Epoch epoch, const std::vector<std::string>& entries)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    FoldState state = partitions_[partition].head;
    if (epoch != state.epoch) return absl::AbortedError("another owner has begun an epoch");
    for (const std::string& bytes : entries) {
      ABSL_RETURN_IF_ERROR(FoldAppended(state, partition, bytes, identity_.record_bytes_max));
    }
    return absl::OkStatus();
  }

  absl::Status LandAppend(Partition partition, Epoch epoch, std::vector<std::string> entries,
                          std::optional<MemoryFault> fault, bool& grew) {
    ABSL_RETURN_IF_ERROR(CheckPlace(partition, 1));
    absl::MutexLock lock(&mutex_);
    const Sequence before = partitions_[partition].head.next;
    absl::Status status = Judge(partition, epoch, entries);
    PartitionLog& log = partitions_[partition];
    if (status.ok() && log.epoch_in_doubt == epoch) return Unknown();
    if (status.ok()) status = LandWithFault(partition, std::move(entries), fault);
    if (absl::IsUnavailable(status)) log.epoch_in_doubt = epoch;
    grew = log.head.next > before;
    return status;
  }

  void LandAll(Partition partition, const std::vector<std::string>& entries)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const std::string& entry : entries) Land(partition, entry);
  }

  // Lands a call that would count, as the fault has it, and gives what the caller hears.
  absl::Status LandWithFault(Partition partition, std::vector<std::string> entries,
                             std::optional<MemoryFault> fault)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!fault.has_value()) {
      for (std::string& entry : entries) Land(partition, std::move(entry));
      return absl::OkStatus();
    }
    switch (*fault) {
      case MemoryFault::kLostAnswer: LandAll(partition, entries); return Unknown();
      case MemoryFault::kLostEntry: return Unknown();
      case MemoryFault::kLateEntry:
        late_.emplace_back(partition, std::move(entries));
        return Unknown();
      case MemoryFault::kDoubledEntry:
        LandAll(partition, entries);
        LandAll(partition, entries);
        return absl::OkStatus();
      case MemoryFault::kFencedWriter:
        CHECK(LandEpochLocked(partition, kForeignOwner).ok());
        LandAll(partition, entries);
        return absl::AbortedError("another owner has begun an epoch");
      case MemoryFault::kTornBatch:
        if (!entries.empty()) Land(partition, std::move(entries.front()));
        return Unknown();
      case MemoryFault::kDiskFull: return absl::ResourceExhaustedError("the disk is full");
    }
    return absl::InternalError("a fault that was injected is not known");
  }

  const LogIdentity identity_;
  Scheduler& scheduler_;
  absl::Mutex mutex_;
  std::vector<PartitionLog> partitions_ ABSL_GUARDED_BY(mutex_);
  std::deque<Task> waiting_ ABSL_GUARDED_BY(mutex_);
  std::deque<MemoryFault> faults_ ABSL_GUARDED_BY(mutex_);
  bool out_of_reach_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::pair<Partition, std::vector<std::string>>> late_ ABSL_GUARDED_BY(mutex_);
  absl::Duration delay_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();
  absl::Duration last_due_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();
  Watchers watchers_;
  std::unique_ptr<TaskQueue> queue_;  // last: its tasks use the rest
};

MemoryEventLog::MemoryEventLog(LogIdentity identity, Scheduler& scheduler)
    : impl_(std::make_unique<Impl>(std::move(identity), scheduler)) {}
MemoryEventLog::~MemoryEventLog() = default;

const LogIdentity& MemoryEventLog::identity() const { return impl_->identity(); }

absl::Status MemoryEventLog::Read(Partition partition, FoldState& at, const ReadLimits& limits,
                                  absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  return impl_->Read(partition, at, limits, visit);
}

absl::StatusOr<FoldState> MemoryEventLog::Seek(Partition partition, Sequence from) {
  return impl_->Seek(partition, from);
}

absl::Status MemoryEventLog::ReadEntries(Partition partition, absl::Span<const Sequence> sequences,
                                         const ReadLimits& limits,
                                         absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  return impl_->ReadEntries(partition, sequences, limits, visit);
}

std::unique_ptr<Subscription> MemoryEventLog::Watch(absl::AnyInvocable<void(Partition)> grew) {
  return impl_->Watch(std::move(grew));
}

absl::StatusOr<FoldState> MemoryEventLog::Head(Partition partition) {
  return impl_->Head(partition);
}

void MemoryEventLog::BeginEpoch(Partition partition, std::string owner,
                                absl::AnyInvocable<void(absl::StatusOr<FoldState>)> done) {
  impl_->BeginEpoch(partition, std::move(owner), std::move(done));
}

void MemoryEventLog::Append(Partition partition, Epoch epoch, std::vector<std::string> entries,
                            absl::AnyInvocable<void(absl::Status)> done) {
  impl_->Append(partition, epoch, std::move(entries), std::move(done));
}

void MemoryEventLog::SetOutOfReach(bool out_of_reach) { impl_->SetOutOfReach(out_of_reach); }

void MemoryEventLog::InjectFault(MemoryFault fault) { impl_->InjectFault(fault); }
void MemoryEventLog::ReleaseLate() { impl_->ReleaseLate(); }
void MemoryEventLog::SetDiskDelay(absl::Duration delay) { impl_->SetDiskDelay(delay); }
void MemoryEventLog::FlipByte(Partition partition, Sequence sequence, size_t offset) {
  impl_->FlipByte(partition, sequence, offset);
}
size_t MemoryEventLog::void_entries(Partition partition) { return impl_->void_entries(partition); }

}  // namespace buurtlog::eventlog
