#include "libs/eventsourcing/batch_decider.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/event_codec.h"
#include "libs/eventsourcing/record_folder.h"

namespace buurtlog::eventsourcing {
namespace {

// What is decided on is what is stored: no finer than the record keeps it.
absl::Time StoredPrecision(absl::Time time) {
  return absl::FromUnixMicros(absl::ToUnixMicros(time));
}

// What is written stays, and every reader must get past it; so it is read before it is written.
// Text that is not UTF-8 can be stored but not read.
absl::Status CheckReadable(const std::string& body, const google::protobuf::Message& wrapper) {
  const absl::Status unreadable = absl::InternalError("the decision could not be read again");
  log::v1::Record record;
  if (!record.ParseFromString(body)) return unreadable;
  const std::unique_ptr<google::protobuf::Message> event(wrapper.New());
  for (const log::v1::StoredEvent& stored : record.events()) {
    if (!EventCodec::ParseEvent(stored, *event).ok()) return unreadable;
  }
  return absl::OkStatus();
}

}  // namespace

BatchDecider::BatchDecider(ExecutorCore& core, eventlog::Partition partition)
    : core_(core), partition_(partition), cache_(core.options.cached_states_max) {}

void BatchDecider::Forget(const eventlog::FoldState& committed) {
  committed_ = committed;
  chain_ = committed;
  speculative_.clear();
  under_way_.clear();
}

void BatchDecider::ForgetAll(const eventlog::FoldState& committed, absl::Time newest_recorded_at) {
  Forget(committed);
  cache_.Clear();
  recorded_at_ = std::max(recorded_at_, newest_recorded_at);
}

void BatchDecider::BeginBatch() {
  now_ = core_.parts.clock.Now();
  recorded_at_ = std::max(recorded_at_, StoredPrecision(now_));
  batch_ = {};
  batch_.number = ++batches_;
}

Batch BatchDecider::TakeBatch() {
  for (Batch::Touched& touched : batch_.touched) {
    const Speculative& newest = speculative_.at(touched.key);
    touched.state = {newest.version, newest.state};
    touched.last_change = newest.last_change;
  }
  batch_.behind = chain_;
  return std::exchange(batch_, {});
}

void BatchDecider::Promote(Batch& batch) {
  for (Batch::Touched& touched : batch.touched) {
    CHECK(touched.state.state->SerializeToString(&*batch.changes[touched.last_change].state));
    const auto newest = speculative_.find(touched.key);
    if (newest != speculative_.end() && newest->second.batch == batch.number) {
      speculative_.erase(newest);
    }
    cache_.Put(touched.key, std::move(touched.state));
  }
  for (const PendingCommandPtr& pending : batch.commands) {
    if (pending->recorded) under_way_.erase(pending->name);
  }
  committed_ = batch.behind;
  if (!batch.changes.empty()) {
    core_.parts.store.Add(partition_, std::move(batch.changes), committed_);
  }
}

absl::StatusOr<StoredState> BatchDecider::ReadState(const StreamKey& key) {
  ABSL_ASSIGN_OR_RETURN(const VersionedState committed, Committed(key));
  StoredState stored;
  stored.version = committed.version;
  if (committed.version > 0) CHECK(committed.state->SerializeToString(&stored.state));
  return stored;
}

absl::StatusOr<VersionedState> BatchDecider::Committed(const StreamKey& key) {
  if (const VersionedState* cached = cache_.Find(key)) return *cached;
  ABSL_ASSIGN_OR_RETURN(const StoredState stored,
                        core_.parts.store.Load(partition_, {key.type->category, key.id}));
  // A stream that does not exist has the state of no events, which is not ours to free.
  if (stored.version == 0) return VersionedState{0, {std::shared_ptr<void>(), key.type->state}};
  std::shared_ptr<google::protobuf::Message> state(key.type->state->New());
  if (!state->ParseFromString(stored.state)) {
    return absl::DataLossError("a stored state that cannot be read");
  }
  return cache_.Put(key, {stored.version, std::move(state)});
}

absl::StatusOr<VersionedState> BatchDecider::Newest(const StreamKey& key) {
  if (const auto it = speculative_.find(key); it != speculative_.end()) {
    return VersionedState{it->second.version, it->second.state};
  }
  return Committed(key);
}

absl::Status BatchDecider::CheckTimes(const Command& command) const {
  if (command.deadline <= now_) {
    return absl::DeadlineExceededError("the deadline had passed before the command was begun");
  }
  if (command.key_has_age) {
    const absl::Time made = command.idempotency_key.Timestamp();
    if (made < recorded_at_ - kKeyAgeMax) {
      return InvalidField("header.idempotency_key", "the key is older than 90 days");
    }
    if (made > recorded_at_ + kFutureMax) {
      return InvalidField("header.idempotency_key", "the key lies in the future");
    }
  }
  if (command.key_has_age && command.occurred_at > recorded_at_ + kFutureMax) {
    return InvalidField("header.occurred_at", "the time lies in the future");
  }
  return absl::OkStatus();
}

absl::StatusOr<type::v1::Receipt> BatchDecider::RecordedAnswer(const PendingCommand& pending,
                                                               eventlog::Sequence sequence) {
  eventlog::EventLog& log = core_.parts.log;
  ABSL_ASSIGN_OR_RETURN(eventlog::FoldState at, log.Seek(partition_, sequence));
  absl::StatusOr<type::v1::Receipt> answer = absl::DataLossError(
      absl::StrCat("partition ", partition_, ", sequence ", sequence, ": the record is not there"));
  ABSL_RETURN_IF_ERROR(log.Read(
      partition_, at, {.entries_max = 1}, [&](const eventlog::EntryView& entry) -> absl::Status {
        ABSL_ASSIGN_OR_RETURN(const log::v1::Record record, EventCodec::ParseRecord(entry));
        const std::string_view hash(pending.hash.data(), pending.hash.size());
        if (record.command_hash() != hash) {
          answer = absl::AlreadyExistsError("the idempotency key names another command");
        } else {
          answer = AnswerOf(record, {log.identity().service, partition_, sequence});
        }
        return absl::OkStatus();
      }));
  return answer;
}

absl::StatusOr<std::optional<absl::StatusOr<type::v1::Receipt>>> BatchDecider::AnswerInLog(
    const PendingCommand& pending) {
  ABSL_ASSIGN_OR_RETURN(const std::optional<eventlog::Sequence> sequence,
                        core_.parts.store.Find(partition_, pending.name));
  std::optional<absl::StatusOr<type::v1::Receipt>> answer;
  if (sequence.has_value()) answer = RecordedAnswer(pending, *sequence);
  return answer;
}

void BatchDecider::Decide(PendingCommandPtr pending) {
  // A command that was sent before may stand in the log whatever the time is now; so that is looked
  // up first.
  const bool was_sent = pending->tries > 1 || pending->in_doubt;
  absl::Status timely = CheckTimes(pending->command);
  if (!timely.ok() && !was_sent) return core_.Answer(std::move(pending), std::move(timely));
  if (const auto it = under_way_.find(pending->name); it != under_way_.end()) {
    it->second->followers.push_back(std::move(pending));
    return;
  }
  absl::StatusOr<std::optional<absl::StatusOr<type::v1::Receipt>>> recorded = AnswerInLog(*pending);
  if (!recorded.ok()) return core_.Answer(std::move(pending), recorded.status());
  if (recorded->has_value()) return core_.Answer(std::move(pending), **std::move(recorded));
  if (!timely.ok()) return core_.Answer(std::move(pending), std::move(timely));
  DecideNew(std::move(pending));
}

void BatchDecider::DecideNew(PendingCommandPtr pending) {
  const Command& command = pending->command;
  const absl::StatusOr<VersionedState> newest = Newest({command.type, command.stream_id});
  if (!newest.ok()) return core_.Answer(std::move(pending), newest.status());
  const uint64_t version = newest->version;
  if (command.expected_version.has_value() && *command.expected_version != version) {
    absl::Status status = absl::AbortedError(absl::StrCat(
        "expected version ", *command.expected_version, ", the stream is at ", version));
    return AnswerUnwritten(std::move(pending), WithReason(status, "VERSION_MISMATCH"));
  }
  CommandContext context;
  context.now = recorded_at_;
  context.occurred_at =
      command.occurred_at == absl::InfinitePast() ? recorded_at_ : command.occurred_at;
  context.command_id = command.idempotency_key;
  context.actor = command.actor;
  absl::StatusOr<WrappedEvents> events = command.decide(*newest->state, context);

  log::v1::Record record = NewRecord(*pending, version);
  if (!events.ok()) {
    // A rule's refusal stands on exactly the state before it, so it is kept; anything else may be
    // asked again.
    if (!absl::IsFailedPrecondition(events.status()) || version == 0 || command.validate_only) {
      return AnswerUnwritten(std::move(pending), events.status());
    }
    if (!MayRecordRefusal(pending->name.actor)) {
      return AnswerUnwritten(std::move(pending), absl::ResourceExhaustedError(
                                                     "too many refused commands within a minute"));
    }
    record.mutable_refusal()->set_reason(StatusReason(events.status()).value_or("REFUSED"));
    record.mutable_refusal()->set_message(std::string(events.status().message()));
    return Write(std::move(pending), *newest, record, {});
  }
  if (events->size() > kEventsPerRecordMax) {
    return AnswerUnwritten(std::move(pending), absl::InvalidArgumentError(
                                                   absl::StrCat("the command would make more than ",
                                                                kEventsPerRecordMax, " events")));
  }
  for (const auto& event : *events) {
    *record.add_events() = EventCodec::Encode(*event, NewUuid(recorded_at_, core_.parts.random));
  }
  Write(std::move(pending), *newest, record, *events);
}

bool BatchDecider::MayRecordRefusal(const Uuid& actor) {
  // By the clock: recorded_at_ stands still for as long as the clock was set back.
  const int64_t minute = absl::ToUnixSeconds(now_) / 60;
  if (minute != refusals_minute_) refusals_.clear();
  refusals_minute_ = minute;
  size_t& recorded = refusals_[actor];
  if (recorded >= core_.options.recorded_refusals_per_minute_max) return false;
  ++recorded;
  return true;
}

log::v1::Record BatchDecider::NewRecord(const PendingCommand& pending,
                                        uint64_t first_version) const {
  const Command& command = pending.command;
  log::v1::Record record;
  record.set_shard(eventlog::ShardOf(command.partition_key));
  record.set_partition_key(command.partition_key.ToBytes());
  record.set_category(command.type->category);
  record.set_stream_id(command.stream_id.ToBytes());
  record.set_first_version(first_version);
  record.set_idempotency_key(command.idempotency_key.ToBytes());
  record.set_command_hash(pending.hash.data(), pending.hash.size());
  *record.mutable_actor() = command.actor;
  if (command.occurred_at != absl::InfinitePast() && command.occurred_at != recorded_at_) {
    SetTime(command.occurred_at, *record.mutable_occurred_at());
  }
  SetTime(recorded_at_, *record.mutable_recorded_at());
  if (command.device_time.has_value()) SetTime(*command.device_time, *record.mutable_device_time());
  if (!command.correlation_id.IsNil() && command.correlation_id != command.idempotency_key) {
    record.set_correlation_id(command.correlation_id.ToBytes());
  }
  if (!command.causation_id.IsNil()) record.set_causation_id(command.causation_id.ToBytes());
  return record;
}

void BatchDecider::Write(PendingCommandPtr pending, const VersionedState& before,
                         const log::v1::Record& record, const WrappedEvents& events) {
  const std::string body = record.SerializeAsString();
  const size_t bytes = eventlog::kHeaderBytes + body.size();
  if (bytes > core_.parts.log.identity().record_bytes_max) {
    return AnswerUnwritten(std::move(pending), absl::InvalidArgumentError(absl::StrCat(
                                                   "the record would have ", bytes, " bytes")));
  }
  if (absl::Status status = CheckReadable(body, *pending->command.type->event); !status.ok()) {
    return AnswerUnwritten(std::move(pending), std::move(status));
  }
  absl::StatusOr<type::v1::Receipt> answer =
      AnswerOf(record, {core_.parts.log.identity().service, partition_, chain_.next});
  if (pending->command.validate_only) {
    // Nothing is written, so nothing is named.
    if (answer.ok()) {
      answer->clear_position();
      answer->clear_event_ids();
    }
    return AnswerUnwritten(std::move(pending), std::move(answer));
  }

  const StreamKey key{pending->command.type, pending->command.stream_id};
  StateChange& change = batch_.changes.emplace_back();
  change.sequence = chain_.next;
  change.stream = {record.category(), key.id};
  change.version = before.version + events.size();
  change.command = pending->name;
  if (!events.empty()) {
    change.state.emplace();
    Evolve(key, before, events);
  }

  eventlog::EntryHeader header;
  header.partition = partition_;
  header.epoch = chain_.epoch;
  header.sequence = chain_.next;
  header.previous_hash = chain_.head_hash;
  batch_.entries.push_back(eventlog::EncodeEntry(header, body));
  chain_.head_hash = eventlog::EntryHash(chain_.head_hash, batch_.entries.back());
  ++chain_.next;

  batch_.bytes += bytes;
  batch_.events += events.size();
  pending->recorded = true;
  pending->answer = std::move(answer);
  under_way_.emplace(pending->name, pending.get());
  batch_.commands.push_back(std::move(pending));
}

void BatchDecider::Evolve(const StreamKey& key, const VersionedState& before,
                          const WrappedEvents& events) {
  Speculative& newest = speculative_[key];
  if (newest.batch != batch_.number) {
    // `before` is shared with the cache or with a batch under way; this batch gets a copy of its
    // own.
    std::shared_ptr<google::protobuf::Message> copy(key.type->state->New());
    copy->CopyFrom(*before.state);
    newest = {batch_.number, before.version, std::move(copy), 0};
    batch_.touched.push_back({key, {}, 0});
  }
  for (const auto& event : events) key.type->evolve(*newest.state, *event);
  newest.version += events.size();
  newest.last_change = batch_.changes.size() - 1;
}

void BatchDecider::AnswerUnwritten(PendingCommandPtr pending,
                                   absl::StatusOr<type::v1::Receipt> answer) {
  pending->recorded = false;
  pending->answer = std::move(answer);
  batch_.commands.push_back(std::move(pending));
}

}  // namespace buurtlog::eventsourcing
