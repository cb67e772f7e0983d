#include "libs/eventlog/kafka_event_log.h"

#include <algorithm>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/about.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/log_mover.h"
#include "libs/eventlog/sqlite_log_reader.h"
#include "libs/eventlog/stored_log.h"
#include "libs/eventlog/topic_copy.h"
#include "libs/eventlog/watchers.h"

namespace buurtlog::eventlog {
namespace {

// What is read more than this ahead of the copy waits in the broker. More than writers may be
// ahead, so that they read back what they have sent.
constexpr size_t kAheadOfCopyBytesMax = kCopyWaitingBytesMax + kUnansweredBytesMax;
constexpr absl::Duration kCopyPause = absl::Milliseconds(2);
// How long a topic may seem to end before the copy: as long as an election takes.
constexpr int kEndLooksMax = 50;
constexpr absl::Duration kEndLookPause = absl::Milliseconds(100);

// The producer that partitions send with. One that has met an error is replaced, and goes when the
// last partition has let it go: on a thread of its own, since that waits for its messages.
class Producers {
 public:
  Producers(Topic& topic, Scheduler& scheduler)
      : topic_(topic),
        queue_(scheduler.NewQueue("old producers", QueueKind::kBlocking)),
        mailbox_(queue_->mailbox()) {}

  std::shared_ptr<TopicProducer> Current() {
    absl::MutexLock lock(&mutex_);
    if (current_ == nullptr) {
      current_ = std::shared_ptr<TopicProducer>(
          topic_.NewProducer().release(), [mailbox = mailbox_](TopicProducer* producer) {
            mailbox->Post([old = std::unique_ptr<TopicProducer>(producer)] {});
          });
    }
    return current_;
  }

  // Ends the one in use and those that were given back; all partitions have let go.
  void Close() {
    {
      absl::MutexLock lock(&mutex_);
      current_ = nullptr;
    }
    queue_ = nullptr;
  }

  void Spoil(const std::shared_ptr<TopicProducer>& producer) {
    std::shared_ptr<TopicProducer> old;
    absl::MutexLock lock(&mutex_);
    if (current_ == producer) old = std::exchange(current_, nullptr);
  }

 private:
  Topic& topic_;
  std::unique_ptr<TaskQueue> queue_;
  const std::shared_ptr<Mailbox> mailbox_;
  absl::Mutex mutex_;
  std::shared_ptr<TopicProducer> current_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

class KafkaEventLog::Impl {
 public:
  Impl(std::unique_ptr<Topic> topic, TopicCopy copy, const KafkaLogOptions& options,
       Scheduler& scheduler)
      : sleep_(options.sleep),
        topic_(std::move(topic)),
        lock_(std::move(copy.lock)),
        discarded_(std::move(copy.discarded)),
        offsets_(std::move(copy.offsets)),
        stored_(std::move(copy.file), copy.heads),
        mover_(std::move(copy.writer), stored_.tail(), scheduler),
        producers_(*topic_, scheduler),
        answers_(scheduler.NewQueue("log answers", QueueKind::kCompute)) {
    for (Partition partition = 0; partition < identity().partitions; ++partition) {
      partitions_.push_back(std::make_unique<TopicPartition>(
          TopicPartition::Parts{partition, stored_, mover_, scheduler, *options.clock,
                                *options.random, [this] { return producers_.Current(); },
                                [this](const std::shared_ptr<TopicProducer>& producer) {
                                  producers_.Spoil(producer);
                                },
                                [this](Task answer) { answers_->Post(std::move(answer)); }},
          std::move(copy.heads[partition]), std::move(copy.before_heads[partition])));
    }
  }

  ~Impl() {
    {
      absl::MutexLock lock(&mutex_);
      closing_ = true;
    }
    following_.reset();
    TopicPartition::Tasks answers;
    LogProgress untold;
    for (const auto& partition : partitions_) {
      partition->Fail(absl::UnavailableError("the log is closed"));
      partition->Publish(answers, untold);
    }
    producers_.Close();
    for (Task& answer : answers) answer();
    mover_.MoveAllAndTidy().IgnoreError();  // what is missing is read again
  }

  // Blocks until what is in the topic now has been read.
  absl::Status Follow() {
    ABSL_ASSIGN_OR_RETURN(const std::vector<Offset> ends, EndsBehindTheCopy());
    following_ = topic_->Follow(
        offsets_, {[this](absl::Span<const TopicMessage> messages) { Take(messages); },
                   [this](Partition partition, absl::Status why) {
                     partitions_[partition]->Fail(std::move(why));
                     Publish({partition});
                   }});
    const auto caught_up = [this, &ends]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      if (waits_for_copy_ && !mover_.trouble().ok()) return true;
      for (Partition partition = 0; partition < ends.size(); ++partition) {
        const bool behind =
            ends[partition] > std::max(offsets_[partition], partitions_[partition]->next_offset());
        if (behind && partitions_[partition]->failure().ok()) return false;
      }
      return true;
    };
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&caught_up));
    return waits_for_copy_ ? mover_.trouble() : absl::OkStatus();
  }

  const LogIdentity& identity() const { return topic_->identity(); }
  StoredLog& stored() { return stored_; }
  Watchers& watchers() { return watchers_; }
  TopicPartition& partition(Partition partition) { return *partitions_[partition]; }
  const std::vector<std::unique_ptr<TopicPartition>>& partitions() { return partitions_; }
  absl::Status trouble() { return mover_.trouble(); }
  const std::string& discarded() const { return discarded_; }
  void Post(Task answer) { answers_->Post(std::move(answer)); }
  void OnProgress(absl::AnyInvocable<void(const LogProgress&)> observer) {
    absl::MutexLock lock(&mutex_);
    observer_ = std::move(observer);
  }

 private:
  // A broker that has just become the leader may not know yet how far the partition goes.
  absl::StatusOr<std::vector<Offset>> EndsBehindTheCopy() {
    absl::Status ended = absl::OkStatus();
    for (int look = 0; look < kEndLooksMax; ++look) {
      if (look > 0) sleep_(kEndLookPause);
      ABSL_ASSIGN_OR_RETURN(std::vector<Offset> ends, topic_->Ends());
      ended = absl::OkStatus();
      for (Partition partition = 0; partition < ends.size() && ended.ok(); ++partition) {
        ABSL_ASSIGN_OR_RETURN(const FoldState head, stored_.Head(partition));
        if (head.next == 1 || ends[partition] > offsets_[partition]) continue;
        ended = DataLossAt(partition, head.next - 1,
                           absl::StrCat("the topic ends before offset ", offsets_[partition],
                                        ", where this replica has read this entry"));
      }
      if (ended.ok()) return ends;
    }
    return ended;
  }

  void Take(absl::Span<const TopicMessage> messages) {
    WaitForCopy();
    std::vector<Partition> touched;
    for (const TopicMessage& message : messages) {
      partitions_[message.partition]->Take(message);
      touched.push_back(message.partition);
    }
    std::sort(touched.begin(), touched.end());
    touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
    Publish(touched);
  }

  // A disk that is full, or slower than the others write, must not cost memory without end.
  void WaitForCopy() {
    const auto full = [this] { return mover_.waiting_bytes() > kAheadOfCopyBytesMax; };
    if (!full()) return;
    bool go_on = false;
    while (!go_on) {
      sleep_(kCopyPause);
      absl::MutexLock lock(&mutex_);
      waits_for_copy_ = full();
      go_on = closing_ || !waits_for_copy_;
    }
  }

  void Publish(const std::vector<Partition>& touched) {
    TopicPartition::Tasks answers;
    LogProgress progress;
    std::vector<Partition> grown;
    for (const Partition partition : touched) {
      if (partitions_[partition]->Publish(answers, progress)) grown.push_back(partition);
    }
    for (Task& answer : answers) answer();
    if (!grown.empty()) watchers_.Notify(grown);
    // The lock wakes the one who waits for the end, too.
    absl::MutexLock lock(&mutex_);
    if (observer_) observer_(progress);
  }

  // Destroyed from the last to the first.
  const std::function<void(absl::Duration)> sleep_;
  const std::unique_ptr<Topic> topic_;
  const std::unique_ptr<FileLock> lock_;
  const std::string discarded_;
  const std::vector<Offset> offsets_;  // from where it follows
  StoredLog stored_;
  LogMover mover_;
  Watchers watchers_;
  Producers producers_;
  std::vector<std::unique_ptr<TopicPartition>> partitions_;
  absl::Mutex mutex_;
  absl::AnyInvocable<void(const LogProgress&)> observer_ ABSL_GUARDED_BY(mutex_);
  bool waits_for_copy_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<TaskQueue> answers_;
  std::unique_ptr<Subscription> following_;
};

absl::StatusOr<std::unique_ptr<KafkaEventLog>> KafkaEventLog::Open(std::unique_ptr<Topic> topic,
                                                                   const KafkaLogOptions& options,
                                                                   Files& files,
                                                                   Scheduler& scheduler) {
  SqliteLogOptions copy_options;
  copy_options.folder = options.folder;
  ABSL_ASSIGN_OR_RETURN(TopicCopy copy, TopicCopy::Open(copy_options, *topic, files));
  auto impl = std::make_unique<Impl>(std::move(topic), std::move(copy), options, scheduler);
  ABSL_RETURN_IF_ERROR(impl->Follow());
  return std::unique_ptr<KafkaEventLog>(new KafkaEventLog(std::move(impl)));
}

KafkaEventLog::KafkaEventLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

KafkaEventLog::~KafkaEventLog() = default;

const LogIdentity& KafkaEventLog::identity() const { return impl_->identity(); }

absl::Status KafkaEventLog::Read(Partition partition, FoldState& at, const ReadLimits& limits,
                                 absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  const Sequence before = at.next;
  ABSL_RETURN_IF_ERROR(impl_->stored().Read(partition, at, limits, visit));
  // Whoever has come to the end learns that it is not the topic's.
  return at.next > before ? absl::OkStatus() : impl_->partition(partition).failure();
}

absl::StatusOr<FoldState> KafkaEventLog::Seek(Partition partition, Sequence from) {
  return impl_->stored().Seek(partition, from);
}

absl::Status KafkaEventLog::ReadEntries(Partition partition, absl::Span<const Sequence> sequences,
                                        const ReadLimits& limits,
                                        absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  return impl_->stored().ReadEntries(partition, sequences, limits, visit);
}

std::unique_ptr<Subscription> KafkaEventLog::Watch(absl::AnyInvocable<void(Partition)> grew) {
  return impl_->watchers().Add(std::move(grew));
}

absl::StatusOr<FoldState> KafkaEventLog::Head(Partition partition) {
  return impl_->stored().Head(partition);
}

void KafkaEventLog::BeginEpoch(Partition partition, std::string owner,
                               absl::AnyInvocable<void(absl::StatusOr<FoldState>)> done) {
  absl::Status place = CheckPlace(identity(), partition, 1);
  if (place.ok()) {
    impl_->partition(partition).BeginEpoch(std::move(owner), std::move(done));
  } else {
    impl_->Post(Telling(std::move(done), std::move(place)));
  }
}

void KafkaEventLog::Append(Partition partition, Epoch epoch, std::vector<std::string> entries,
                           absl::AnyInvocable<void(absl::Status)> done) {
  absl::Status place = CheckPlace(identity(), partition, 1);
  if (place.ok()) {
    impl_->partition(partition).Append(epoch, std::move(entries), std::move(done));
  } else {
    impl_->Post(Telling(std::move(done), std::move(place)));
  }
}

absl::Status KafkaEventLog::health() {
  for (const auto& partition : impl_->partitions()) {
    ABSL_RETURN_IF_ERROR(partition->failure());
  }
  const absl::Status trouble = impl_->trouble();
  return trouble.ok() ? trouble : About("the copy of the log cannot be written", trouble);
}

const std::string& KafkaEventLog::discarded() const { return impl_->discarded(); }

void KafkaEventLog::OnProgress(absl::AnyInvocable<void(const LogProgress&)> observer) {
  impl_->OnProgress(std::move(observer));
}

}  // namespace buurtlog::eventlog
