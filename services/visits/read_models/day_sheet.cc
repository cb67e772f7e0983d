#include "services/visits/read_models/day_sheet.h"

#include <string>

#include "buurtlog/clients/v1/clients_events.pb.h"
#include "buurtlog/visits/v1/visits_events.pb.h"
#include "libs/base/care_day.h"
#include "libs/base/status_macros.h"
#include "services/visits/read_models/columns.h"

namespace buurtlog::visits {
namespace {

using clients::v1::ClientEvent;
using eventsourcing::EventEnvelope;
using v1::VisitEvent;

constexpr char kSheet[] = R"sql(
  SELECT v.visit_id, v.client_id, c.name, v.nurse_id, v.second_nurse_id, v.starts_at,
         v.duration_minutes, v.stage, v.basis, v.recording_id, v.version
  FROM visit v LEFT JOIN client_name c ON c.client_id = v.client_id
  WHERE (v.nurse_id = ?1 OR v.second_nurse_id = ?1)
    AND v.starts_at >= ?2 AND v.starts_at < ?3 AND v.stage <> ?4
  ORDER BY v.starts_at, v.visit_id LIMIT ?5)sql";

constexpr char kVisit[] = R"sql(
  SELECT v.visit_id, v.client_id, c.name, v.nurse_id, v.second_nurse_id, v.starts_at,
         v.duration_minutes, v.stage, v.basis, v.recording_id, v.version
  FROM visit v LEFT JOIN client_name c ON c.client_id = v.client_id
  WHERE v.client_id = ?1 AND v.visit_id = ?2)sql";

absl::Status Plan(const EventEnvelope& envelope, const v1::VisitPlanned& planned,
                  sqlite::Connection& rows) {
  ABSL_ASSIGN_OR_RETURN(const std::string client, IdColumn(planned.client_id()));
  ABSL_ASSIGN_OR_RETURN(const std::string nurse, IdColumn(planned.nurse_id()));
  const std::string visit = envelope.stream.id.ToBytes();
  return rows
      .Cached(
          "INSERT INTO visit(client_id, visit_id, nurse_id, starts_at, duration_minutes, "
          "stage, basis, version) VALUES(?1, ?2, ?3, ?4, ?5, ?6, 0, ?7)")
      .BindBlobView(1, client)
      .BindBlobView(2, visit)
      .BindBlobView(3, nurse)
      .Bind(4, TimeColumn(planned.starts_at()))
      .Bind(5, int64_t{planned.duration_minutes()})
      .Bind(6, int64_t{v1::VISIT_STAGE_PLANNED})
      .Bind(7, static_cast<int64_t>(envelope.version))
      .Run();
}

absl::Status Realise(const EventEnvelope& envelope, const v1::VisitRealised& realised,
                     sqlite::Connection& rows) {
  ABSL_ASSIGN_OR_RETURN(const std::string client, IdColumn(realised.client_id()));
  ABSL_ASSIGN_OR_RETURN(const std::string nurse, IdColumn(realised.nurse_id()));
  ABSL_ASSIGN_OR_RETURN(const std::string second, IdColumn(realised.second_nurse_id()));
  ABSL_ASSIGN_OR_RETURN(const std::string recording, IdColumn(realised.recording_id()));
  const std::string visit = envelope.stream.id.ToBytes();
  sqlite::Statement& upsert = rows.Cached(
      "INSERT INTO visit(client_id, visit_id, nurse_id, second_nurse_id, starts_at, "
      "duration_minutes, stage, basis, recording_id, version) "
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) "
      "ON CONFLICT(client_id, visit_id) DO UPDATE SET "
      "second_nurse_id = excluded.second_nurse_id, starts_at = excluded.starts_at, "
      "duration_minutes = excluded.duration_minutes, stage = excluded.stage, "
      "basis = excluded.basis, recording_id = excluded.recording_id, "
      "version = excluded.version");
  BindId(upsert, 4, second);
  return upsert.BindBlobView(1, client)
      .BindBlobView(2, visit)
      .BindBlobView(3, nurse)
      .Bind(5, TimeColumn(realised.starts_at()))
      .Bind(6, int64_t{realised.duration_minutes()})
      .Bind(7, int64_t{v1::VISIT_STAGE_REALISED})
      .Bind(8, int64_t{realised.basis()})
      .BindBlobView(9, recording)
      .Bind(10, static_cast<int64_t>(envelope.version))
      .Run();
}

absl::Status Correct(const EventEnvelope& envelope, const v1::VisitCorrected& corrected,
                     sqlite::Connection& rows) {
  ABSL_ASSIGN_OR_RETURN(const std::string client, IdColumn(corrected.client_id()));
  ABSL_ASSIGN_OR_RETURN(const std::string second, IdColumn(corrected.second_nurse_id()));
  ABSL_ASSIGN_OR_RETURN(const std::string recording, IdColumn(corrected.recording_id()));
  const std::string visit = envelope.stream.id.ToBytes();
  sqlite::Statement& update = rows.Cached(
      "UPDATE visit SET second_nurse_id = ?3, starts_at = ?4, duration_minutes = ?5, "
      "basis = ?6, recording_id = ?7, version = ?8 "
      "WHERE client_id = ?1 AND visit_id = ?2");
  BindId(update, 3, second);
  return update.BindBlobView(1, client)
      .BindBlobView(2, visit)
      .Bind(4, TimeColumn(corrected.starts_at()))
      .Bind(5, int64_t{corrected.duration_minutes()})
      .Bind(6, int64_t{corrected.basis()})
      .BindBlobView(7, recording)
      .Bind(8, static_cast<int64_t>(envelope.version))
      .Run();
}

absl::Status SetStage(const EventEnvelope& envelope, v1::VisitStage stage,
                      sqlite::Connection& rows) {
  const std::string client = envelope.partition_key.ToBytes();
  const std::string visit = envelope.stream.id.ToBytes();
  return rows
      .Cached("UPDATE visit SET stage = ?3, version = ?4 WHERE client_id = ?1 AND visit_id = ?2")
      .BindBlobView(1, client)
      .BindBlobView(2, visit)
      .Bind(3, int64_t{stage})
      .Bind(4, static_cast<int64_t>(envelope.version))
      .Run();
}

absl::Status ApplyVisitEvent(const EventEnvelope& envelope, const VisitEvent& event,
                             sqlite::Connection& rows) {
  switch (event.event_case()) {
    case VisitEvent::kPlanned: return Plan(envelope, event.planned(), rows);
    case VisitEvent::kRealised: return Realise(envelope, event.realised(), rows);
    case VisitEvent::kCorrected: return Correct(envelope, event.corrected(), rows);
    case VisitEvent::kWithdrawn: return SetStage(envelope, v1::VISIT_STAGE_WITHDRAWN, rows);
    case VisitEvent::kCancelled: return SetStage(envelope, v1::VISIT_STAGE_CANCELLED, rows);
    case VisitEvent::EVENT_NOT_SET: return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status NameClient(const clients::v1::ClientTakenIn& taken_in, sqlite::Connection& rows) {
  ABSL_ASSIGN_OR_RETURN(const std::string client, IdColumn(taken_in.client_id()));
  return rows
      .Cached(
          "INSERT INTO client_name(client_id, name) VALUES(?1, ?2) "
          "ON CONFLICT(client_id) DO UPDATE SET name = excluded.name")
      .BindBlobView(1, client)
      .Bind(2, taken_in.given_name() + " " + taken_in.family_name())
      .Run();
}

void Fill(const sqlite::Statement& row, v1::Visit& visit) {
  visit.set_visit_id(IdText(row.Blob(0)));
  visit.set_client_id(IdText(row.Blob(1)));
  visit.set_client_name(std::string(row.Text(2)));
  visit.set_nurse_id(IdText(row.Blob(3)));
  visit.set_second_nurse_id(IdText(row.Blob(4)));
  *visit.mutable_starts_at() = ToTimestamp(row.Int(5));
  visit.set_duration_minutes(static_cast<uint32_t>(row.Int(6)));
  visit.set_stage(static_cast<v1::VisitStage>(row.Int(7)));
  visit.set_basis(static_cast<v1::RecordingBasis>(row.Int(8)));
  visit.set_recording_id(IdText(row.Blob(9)));
  visit.set_version(static_cast<uint64_t>(row.Int(10)));
}

}  // namespace

const eventsourcing::ReadModelSpec& DaySheet::spec() const {
  static const auto* const kSpec = new eventsourcing::ReadModelSpec{
      "day_sheet",
      1,
      {"visits", "clients"},
      R"sql(
        CREATE TABLE visit(client_id BLOB NOT NULL, visit_id BLOB NOT NULL, nurse_id BLOB NOT NULL,
                           second_nurse_id BLOB, starts_at INTEGER NOT NULL, duration_minutes INTEGER NOT NULL,
                           stage INTEGER NOT NULL, basis INTEGER NOT NULL, recording_id BLOB,
                           version INTEGER NOT NULL, PRIMARY KEY(client_id, visit_id)) WITHOUT ROWID;
        CREATE TABLE client_name(client_id BLOB PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
      )sql",
      {{"visit",
        {"client_id", "visit_id", "nurse_id", "second_nurse_id", "starts_at", "duration_minutes",
         "stage", "basis", "recording_id", "version"},
        {},
        "client_id, visit_id"},
       {"client_name", {"client_id"}, {"name"}, "client_id"}},
      R"sql(
        CREATE INDEX visit_by_nurse ON visit(nurse_id, starts_at);
        CREATE INDEX visit_by_second_nurse ON visit(second_nurse_id, starts_at) WHERE second_nurse_id IS NOT NULL;
      )sql"};
  return *kSpec;
}

absl::Status DaySheet::Apply(const EventEnvelope& envelope, const google::protobuf::Message& event,
                             sqlite::Connection& rows) {
  if (envelope.stream.category == "visit") {
    return ApplyVisitEvent(envelope, static_cast<const VisitEvent&>(event), rows);
  }
  if (envelope.stream.category != "client") return absl::OkStatus();
  const auto& client = static_cast<const ClientEvent&>(event);
  return client.has_client_taken_in() ? NameClient(client.client_taken_in(), rows)
                                      : absl::OkStatus();
}

absl::StatusOr<v1::GetDaySheetResponse> DaySheetOf(sqlite::Connection& rows, const Uuid& nurse_id,
                                                   absl::CivilDay day) {
  v1::GetDaySheetResponse sheet;
  sqlite::Statement& row = rows.Cached(kSheet);
  row.BindBlob(1, nurse_id.ToBytes())
      .Bind(2, TimeColumn(StartOfCareDay(day)))
      .Bind(3, TimeColumn(StartOfCareDay(day + 1)))
      .Bind(4, int64_t{v1::VISIT_STAGE_WITHDRAWN})
      .Bind(5, int64_t{kVisitsPerSheetMax});
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return sheet;
    Fill(row, *sheet.add_visits());
  }
}

absl::StatusOr<v1::GetVisitResponse> VisitOf(sqlite::Connection& rows, const VisitKey& key) {
  v1::GetVisitResponse response;
  sqlite::Statement& row = rows.Cached(kVisit);
  row.BindBlob(1, key.client_id.ToBytes()).BindBlob(2, key.visit_id.ToBytes());
  ABSL_ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::NotFoundError("no such visit");
  Fill(row, *response.mutable_visit());
  row.Reset();  // an open row would keep the read transaction open
  return response;
}

}  // namespace buurtlog::visits
