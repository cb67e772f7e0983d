// Between records of the log and events of the domain. Sealing of personal fields will come in
// here.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "buurtlog/log/v1/record.pb.h"
#include "buurtlog/type/v1/command.pb.h"
#include "libs/base/ids.h"
#include "libs/eventlog/record.h"

namespace buurtlog::eventsourcing {

// Release of the schema this software writes, kept with every event.
inline constexpr uint32_t kSchemaRelease = 1;
// Most events of one record.
inline constexpr size_t kEventsPerRecordMax = 256;

// `visit-<uuid>`.
struct StreamId {
  std::string category;
  Uuid id;
  std::string ToString() const;
  friend auto operator<=>(const StreamId&, const StreamId&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const StreamId& s) {
    return H::combine(std::move(h), s.category, s.id);
  }
};
// INVALID_ARGUMENT unless `<category>-<uuid>`.
absl::StatusOr<StreamId> ParseStreamId(std::string_view text);

struct Position {
  std::string service;
  eventlog::Partition partition = 0;
  eventlog::Sequence sequence = 0;
  friend auto operator<=>(const Position&, const Position&) = default;
};
type::v1::Position ToProto(const Position& position);
Position FromProto(const type::v1::Position& position);

// An event with everything round it. Views and references are valid during the call that hands it
// out.
struct EventEnvelope {
  Position position;
  size_t index = 0;  // of the event within its record
  StreamId stream;
  uint64_t version = 0;  // of the stream behind this event
  Uuid event_id;
  Uuid partition_key;
  Uuid correlation_id;
  Uuid causation_id;
  Uuid idempotency_key;
  absl::Time occurred_at;
  absl::Time recorded_at;
  const log::v1::Record* record = nullptr;
};

struct DecodedEvent {
  EventEnvelope envelope;
  std::unique_ptr<google::protobuf::Message> event;  // the wrapper message, with its oneof set
};

// Knows the wrapper message of each category of one service. Immutable once built; thread-safe.
class EventCodec {
 public:
  explicit EventCodec(std::string service) : service_(std::move(service)) {}
  const std::string& service() const { return service_; }
  void Register(std::string category, const google::protobuf::Message* wrapper);
  bool Knows(std::string_view category) const;

  // Encodes the wrapper message of one event. CHECKs that its oneof is set.
  static log::v1::StoredEvent Encode(const google::protobuf::Message& event, const Uuid& event_id);

  // Parses one event into a wrapper message of its category, whatever that held before.
  // UNIMPLEMENTED and DATA_LOSS as Decode.
  static absl::Status ParseEvent(const log::v1::StoredEvent& stored,
                                 google::protobuf::Message& event);

  // The record of an entry's body. DATA_LOSS when the body is no Record.
  static absl::StatusOr<log::v1::Record> ParseRecord(const eventlog::EntryView& entry);
  // The same, in the memory of a record that was read before.
  static absl::Status ParseRecord(const eventlog::EntryView& entry, log::v1::Record& record);
  // The events of a record, in order; none for a refusal. UNIMPLEMENTED when an event is of a newer
  // release: its category or the case of its oneof is not known here. DATA_LOSS when it cannot be
  // read at all. `record` outlives the result.
  absl::StatusOr<std::vector<DecodedEvent>> Decode(const log::v1::Record& record,
                                                   eventlog::Partition partition,
                                                   eventlog::Sequence sequence) const;
  // The same, in the memory of events that were decoded before. After an error they are of no use.
  absl::Status Decode(const log::v1::Record& record, eventlog::Partition partition,
                      eventlog::Sequence sequence, std::vector<DecodedEvent>& events) const;

 private:
  std::string service_;
  absl::flat_hash_map<std::string, const google::protobuf::Message*> wrappers_;
};

// When it happened: when the log took it, unless the record says otherwise.
const google::protobuf::Timestamp& OccurredAt(const log::v1::Record& record);

// The answer to the command that made this record, from the record alone: a receipt, or the
// recorded refusal as FAILED_PRECONDITION.
absl::StatusOr<type::v1::Receipt> AnswerOf(const log::v1::Record& record, const Position& position);

}  // namespace buurtlog::eventsourcing
