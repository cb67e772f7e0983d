#include "services/visits/read_models/client_timeline.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "buurtlog/visits/v1/visits_events.pb.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "services/visits/read_models/columns.h"

namespace buurtlog::visits {
namespace {

using eventsourcing::EventEnvelope;
using v1::VisitEvent;

// A client's visits are all in one partition, so that sequence and index order them.
struct Place {
  int64_t sequence = std::numeric_limits<int64_t>::max();
  int64_t index = 0;
};

absl::StatusOr<Place> PlaceOf(const std::string& token) {
  Place place;
  if (token.empty()) return place;
  const std::pair<std::string, std::string> parts = absl::StrSplit(token, absl::MaxSplits('.', 1));
  if (!absl::SimpleAtoi(parts.first, &place.sequence) ||
      !absl::SimpleAtoi(parts.second, &place.index)) {
    return InvalidField("page_token", "is not a token of this timeline");
  }
  return place;
}

// A withdrawn event carries the report to the client who was really visited; it is not shown on the
// one who was not.
std::string PayloadOf(const VisitEvent& event) {
  if (!event.has_withdrawn()) return event.SerializeAsString();
  VisitEvent shown = event;
  shown.mutable_withdrawn()->clear_report();
  return shown.SerializeAsString();
}

absl::Status Fill(const sqlite::Statement& row, v1::TimelineEntry& entry) {
  entry.mutable_position()->set_service("visits");
  entry.mutable_position()->set_partition(static_cast<uint32_t>(row.Int(0)));
  entry.mutable_position()->set_sequence(static_cast<uint64_t>(row.Int(1)));
  entry.set_event_id(IdText(row.Blob(3)));
  entry.set_visit_id(IdText(row.Blob(4)));
  entry.set_version(static_cast<uint64_t>(row.Int(5)));
  entry.set_actor_id(IdText(row.Blob(6)));
  entry.set_actor_role(static_cast<access::v1::Role>(row.Int(7)));
  *entry.mutable_occurred_at() = ToTimestamp(row.Int(8));
  *entry.mutable_recorded_at() = ToTimestamp(row.Int(9));
  if (!row.IsNull(10)) *entry.mutable_device_time() = ToTimestamp(row.Int(10));
  const std::string_view payload = row.Blob(11);
  if (!entry.mutable_event()->ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return absl::DataLossError("an event of the timeline cannot be read");
  }
  return absl::OkStatus();
}

}  // namespace

const eventsourcing::ReadModelSpec& ClientTimeline::spec() const {
  static const auto* const kSpec = new eventsourcing::ReadModelSpec{
      "client_timeline",
      1,
      {"visits"},
      R"sql(
        CREATE TABLE entry(client_id BLOB NOT NULL, sequence INTEGER NOT NULL, event_index INTEGER NOT NULL,
                           partition INTEGER NOT NULL, event_id BLOB NOT NULL, visit_id BLOB NOT NULL,
                           version INTEGER NOT NULL, actor_id BLOB, actor_role INTEGER NOT NULL,
                           occurred_at INTEGER NOT NULL, recorded_at INTEGER NOT NULL, device_time INTEGER,
                           event BLOB NOT NULL, PRIMARY KEY(client_id, sequence, event_index)) WITHOUT ROWID;
      )sql",
      {{"entry",
        {"client_id", "sequence", "event_index", "partition", "event_id", "visit_id", "version",
         "actor_id", "actor_role", "occurred_at", "recorded_at", "device_time"},
        {"event"},
        "client_id, sequence, event_index"}}};
  return *kSpec;
}

absl::Status ClientTimeline::Apply(const EventEnvelope& envelope,
                                   const google::protobuf::Message& event,
                                   sqlite::Connection& rows) {
  if (envelope.stream.category != "visit") return absl::OkStatus();
  const std::string payload = PayloadOf(static_cast<const VisitEvent&>(event));
  const std::string client = envelope.partition_key.ToBytes();
  const std::string event_id = envelope.event_id.ToBytes();
  const std::string visit = envelope.stream.id.ToBytes();
  const log::v1::Actor& actor = envelope.record->actor();
  sqlite::Statement& insert = rows.Cached(
      "INSERT INTO entry(client_id, sequence, event_index, partition, event_id, "
      "visit_id, version, actor_id, actor_role, occurred_at, recorded_at, device_time, "
      "event) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)");
  BindId(insert, 8, actor.person_id());
  if (envelope.record->has_device_time()) {
    insert.Bind(12, TimeColumn(envelope.record->device_time()));
  } else {
    insert.BindNull(12);
  }
  return insert.BindBlobView(1, client)
      .Bind(2, static_cast<int64_t>(envelope.position.sequence))
      .Bind(3, static_cast<int64_t>(envelope.index))
      .Bind(4, static_cast<int64_t>(envelope.position.partition))
      .BindBlobView(5, event_id)
      .BindBlobView(6, visit)
      .Bind(7, static_cast<int64_t>(envelope.version))
      .Bind(9, static_cast<int64_t>(actor.role()))
      .Bind(10, TimeColumn(envelope.occurred_at))
      .Bind(11, TimeColumn(envelope.recorded_at))
      .BindBlobView(13, payload)
      .Run();
}

absl::StatusOr<v1::GetClientTimelineResponse> TimelineOf(sqlite::Connection& rows,
                                                         const TimelinePage& page) {
  ABSL_ASSIGN_OR_RETURN(const Place before, PlaceOf(page.token));
  const uint32_t size =
      page.size == 0 ? kTimelinePageDefault : std::min(page.size, kTimelinePageMax);
  sqlite::Statement& row = rows.Cached(
      "SELECT partition, sequence, event_index, event_id, visit_id, version, actor_id, "
      "actor_role, occurred_at, recorded_at, device_time, event FROM entry "
      "WHERE client_id = ?1 AND (sequence, event_index) < (?2, ?3) "
      "ORDER BY sequence DESC, event_index DESC LIMIT ?4");
  row.BindBlob(1, page.client_id.ToBytes())
      .Bind(2, before.sequence)
      .Bind(3, before.index)
      .Bind(4, int64_t{size} + 1);  // one more tells whether there is another page
  v1::GetClientTimelineResponse response;
  std::string last;
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return response;
    if (response.entries_size() == static_cast<int>(size)) {
      response.set_next_page_token(last);
      row.Reset();
      return response;
    }
    ABSL_RETURN_IF_ERROR(Fill(row, *response.add_entries()));
    last = absl::StrCat(row.Int(1), ".", row.Int(2));
  }
}

}  // namespace buurtlog::visits
