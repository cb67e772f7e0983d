#include "libs/eventsourcing/event_codec.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/reflection.h>
#include <google/protobuf/unknown_field_set.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"

namespace buurtlog::eventsourcing {
namespace {

constexpr size_t kUuidCharacters = 36;
constexpr size_t kCategoryCharactersMax = 32;

bool IsCategory(std::string_view text) {
  if (text.empty() || text.size() > kCategoryCharactersMax) return false;
  for (char c : text) {
    if ((c < 'a' || c > 'z') && c != '-') return false;
  }
  return true;
}

const google::protobuf::OneofDescriptor& WrapperOneof(const google::protobuf::Message& wrapper) {
  const google::protobuf::Descriptor* descriptor = wrapper.GetDescriptor();
  CHECK(descriptor->oneof_decl_count() > 0);
  return *descriptor->oneof_decl(0);
}

bool HasEvent(const google::protobuf::Message& wrapper) {
  return wrapper.GetReflection()->HasOneof(wrapper, &WrapperOneof(wrapper));
}

std::string Place(eventlog::Partition partition, eventlog::Sequence sequence) {
  return absl::StrCat("partition ", partition, ", sequence ", sequence);
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

// Everything of the envelope that the events of one record share. INVALID_ARGUMENT when an id has
// another length than 16.
absl::StatusOr<EventEnvelope> SharedEnvelope(const log::v1::Record& record) {
  EventEnvelope envelope;
  envelope.stream.category = record.category();
  ABSL_ASSIGN_OR_RETURN(envelope.stream.id, UuidFromBytes(record.stream_id()));
  ABSL_ASSIGN_OR_RETURN(envelope.partition_key, UuidFromBytes(record.partition_key()));
  ABSL_ASSIGN_OR_RETURN(envelope.idempotency_key, UuidFromBytes(record.idempotency_key()));
  ABSL_ASSIGN_OR_RETURN(envelope.correlation_id, UuidFromBytes(record.correlation_id()));
  ABSL_ASSIGN_OR_RETURN(envelope.causation_id, UuidFromBytes(record.causation_id()));
  // Left out of the record where they say nothing new.
  if (envelope.correlation_id.IsNil()) envelope.correlation_id = envelope.idempotency_key;
  if (envelope.causation_id.IsNil()) envelope.causation_id = envelope.correlation_id;
  envelope.occurred_at = FromProto(OccurredAt(record));
  envelope.recorded_at = FromProto(record.recorded_at());
  envelope.record = &record;
  return envelope;
}

absl::Status At(const absl::Status& status, eventlog::Partition partition,
                eventlog::Sequence sequence) {
  return absl::Status(status.code(),
                      absl::StrCat(Place(partition, sequence), ": ", status.message()));
}

}  // namespace

const google::protobuf::Timestamp& OccurredAt(const log::v1::Record& record) {
  return record.has_occurred_at() ? record.occurred_at() : record.recorded_at();
}

std::string StreamId::ToString() const { return absl::StrCat(category, "-", id.ToString()); }

absl::StatusOr<StreamId> ParseStreamId(std::string_view text) {
  const absl::Status bad = absl::InvalidArgumentError("a stream is <category>-<uuid>");
  if (text.size() < kUuidCharacters + 2) return bad;
  const size_t dash = text.size() - kUuidCharacters - 1;
  const std::string_view category = text.substr(0, dash);
  if (text[dash] != '-' || !IsCategory(category)) return bad;
  absl::StatusOr<Uuid> id = ParseUuid(text.substr(dash + 1));
  if (!id.ok()) return bad;
  return StreamId{std::string(category), *id};
}

type::v1::Position ToProto(const Position& position) {
  type::v1::Position proto;
  proto.set_service(position.service);
  proto.set_partition(position.partition);
  proto.set_sequence(position.sequence);
  return proto;
}

Position FromProto(const type::v1::Position& position) {
  return {position.service(), position.partition(), position.sequence()};
}

void EventCodec::Register(std::string category, const google::protobuf::Message* wrapper) {
  CHECK(IsCategory(category));
  WrapperOneof(*wrapper);
  CHECK(wrappers_.emplace(std::move(category), wrapper).second);
}

bool EventCodec::Knows(std::string_view category) const {
  return wrappers_.contains(std::string(category));
}

log::v1::StoredEvent EventCodec::Encode(const google::protobuf::Message& event,
                                        const Uuid& event_id) {
  CHECK(HasEvent(event));
  log::v1::StoredEvent stored;
  stored.set_event_id(event_id.ToBytes());
  CHECK(event.SerializeToString(stored.mutable_payload()));
  stored.set_schema_release(kSchemaRelease);
  return stored;
}

absl::Status EventCodec::ParseEvent(const log::v1::StoredEvent& stored,
                                    google::protobuf::Message& event) {
  if (!event.ParseFromString(stored.payload())) {
    return absl::DataLossError("an event that cannot be parsed");
  }
  if (HasEvent(event)) return absl::OkStatus();
  if (event.GetReflection()->GetUnknownFields(event).empty()) {
    return absl::DataLossError("an event without content");
  }
  return absl::UnimplementedError("an event of a newer release");
}

absl::StatusOr<log::v1::Record> EventCodec::ParseRecord(const eventlog::EntryView& entry) {
  log::v1::Record record;
  ABSL_RETURN_IF_ERROR(ParseRecord(entry, record));
  return record;
}

absl::Status EventCodec::ParseRecord(const eventlog::EntryView& entry, log::v1::Record& record) {
  if (entry.header.kind != eventlog::EntryKind::kRecord ||
      !record.ParseFromArray(entry.body.data(), static_cast<int>(entry.body.size()))) {
    return absl::DataLossError(
        absl::StrCat(Place(entry.header.partition, entry.header.sequence), ": not a record"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<DecodedEvent>> EventCodec::Decode(const log::v1::Record& record,
                                                             eventlog::Partition partition,
                                                             eventlog::Sequence sequence) const {
  std::vector<DecodedEvent> events;
  ABSL_RETURN_IF_ERROR(Decode(record, partition, sequence, events));
  return events;
}

absl::Status EventCodec::Decode(const log::v1::Record& record, eventlog::Partition partition,
                                eventlog::Sequence sequence,
                                std::vector<DecodedEvent>& events) const {
  events.resize(static_cast<size_t>(record.events_size()));
  if (events.empty()) return absl::OkStatus();
  const auto wrapper = wrappers_.find(record.category());
  if (wrapper == wrappers_.end()) {
    return At(absl::UnimplementedError("a category of a newer release"), partition, sequence);
  }
  absl::StatusOr<EventEnvelope> shared = SharedEnvelope(record);
  if (!shared.ok()) return At(absl::DataLossError(shared.status().message()), partition, sequence);
  shared->position = {service_, partition, sequence};
  for (size_t i = 0; i < events.size(); ++i) {
    const log::v1::StoredEvent& stored = record.events(static_cast<int>(i));
    const absl::StatusOr<Uuid> event_id = UuidFromBytes(stored.event_id());
    if (!event_id.ok())
      return At(absl::DataLossError(event_id.status().message()), partition, sequence);
    DecodedEvent& decoded = events[i];
    if (decoded.event == nullptr ||
        decoded.event->GetDescriptor() != wrapper->second->GetDescriptor()) {
      decoded.event.reset(wrapper->second->New());
    }
    if (absl::Status status = ParseEvent(stored, *decoded.event); !status.ok()) {
      return At(status, partition, sequence);
    }
    decoded.envelope = *shared;
    decoded.envelope.index = i;
    decoded.envelope.version = record.first_version() + i + 1;
    decoded.envelope.event_id = *event_id;
  }
  return absl::OkStatus();
}

absl::StatusOr<type::v1::Receipt> AnswerOf(const log::v1::Record& record,
                                           const Position& position) {
  if (record.has_refusal()) return Refuse(record.refusal().reason(), record.refusal().message());
  absl::StatusOr<Uuid> stream_id = UuidFromBytes(record.stream_id());
  if (!stream_id.ok()) {
    return At(absl::DataLossError(stream_id.status().message()), position.partition,
              position.sequence);
  }
  type::v1::Receipt receipt;
  *receipt.mutable_position() = ToProto(position);
  receipt.set_stream(StreamId{record.category(), *stream_id}.ToString());
  receipt.set_version(record.first_version() + static_cast<uint64_t>(record.events_size()));
  for (const log::v1::StoredEvent& event : record.events()) {
    absl::StatusOr<Uuid> event_id = UuidFromBytes(event.event_id());
    if (!event_id.ok()) {
      return At(absl::DataLossError(event_id.status().message()), position.partition,
                position.sequence);
    }
    receipt.add_event_ids(event_id->ToString());
  }
  return receipt;
}

}  // namespace buurtlog::eventsourcing
