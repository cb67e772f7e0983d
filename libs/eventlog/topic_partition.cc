#include "libs/eventlog/topic_partition.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "buurtlog/log/v1/record.pb.h"
#include "libs/base/about.h"
#include "libs/base/status_macros.h"

namespace buurtlog::eventlog {
namespace {

// Every number, so that no earlier attempt under the same name used these; but not kIdentitySend.
uint64_t FirstSend(Random& random) { return RandomBelow(random, UINT64_MAX / 2) + 1; }

absl::Status Fenced() { return absl::AbortedError("another owner has begun an epoch"); }
absl::Status InDoubt() {
  return absl::UnavailableError("unknown whether the append landed; begin an epoch");
}

}  // namespace

TopicPartition::TopicPartition(Parts parts, FoldState head, FoldState before)
    : parts_(std::move(parts)),
      identity_(parts_.stored.identity()),
      head_(std::move(head)),
      before_head_(std::move(before)),
      at_head_(head_.next == 1) {
  next_send_ = FirstSend(parts_.random);
}

// ---- as a writer

absl::Status TopicPartition::Judge(Epoch epoch, const std::vector<std::string>& entries,
                                   FoldState& behind) {
  if (!failure_.ok()) return absl::UnavailableError(failure_.message());
  if (epoch == 0 || epoch != epoch_) return Fenced();
  if (broken_) return InDoubt();
  size_t bytes = 0;
  for (const std::string& entry : entries) {
    bytes += entry.size();
    ABSL_RETURN_IF_ERROR(FoldAppended(behind, parts_.partition, entry, identity_.record_bytes_max));
  }
  if (unanswered_bytes_ + bytes > kUnansweredBytesMax && unanswered_bytes_ > 0) {
    return absl::ResourceExhaustedError("too much is waiting for the log");
  }
  if (parts_.mover.waiting_bytes() > kCopyWaitingBytesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the copy of the log cannot keep up: ", parts_.mover.trouble().message()));
  }
  return absl::OkStatus();
}

void TopicPartition::Append(Epoch epoch, std::vector<std::string> entries, Appended done) {
  absl::MutexLock lock(&mutex_);
  FoldState behind = behind_sent_;
  if (absl::Status status = Judge(epoch, entries, behind); !status.ok()) {
    parts_.post(Telling(std::move(done), std::move(status)));
    return;
  }
  if (entries.empty()) {
    wait_for_barrier_.push_back(std::move(done));
    if (!barrier_under_way_) SendBarrier();
    return;
  }
  behind_sent_ = std::move(behind);
  SendEntries(std::move(entries), std::move(done));
}

void TopicPartition::SendEntries(std::vector<std::string> entries, Appended done) {
  Sent sent;
  sent.first_send = next_send_;
  sent.sent_at = parts_.scheduler.Now();
  sent.last = behind_sent_.next - 1;
  sent.first = behind_sent_.next - entries.size();
  sent.last_hash = behind_sent_.head_hash;
  sent.done.push_back(std::move(done));
  for (const std::string& entry : entries) sent.bytes += entry.size();
  std::vector<std::string> messages = PackMessages(std::move(entries));
  sent.messages = messages.size();
  unanswered_bytes_ += sent.bytes;
  sent_.push_back(std::move(sent));
  for (std::string& message : messages) Send(std::move(message));
}

void TopicPartition::SendBarrier() {
  EntryHeader header;
  header.kind = EntryKind::kBarrier;
  header.partition = parts_.partition;
  header.epoch = epoch_;
  Sent sent;
  sent.first_send = next_send_;
  sent.sent_at = parts_.scheduler.Now();
  sent.messages = 1;
  sent.done = std::exchange(wait_for_barrier_, {});
  sent_.push_back(std::move(sent));
  barrier_under_way_ = true;
  Send(EncodeEntry(header, ""));
}

void TopicPartition::BeginEpoch(std::string owner, Begun done) {
  absl::Status refused;
  absl::MutexLock lock(&mutex_);
  if (owner.size() > kOwnerBytesMax) {
    refused = absl::InvalidArgumentError("the owner's name is too long");
  } else if (!failure_.ok()) {
    refused = failure_;
  }
  if (!refused.ok()) {
    parts_.post(Telling(std::move(done), std::move(refused)));
    return;
  }
  // What is sent between here and the new epoch's first entry would be void.
  epoch_ = 0;
  beginnings_.push_back({std::move(owner), std::move(done)});
  if (beginnings_.size() == 1) SendEpoch();
}

void TopicPartition::SendEpoch() {
  Beginning& beginning = beginnings_.front();
  ++beginning.sends;
  // Behind a failed append a new one: what the old one still holds must not come after this record.
  if (broken_ && producer_ != nullptr) parts_.spoil_producer(producer_);
  producer_ = parts_.producer();
  beginning.send = Send(EncodeEpochRecord(head_, parts_.partition, beginning.owner,
                                          parts_.clock.Now(), parts_.random));
}

uint64_t TopicPartition::Send(std::string value) {
  const uint64_t send = next_send_++;
  producer_->Send(parts_.partition, MessageKey(identity_, send), std::move(value),
                  [this, send](absl::Status status) { OnDelivered(send, status); });
  return send;
}

TopicPartition::Sent* TopicPartition::Find(uint64_t send) {
  for (Sent& sent : sent_) {
    if (send >= sent.first_send && send < sent.first_send + sent.messages) return &sent;
  }
  return nullptr;
}

void TopicPartition::OnDelivered(uint64_t send, const absl::Status& status) {
  Tasks answers;
  {
    absl::MutexLock lock(&mutex_);
    if (!beginnings_.empty() && beginnings_.front().send == send) {
      OnEpochDelivered(status);
    } else if (Sent* const sent = Find(send); sent != nullptr) {
      if (status.ok()) {
        ++sent->delivered;
        AnswerReadBack();
      } else {
        // All that came behind it stands on it.
        Break();
        AnswerOutOfTurn(*sent, status);
      }
    }
    // Answers to what is not published yet wait for that.
    if (fresh_.empty()) answers.swap(answers_);
  }
  for (Task& answer : answers) answer();
}

// Only a failure ends it here: that the record landed says nothing about whether it counts.
void TopicPartition::OnEpochDelivered(const absl::Status& status) {
  if (status.ok()) return;
  Break();
  Beginning failed = std::move(beginnings_.front());
  beginnings_.pop_front();
  answers_.push_back(Telling(std::move(failed.done), status));
  if (!beginnings_.empty()) SendEpoch();
}

// ---- as a reader

void TopicPartition::Take(const TopicMessage& message) {
  absl::MutexLock lock(&mutex_);
  if (!failure_.ok()) return;
  absl::Status status = TakeEntries(message);
  if (status.ok()) {
    next_offset_ = message.offset + 1;
    return;
  }
  failure_ = std::move(status);
  AnswerAll(absl::UnavailableError(failure_.message()));
}

absl::Status TopicPartition::TakeEntries(const TopicMessage& message) {
  if (next_offset_ >= 0 && message.offset != next_offset_) {
    return DataLossAt(
        parts_.partition, head_.next,
        absl::StrCat("the topic goes on at offset ", message.offset, ", not at ", next_offset_));
  }
  ABSL_ASSIGN_OR_RETURN(const uint64_t send, SendOf(identity_, message));
  if (send == kIdentitySend) return absl::OkStatus();
  ABSL_ASSIGN_OR_RETURN(const std::vector<std::string_view> entries, EntriesOf(message));
  size_t first = 0;
  if (!at_head_) {
    ABSL_ASSIGN_OR_RETURN(first, SkipToHead(message, entries));
  }
  for (size_t i = first; i < entries.size(); ++i) {
    ABSL_RETURN_IF_ERROR(TakeEntry(message, send, entries[i]));
  }
  return absl::OkStatus();
}

// The message with the last entry of the copy: it must have that entry, and what is behind it
// follows.
absl::StatusOr<size_t> TopicPartition::SkipToHead(const TopicMessage& message,
                                                  const std::vector<std::string_view>& entries) {
  FoldState at = before_head_;
  for (size_t i = 0; i < entries.size(); ++i) {
    const absl::StatusOr<FoldResult> folded = Fold(at, parts_.partition, entries[i]);
    if (!folded.ok()) break;
    if (folded->verdict != Verdict::kCounts) continue;
    if (at.head_hash != head_.head_hash) break;
    at_head_ = true;
    return i + 1;
  }
  return DataLossAt(parts_.partition, head_.next - 1,
                    absl::StrCat("the topic has something else at offset ", message.offset,
                                 ", where this replica has read this entry"));
}

absl::Status TopicPartition::TakeEntry(const TopicMessage& message, uint64_t send,
                                       std::string_view bytes) {
  const Sequence sequence = head_.next;
  FoldState head = head_;
  absl::StatusOr<CommittedEntryPtr> entry =
      FoldEntry(head, parts_.partition, std::string(bytes), message.offset);
  if (!entry.ok()) {
    return About(absl::StrCat("partition ", parts_.partition, ", sequence ", sequence, ", offset ",
                              message.offset),
                 entry.status());
  }
  if (*entry != nullptr && (*entry)->view.header.kind == EntryKind::kEpoch) {
    ABSL_RETURN_IF_ERROR(CheckEpochRecord(**entry));
  }
  head_ = std::move(head);
  if (*entry != nullptr) return TakeCounting(*std::move(entry), send);
  TakeOther(HeaderOf(bytes).kind, send);
  return absl::OkStatus();
}

absl::Status TopicPartition::TakeCounting(CommittedEntryPtr entry, uint64_t send) {
  ++progress_.entries;
  progress_.bytes += entry->bytes.size();
  const EntryHeader& header = entry->view.header;
  if (header.kind == EntryKind::kRecord) {
    // The hash says that it is the one that was sent.
    const auto sent = std::find_if(sent_.begin(), sent_.end(), [&](const Sent& one) {
      return one.last == header.sequence && one.last_hash == entry->view.hash;
    });
    if (sent != sent_.end()) sent->read_back = true;
    fresh_.push_back(std::move(entry));
    AnswerReadBack();
    return absl::OkStatus();
  }
  ++progress_.epochs;
  fresh_.push_back(std::move(entry));
  const bool own = !beginnings_.empty() && beginnings_.front().send == send;
  EndEpoch();
  if (!own) return absl::OkStatus();
  Beginning beginning = std::move(beginnings_.front());
  beginnings_.pop_front();
  broken_ = false;
  behind_sent_ = head_;
  if (beginnings_.empty()) {
    epoch_ = head_.epoch;
  } else {
    SendEpoch();
  }
  answers_.push_back(
      [done = std::move(beginning.done), head = head_]() mutable { done(std::move(head)); });
  return absl::OkStatus();
}

// A shorter log is a valid log, so what its writers knew of it is compared with what is read.
absl::Status TopicPartition::CheckEpochRecord(const CommittedEntry& entry) {
  log::v1::EpochRecord record;
  if (!record.ParseFromArray(entry.view.body.data(), static_cast<int>(entry.view.body.size())) ||
      record.known_hash().empty()) {
    return absl::OkStatus();  // the fold has read it
  }
  const Sequence known = record.known_sequence();
  // The fold has compared the one right before it, and that there is none beyond.
  if (known + 1 == entry.view.header.sequence) return absl::OkStatus();
  Hash here;
  // Of any other, what follows it has the hash.
  if (const auto next =
          std::find_if(fresh_.begin(), fresh_.end(),
                       [known](const auto& one) { return one->view.header.sequence == known + 1; });
      next != fresh_.end()) {
    here = (*next)->view.header.previous_hash;
  } else {
    ABSL_ASSIGN_OR_RETURN(const FoldState behind, parts_.stored.Seek(parts_.partition, known + 1));
    here = behind.head_hash;
  }
  if (here.ToBytes() == record.known_hash()) return absl::OkStatus();
  return DataLossAt(parts_.partition, known,
                    "the writer of a later epoch knew another entry in this place");
}

void TopicPartition::TakeOther(EntryKind kind, uint64_t send) {
  if (kind != EntryKind::kBarrier) ++progress_.void_entries;
  if (kind == EntryKind::kEpoch) {
    if (beginnings_.empty() || beginnings_.front().send != send) return;
    // Another one of that number came before. All up to here is folded, so the next has a new one.
    if (beginnings_.front().sends < kEpochSendsMax) return SendEpoch();
    Beginning lost = std::move(beginnings_.front());
    beginnings_.pop_front();
    answers_.push_back(Telling(std::move(lost.done), Fenced()));
    if (!beginnings_.empty()) SendEpoch();
    return;
  }
  Sent* const sent = Find(send);
  if (sent == nullptr) return;
  if (kind == EntryKind::kBarrier) {
    sent->read_back = true;
    return AnswerReadBack();
  }
  // A void of our own in our own epoch: something before it was lost on the way. That may land yet,
  // and this once more behind it; certain is only what stands before the next epoch.
  Break();
  AnswerOutOfTurn(*sent, InDoubt());
}

bool TopicPartition::Publish(Tasks& answers, LogProgress& progress) {
  // Under the lock: nobody is answered before what the answer says can be read.
  absl::MutexLock lock(&mutex_);
  const bool grew = !fresh_.empty();
  if (grew) {
    parts_.stored.tail().Publish(parts_.partition, fresh_, head_);
    parts_.mover.Add(std::exchange(fresh_, {}), 0);
  }
  std::move(answers_.begin(), answers_.end(), std::back_inserter(answers));
  answers_.clear();
  progress.took = std::max(progress.took, progress_.took);
  progress.calls += progress_.calls;
  progress.entries += progress_.entries;
  progress.bytes += progress_.bytes;
  progress.epochs += progress_.epochs;
  progress.void_entries += progress_.void_entries;
  progress_ = {};
  return grew;
}

void TopicPartition::Fail(absl::Status why) {
  absl::MutexLock lock(&mutex_);
  if (failure_.ok()) failure_ = std::move(why);
  AnswerAll(absl::UnavailableError(failure_.message()));
  producer_ = nullptr;
}

// ---- answers

// Nothing is sent in this epoch any more. What was sent is answered one by one: when its delivery
// is reported as failed, or when the next epoch shows that it can never count.
void TopicPartition::Break() {
  broken_ = true;
  if (producer_ != nullptr) parts_.spoil_producer(producer_);
}

// Another epoch counts: what was sent before and has not been read counts never.
void TopicPartition::EndEpoch() {
  epoch_ = 0;
  AnswerReadBack();
  for (Sent& sent : std::exchange(sent_, {})) {
    // A call of several messages of which some counts; the rest does not.
    const bool partly = sent.first > 0 && head_.next > sent.first + 1 && sent.messages > 1;
    // Read back as counting, and only the report of its delivery is missing.
    const bool counts = sent.read_back && sent.first > 0;
    Answer(std::move(sent), counts ? absl::OkStatus() : partly ? InDoubt() : Fenced());
  }
  for (Appended& done : std::exchange(wait_for_barrier_, {})) {
    answers_.push_back(Telling(std::move(done), Fenced()));
  }
  barrier_under_way_ = false;
}

// In the order of sending.
void TopicPartition::AnswerReadBack() {
  while (!sent_.empty() && sent_.front().read_back &&
         sent_.front().delivered == sent_.front().messages) {
    Sent sent = std::move(sent_.front());
    sent_.pop_front();
    Answer(std::move(sent), absl::OkStatus());
  }
}

void TopicPartition::AnswerOutOfTurn(Sent& sent, const absl::Status& status) {
  const auto place =
      std::find_if(sent_.begin(), sent_.end(), [&sent](const Sent& one) { return &one == &sent; });
  Sent taken = std::move(*place);
  sent_.erase(place);
  Answer(std::move(taken), status);
  AnswerReadBack();
}

void TopicPartition::Answer(Sent sent, const absl::Status& status) {
  unanswered_bytes_ -= sent.bytes;
  ++progress_.calls;
  progress_.took = std::max(progress_.took, parts_.scheduler.Now() - sent.sent_at);
  const bool barrier = sent.first == 0;
  for (Appended& done : sent.done) {
    answers_.push_back(Telling(std::move(done), status));
  }
  if (!barrier) return;
  barrier_under_way_ = false;
  if (wait_for_barrier_.empty()) return;
  if (epoch_ != 0 && !broken_ && failure_.ok()) return SendBarrier();
  for (Appended& done : std::exchange(wait_for_barrier_, {})) {
    answers_.push_back(Telling(std::move(done), InDoubt()));
  }
}

void TopicPartition::AnswerAll(const absl::Status& status) {
  epoch_ = 0;
  for (Sent& sent : std::exchange(sent_, {})) Answer(std::move(sent), status);
  for (Appended& done : std::exchange(wait_for_barrier_, {})) {
    answers_.push_back(Telling(std::move(done), status));
  }
  for (Beginning& beginning : std::exchange(beginnings_, {})) {
    answers_.push_back(Telling(std::move(beginning.done), failure_));
  }
}

Offset TopicPartition::next_offset() {
  absl::MutexLock lock(&mutex_);
  return next_offset_;
}

absl::Status TopicPartition::failure() {
  absl::MutexLock lock(&mutex_);
  return failure_;
}

}  // namespace buurtlog::eventlog
