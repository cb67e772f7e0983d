// Writes records straight into a memory log, without an executor: for tests of what follows a log.
// Events are google.protobuf.Value, whose oneof stands for a service's wrapper. Header only; for
// tests.
#pragma once

#include <google/protobuf/struct.pb.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/memory_event_log.h"
#include "libs/eventsourcing/event_codec.h"
#include "libs/eventsourcing/projection_runner.h"

namespace buurtlog::eventsourcing::testing {

using google::protobuf::Value;

inline Value TextEvent(const std::string& text) {
  Value value;
  value.set_string_value(text);
  return value;
}
inline Value NumberEvent(double number) {
  Value value;
  value.set_number_value(number);
  return value;
}
inline Value FlagEvent(bool flag) {
  Value value;
  value.set_bool_value(flag);
  return value;
}

inline Uuid TestUuid(std::string_view name) {
  return DerivedUuid(*ParseUuid("01890000-0000-7000-8000-000000000000"), name);
}

// One service's log with a codec that knows the categories it is given.
class LogWriter {
 public:
  LogWriter(std::string service, uint32_t partitions, SimulatedScheduler& scheduler,
            const std::vector<std::string>& categories = {"visit"})
      : scheduler_(scheduler), log_(Identity(service, partitions), scheduler), codec_(service) {
    for (const std::string& category : categories)
      codec_.Register(category, &Value::default_instance());
  }

  eventlog::MemoryEventLog& log() { return log_; }
  LogSource source() { return {&log_, &codec_}; }

  // Appends one record and runs the scheduler until it is durable; its place. Streams are named for
  // people: "a" of category "visit".
  Position Add(eventlog::Partition partition, const std::string& stream,
               const std::vector<Value>& events, const std::string& category = "visit") {
    auto [chain, first] = chains_.try_emplace(partition);
    if (first) Begin(partition, chain->second);
    eventlog::EntryHeader header;
    header.partition = partition;
    header.epoch = chain->second.epoch;
    header.sequence = chain->second.next;
    header.previous_hash = chain->second.head_hash;
    const std::string bytes =
        eventlog::EncodeEntry(header, Body(partition, stream, events, category, header.sequence));
    bool done = false;
    log_.Append(partition, header.epoch, {bytes}, [&](absl::Status status) {
      EXPECT_TRUE(status.ok()) << status;
      done = true;
    });
    EXPECT_TRUE(scheduler_.RunUntil([&] { return done; }));
    chain->second.next = header.sequence + 1;
    chain->second.head_hash = eventlog::EntryHash(header.previous_hash, bytes);
    return {codec_.service(), partition, header.sequence};
  }

 private:
  static eventlog::LogIdentity Identity(const std::string& service, uint32_t partitions) {
    eventlog::LogIdentity identity;
    identity.log_id = TestUuid(service);
    identity.service = service;
    identity.partitions = partitions;
    identity.synthetic = true;
    return identity;
  }

  void Begin(eventlog::Partition partition, eventlog::FoldState& chain) {
    bool done = false;
    log_.BeginEpoch(partition, "test", [&](absl::StatusOr<eventlog::FoldState> state) {
      ASSERT_TRUE(state.ok()) << state.status();
      chain = *state;
      done = true;
    });
    EXPECT_TRUE(scheduler_.RunUntil([&] { return done; }));
  }

  std::string Body(eventlog::Partition partition, const std::string& stream,
                   const std::vector<Value>& events, const std::string& category,
                   eventlog::Sequence sequence) {
    const std::string place = absl::StrCat(codec_.service(), "/", partition, "/", sequence);
    log::v1::Record record;
    record.set_partition_key(TestUuid(absl::StrCat("key", partition)).ToBytes());
    record.set_category(category);
    record.set_stream_id(TestUuid(stream).ToBytes());
    uint64_t& version = versions_[category + stream];
    record.set_first_version(version);
    version += events.size();
    record.set_idempotency_key(TestUuid(place).ToBytes());
    record.mutable_occurred_at()->set_seconds(1'760'000'000 + static_cast<int64_t>(sequence));
    record.mutable_recorded_at()->set_seconds(1'760'000'060 + static_cast<int64_t>(sequence));
    for (size_t i = 0; i < events.size(); ++i) {
      *record.add_events() = EventCodec::Encode(events[i], TestUuid(absl::StrCat(place, "/", i)));
    }
    return record.SerializeAsString();
  }

  SimulatedScheduler& scheduler_;
  eventlog::MemoryEventLog log_;
  EventCodec codec_;
  std::map<eventlog::Partition, eventlog::FoldState> chains_;
  std::map<std::string, uint64_t> versions_;
};

}  // namespace buurtlog::eventsourcing::testing
