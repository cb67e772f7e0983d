#include "libs/eventsourcing/event_codec.h"

#include <google/protobuf/struct.pb.h>
#include <gtest/gtest.h>

#include "libs/base/refusal.h"

namespace buurtlog::eventsourcing {
namespace {

// google.protobuf.Value stands for a service's wrapper message: its events are the cases of its
// oneof.
using google::protobuf::Value;

Uuid Id(uint8_t last) {
  Uuid id = *ParseUuid("01890000-0000-7000-8000-000000000000");
  id.bytes[15] = last;
  return id;
}

Value Text(const std::string& text) {
  Value value;
  value.set_string_value(text);
  return value;
}

EventCodec Codec() {
  EventCodec codec("visits");
  codec.Register("visit", &Value::default_instance());
  return codec;
}

log::v1::Record TwoEvents() {
  log::v1::Record record;
  record.set_partition_key(Id(1).ToBytes());
  record.set_category("visit");
  record.set_stream_id(Id(2).ToBytes());
  record.set_first_version(3);
  record.set_idempotency_key(Id(4).ToBytes());
  record.mutable_occurred_at()->set_seconds(1'760'000'000);
  record.mutable_recorded_at()->set_seconds(1'760'000'060);
  record.mutable_recorded_at()->set_nanos(7'000);
  *record.add_events() = EventCodec::Encode(Text("planned"), Id(10));
  *record.add_events() = EventCodec::Encode(Text("checked in"), Id(11));
  return record;
}

TEST(StreamIdTest, AStreamIsWrittenAndReadAsCategoryAndUuid) {
  const StreamId stream{"roster-day", Id(9)};
  EXPECT_EQ(stream.ToString(), "roster-day-01890000-0000-7000-8000-000000000009");
  EXPECT_EQ(*ParseStreamId(stream.ToString()), stream);
}

TEST(StreamIdTest, MalformedStreamsAreRefused) {
  for (const char* text :
       {"", "visit", "01890000-0000-7000-8000-000000000009",
        "-01890000-0000-7000-8000-000000000009", "Visit-01890000-0000-7000-8000-000000000009",
        "visit_01890000-0000-7000-8000-000000000009",
        "visit-01890000-0000-7000-8000-00000000000x"}) {
    EXPECT_EQ(ParseStreamId(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(EventCodecTest, EventsComeBackInOrderWithVersionsAndIds) {
  const log::v1::Record record = TwoEvents();
  auto events = Codec().Decode(record, 5, 17);
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_EQ(events->size(), 2u);
  const EventEnvelope& second = (*events)[1].envelope;
  EXPECT_EQ(second.position, (Position{"visits", 5, 17}));
  EXPECT_EQ(second.index, 1u);
  EXPECT_EQ(second.version, 5u);
  EXPECT_EQ(second.event_id, Id(11));
  EXPECT_EQ(second.stream, (StreamId{"visit", Id(2)}));
  EXPECT_EQ(second.recorded_at, absl::FromUnixSeconds(1'760'000'060) + absl::Microseconds(7));
  EXPECT_EQ(static_cast<const Value&>(*(*events)[0].event).string_value(), "planned");
  EXPECT_EQ(static_cast<const Value&>(*(*events)[1].event).string_value(), "checked in");
}

TEST(EventCodecTest, WhatHappenedWhenItWasRecordedHasOneTime) {
  log::v1::Record record = TwoEvents();
  EXPECT_EQ(Codec().Decode(record, 5, 17)->front().envelope.occurred_at,
            absl::FromUnixSeconds(1'760'000'000));
  record.clear_occurred_at();
  EXPECT_EQ(Codec().Decode(record, 5, 17)->front().envelope.occurred_at,
            absl::FromUnixSeconds(1'760'000'060) + absl::Microseconds(7));
}

TEST(EventCodecTest, CorrelationAndCausationFallBackToTheKey) {
  log::v1::Record record = TwoEvents();
  EXPECT_EQ((*Codec().Decode(record, 0, 1))[0].envelope.correlation_id, Id(4));
  EXPECT_EQ((*Codec().Decode(record, 0, 1))[0].envelope.causation_id, Id(4));
  record.set_correlation_id(Id(20).ToBytes());
  EXPECT_EQ((*Codec().Decode(record, 0, 1))[0].envelope.causation_id, Id(20));
  record.set_causation_id(Id(21).ToBytes());
  EXPECT_EQ((*Codec().Decode(record, 0, 1))[0].envelope.causation_id, Id(21));
}

TEST(EventCodecTest, AnUnknownCategoryIsOfANewerRelease) {
  log::v1::Record record = TwoEvents();
  record.set_category("claim");
  const absl::Status status = Codec().Decode(record, 5, 17).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(status.message().find("partition 5, sequence 17"), std::string::npos) << status;
}

TEST(EventCodecTest, AnUnknownCaseOfTheOneofIsOfANewerRelease) {
  log::v1::Record record = TwoEvents();
  // Field 99, varint 1: a case this release has never heard of.
  record.mutable_events(1)->set_payload(std::string("\x98\x06\x01", 3));
  EXPECT_EQ(Codec().Decode(record, 0, 1).status().code(), absl::StatusCode::kUnimplemented);
}

TEST(EventCodecTest, UnreadableEventsAreDataLoss) {
  log::v1::Record record = TwoEvents();
  record.mutable_events(0)->set_payload("\x1a\x7f");
  EXPECT_EQ(Codec().Decode(record, 0, 1).status().code(), absl::StatusCode::kDataLoss);
  record.mutable_events(0)->set_payload("");
  EXPECT_EQ(Codec().Decode(record, 0, 1).status().code(), absl::StatusCode::kDataLoss);
  record = TwoEvents();
  record.mutable_events(0)->set_event_id("short");
  EXPECT_EQ(Codec().Decode(record, 0, 1).status().code(), absl::StatusCode::kDataLoss);
}

TEST(EventCodecTest, ABodyThatIsNoRecordIsDataLoss) {
  eventlog::EntryView entry;
  entry.body = "\xff\xff";
  EXPECT_EQ(EventCodec::ParseRecord(entry).status().code(), absl::StatusCode::kDataLoss);
  const std::string body = TwoEvents().SerializeAsString();
  entry.body = body;
  EXPECT_TRUE(EventCodec::ParseRecord(entry).ok());
  entry.header.kind = eventlog::EntryKind::kEpoch;
  EXPECT_EQ(EventCodec::ParseRecord(entry).status().code(), absl::StatusCode::kDataLoss);
}

TEST(EventCodecTest, TheAnswerFollowsFromTheRecordAlone) {
  const auto receipt = AnswerOf(TwoEvents(), {"visits", 5, 17});
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_EQ(FromProto(receipt->position()), (Position{"visits", 5, 17}));
  EXPECT_EQ(receipt->stream(), "visit-01890000-0000-7000-8000-000000000002");
  EXPECT_EQ(receipt->version(), 5u);
  ASSERT_EQ(receipt->event_ids_size(), 2);
  EXPECT_EQ(receipt->event_ids(1), Id(11).ToString());
}

TEST(EventCodecTest, TheAnswerOfARefusalIsTheRefusal) {
  log::v1::Record record = TwoEvents();
  record.clear_events();
  record.mutable_refusal()->set_reason("VISIT_CANCELLED");
  record.mutable_refusal()->set_message("the visit was cancelled");
  EXPECT_TRUE(Codec().Decode(record, 0, 1)->empty());
  const absl::Status status = AnswerOf(record, {"visits", 5, 17}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(RefusalReason(status), "VISIT_CANCELLED");
  EXPECT_EQ(status.message(), "the visit was cancelled");
}

}  // namespace
}  // namespace buurtlog::eventsourcing
