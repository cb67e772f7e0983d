// One partition of a topic as a writer and as a reader: folds what the topic says, sends entries
// and epoch records, and answers when what was sent has been delivered and read back. Which entries
// count is decided by the fold and by nothing else, so a writer that was fenced, a doubled send and
// a hole behind a lost one look the same to everybody (docs/log-format.md). Private to the kafka
// engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/clock.h"
#include "libs/base/random.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/log_mover.h"
#include "libs/eventlog/stored_log.h"
#include "libs/eventlog/topic.h"
#include "libs/eventlog/topic_message.h"

namespace buurtlog::eventlog {

// Sent by a partition and not answered yet, in bytes; a call beyond it is RESOURCE_EXHAUSTED.
inline constexpr size_t kUnansweredBytesMax = 64 << 20;
// Entries that are not in this machine's copy yet, in bytes. From there on calls are
// RESOURCE_EXHAUSTED: its disk is full, or too slow.
inline constexpr size_t kCopyWaitingBytesMax = 64 << 20;
// How often an epoch record is sent again that came behind another one of its number.
inline constexpr int kEpochSendsMax = 3;

// The answer of a call: `done` is told `status`.
template <typename Done>
Task Telling(Done done, absl::Status status) {
  return
      [done = std::move(done), status = std::move(status)]() mutable { done(std::move(status)); };
}

// Thread-safe. Tasks that it gives back are answers to callers; they are run without any lock.
class TopicPartition {
 public:
  using Tasks = std::vector<Task>;

  struct Parts {
    Partition partition = 0;
    StoredLog& stored;
    LogMover& mover;
    Scheduler& scheduler;
    Clock& clock;
    Random& random;
    // The producer that is in use; SpoilProducer makes the next call give a new one, once.
    std::function<std::shared_ptr<TopicProducer>()> producer;
    std::function<void(const std::shared_ptr<TopicProducer>&)> spoil_producer;
    // Runs answers, soon.
    std::function<void(Task)> post;
  };

  // `before`: where the last entry of the copy, if any, is folded from; the topic is read from that
  // entry's message on.
  TopicPartition(Parts parts, FoldState head, FoldState before);

  void Append(Epoch epoch, std::vector<std::string> entries,
              absl::AnyInvocable<void(absl::Status)> done);
  void BeginEpoch(std::string owner, absl::AnyInvocable<void(absl::StatusOr<FoldState>)> done);

  // From the one who follows the topic: every message in order; Publish shows what was taken to
  // readers and gives the answers that follow from it. True when there was something to show.
  void Take(const TopicMessage& message);
  bool Publish(Tasks& answers, LogProgress& progress);
  // The topic cannot be followed here any more, or nobody does. All who wait are answered with the
  // next Publish.
  void Fail(absl::Status why);

  // Behind the last message that was taken.
  Offset next_offset();
  absl::Status failure();

 private:
  using Appended = absl::AnyInvocable<void(absl::Status)>;
  using Begun = absl::AnyInvocable<void(absl::StatusOr<FoldState>)>;

  // A call that was sent; its messages have the ids from first_send on.
  struct Sent {
    uint64_t first_send = 0;
    size_t messages = 0;
    size_t delivered = 0;
    size_t bytes = 0;
    absl::Duration sent_at;
    Sequence first = 0;  // 0: a barrier
    Sequence last = 0;
    Hash last_hash;
    bool read_back = false;
    std::vector<Appended> done;  // one, or all those who wait for a barrier
  };
  struct Beginning {
    std::string owner;
    Begun done;
    int sends = 0;
    uint64_t send = 0;
  };

  absl::Status Judge(Epoch epoch, const std::vector<std::string>& entries, FoldState& behind)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SendEntries(std::vector<std::string> entries, Appended done)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SendBarrier() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SendEpoch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t Send(std::string value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnDelivered(uint64_t send, const absl::Status& status);
  void OnEpochDelivered(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Sent* Find(uint64_t send) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Status TakeEntries(const TopicMessage& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakeEntry(const TopicMessage& message, uint64_t send, std::string_view bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakeCounting(CommittedEntryPtr entry, uint64_t send)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeOther(EntryKind kind, uint64_t send) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Behind which of the message's entries it goes on.
  absl::StatusOr<size_t> SkipToHead(const TopicMessage& message,
                                    const std::vector<std::string_view>& entries)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckEpochRecord(const CommittedEntry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Break() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndEpoch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AnswerReadBack() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AnswerOutOfTurn(Sent& sent, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Answer(Sent sent, const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AnswerAll(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Parts parts_;
  const LogIdentity& identity_;

  absl::Mutex mutex_;
  FoldState head_ ABSL_GUARDED_BY(mutex_);
  FoldState before_head_ ABSL_GUARDED_BY(mutex_);
  bool at_head_ ABSL_GUARDED_BY(mutex_);  // the copy's last entry was met in the topic
  Offset next_offset_ ABSL_GUARDED_BY(mutex_) = -1;
  std::vector<CommittedEntryPtr> fresh_ ABSL_GUARDED_BY(mutex_);  // not published yet
  Tasks answers_ ABSL_GUARDED_BY(mutex_);                         // given when that is
  LogProgress progress_ ABSL_GUARDED_BY(mutex_);                  // since Publish
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);

  // As a writer.
  Epoch epoch_ ABSL_GUARDED_BY(mutex_) = 0;        // in which this one may append; 0: in none
  FoldState behind_sent_ ABSL_GUARDED_BY(mutex_);  // the head, once all that was sent counts
  // An append did not end well: what is sent in this epoch would be void or in doubt.
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<TopicProducer> producer_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_send_ ABSL_GUARDED_BY(mutex_);
  std::deque<Sent> sent_ ABSL_GUARDED_BY(mutex_);  // in the order of sending
  size_t unanswered_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool barrier_under_way_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Appended> wait_for_barrier_ ABSL_GUARDED_BY(mutex_);  // for the next one
  std::deque<Beginning> beginnings_ ABSL_GUARDED_BY(mutex_);        // the first is under way
};

}  // namespace buurtlog::eventlog
