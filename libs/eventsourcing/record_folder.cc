#include "libs/eventsourcing/record_folder.h"

#include <google/protobuf/arena.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/event_codec.h"

namespace buurtlog::eventsourcing {
namespace {

// Streams kept between chunks, so that a long replay parses few states anew. For each partition, so
// not more.
constexpr size_t kStreamsKeptMax = 4'096;

absl::Status At(const eventlog::EntryView& entry, absl::StatusCode code, absl::string_view what) {
  return absl::Status(code, absl::StrCat("partition ", entry.header.partition, ", sequence ",
                                         entry.header.sequence, ": ", what));
}

}  // namespace

struct RecordFolder::Stream {
  StreamKey key;
  uint64_t version = 0;
  std::unique_ptr<google::protobuf::Message> state;
  // The last change of this stream since TakeChanges; it alone carries the state.
  size_t last_change = 0;
  bool touched = false;
};

RecordFolder::RecordFolder(StateStore& store, std::vector<const AggregateType*> types,
                           eventlog::Partition partition)
    : store_(store), partition_(partition) {
  for (const AggregateType* type : types) {
    types_.emplace(type->category, type);
    events_.emplace(type, std::unique_ptr<google::protobuf::Message>(type->event->New()));
  }
}

RecordFolder::~RecordFolder() = default;

absl::StatusOr<RecordFolder::Stream*> RecordFolder::Find(const AggregateType& type, const Uuid& id,
                                                         uint64_t first_version) {
  std::unique_ptr<Stream>& stream = streams_[{&type, id}];
  if (stream != nullptr) return stream.get();
  stream = std::make_unique<Stream>();
  stream->key = {&type, id};
  stream->state.reset(type.state->New());
  // A stream that begins here needs no look into the store.
  if (first_version == 0) return stream.get();
  absl::StatusOr<StoredState> stored = store_.Load(partition_, {type.category, id});
  if (stored.ok() && !stream->state->ParseFromString(stored->state)) {
    stored = absl::DataLossError("a stored state that cannot be read");
  }
  if (!stored.ok()) {
    streams_.erase({&type, id});
    return stored.status();
  }
  stream->version = stored->version;
  return stream.get();
}

absl::Status RecordFolder::Fold(const eventlog::EntryView& entry) {
  if (entry.header.kind != eventlog::EntryKind::kRecord) return absl::OkStatus();
  ABSL_ASSIGN_OR_RETURN(const log::v1::Record record, EventCodec::ParseRecord(entry));
  const absl::StatusOr<Uuid> id = UuidFromBytes(record.stream_id());
  const absl::StatusOr<Uuid> key = UuidFromBytes(record.idempotency_key());
  const absl::StatusOr<Uuid> actor = UuidFromBytes(record.actor().person_id());
  if (!id.ok() || !key.ok() || !actor.ok()) {
    return At(entry, absl::StatusCode::kDataLoss, "an id of another length than 16");
  }
  const auto type = types_.find(record.category());
  if (type == types_.end()) {
    return At(entry, absl::StatusCode::kUnimplemented, "a category of a newer release");
  }

  StateChange change;
  change.sequence = entry.header.sequence;
  change.stream = {record.category(), *id};
  change.version = record.first_version() + static_cast<uint64_t>(record.events_size());
  change.command = {*key, *actor};
  if (!record.events().empty()) {
    ABSL_ASSIGN_OR_RETURN(Stream * stream, Find(*type->second, *id, record.first_version()));
    if (stream->version != record.first_version()) {
      return At(entry, absl::StatusCode::kDataLoss, "the record does not follow on its stream");
    }
    google::protobuf::Message& event = *events_[type->second];
    for (const log::v1::StoredEvent& stored : record.events()) {
      if (absl::Status status = EventCodec::ParseEvent(stored, event); !status.ok()) {
        return At(entry, status.code(), status.message());
      }
      type->second->evolve(*stream->state, event);
    }
    stream->version = change.version;
    stream->last_change = changes_.size();
    if (!std::exchange(stream->touched, true)) touched_.push_back(stream);
    change.state.emplace();
  }
  changes_.push_back(std::move(change));
  recorded_at_ = TimeOf(record.recorded_at());
  return absl::OkStatus();
}

std::vector<StateChange> RecordFolder::TakeChanges() {
  for (Stream* stream : touched_) {
    CHECK(stream->state->SerializeToString(&*changes_[stream->last_change].state));
    stream->touched = false;
  }
  touched_.clear();
  if (streams_.size() > kStreamsKeptMax) streams_.clear();
  return std::exchange(changes_, {});
}

absl::StatusOr<absl::Time> NewestRecordedAt(eventlog::LogReader& log, eventlog::Partition partition,
                                            const eventlog::FoldState& head) {
  absl::Time newest = absl::InfinitePast();
  // The newest entries may be epoch records, which have no such time; so look back ever further.
  for (uint64_t back = 4; newest == absl::InfinitePast(); back *= 4) {
    const eventlog::Sequence from = head.next > back ? head.next - back : 1;
    if (head.next == 1) break;
    ABSL_ASSIGN_OR_RETURN(eventlog::FoldState at, log.Seek(partition, from));
    while (at.next < head.next) {
      const eventlog::Sequence before = at.next;
      ABSL_RETURN_IF_ERROR(
          log.Read(partition, at, {}, [&](const eventlog::EntryView& entry) -> absl::Status {
            if (entry.header.kind != eventlog::EntryKind::kRecord) return absl::OkStatus();
            ABSL_ASSIGN_OR_RETURN(const log::v1::Record record, EventCodec::ParseRecord(entry));
            newest = TimeOf(record.recorded_at());
            return absl::OkStatus();
          }));
      if (at.next == before) break;
    }
    if (from == 1) break;
  }
  return newest;
}

void SetTime(absl::Time time, google::protobuf::Timestamp& proto) {
  const timespec parts = absl::ToTimespec(time);
  proto.set_seconds(parts.tv_sec);
  proto.set_nanos(static_cast<int32_t>(parts.tv_nsec));
}

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

}  // namespace buurtlog::eventsourcing
