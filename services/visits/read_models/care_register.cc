#include "services/visits/read_models/care_register.h"

#include <utility>

#include "buurtlog/clients/v1/clients_events.pb.h"
#include "buurtlog/teams/v1/teams_events.pb.h"
#include "libs/base/status_macros.h"
#include "services/visits/read_models/columns.h"

namespace buurtlog::visits {
namespace {

using clients::v1::ClientEvent;
using eventsourcing::EventEnvelope;
using teams::v1::TeamEvent;

// Who comes back to a team has a row for each stay.
absl::Status Join(const EventEnvelope& envelope, const teams::v1::MemberJoined& joined,
                  sqlite::Connection& rows) {
  ABSL_ASSIGN_OR_RETURN(const std::string team, IdColumn(joined.team_id()));
  ABSL_ASSIGN_OR_RETURN(const std::string person, IdColumn(joined.person_id()));
  return rows
      .Cached(
          "INSERT INTO team_member(team_id, person_id, joined_at) VALUES(?1, ?2, ?3) "
          "ON CONFLICT(team_id, person_id, joined_at) DO UPDATE SET ended_at = NULL")
      .BindBlobView(1, team)
      .BindBlobView(2, person)
      .Bind(3, TimeColumn(envelope.occurred_at))
      .Run();
}

absl::Status Leave(const EventEnvelope& envelope, const teams::v1::MembershipEnded& ended,
                   sqlite::Connection& rows) {
  ABSL_ASSIGN_OR_RETURN(const std::string team, IdColumn(ended.team_id()));
  ABSL_ASSIGN_OR_RETURN(const std::string person, IdColumn(ended.person_id()));
  return rows
      .Cached(
          "UPDATE team_member SET ended_at = ?3 "
          "WHERE team_id = ?1 AND person_id = ?2 AND ended_at IS NULL")
      .BindBlobView(1, team)
      .BindBlobView(2, person)
      .Bind(3, TimeColumn(envelope.occurred_at))
      .Run();
}

absl::Status TakeIn(const EventEnvelope& envelope, const clients::v1::ClientTakenIn& taken_in,
                    sqlite::Connection& rows) {
  ABSL_ASSIGN_OR_RETURN(const std::string client, IdColumn(taken_in.client_id()));
  ABSL_ASSIGN_OR_RETURN(const std::string team, IdColumn(taken_in.team_id()));
  return rows
      .Cached(
          "INSERT INTO client(client_id, team_id, started_at) VALUES(?1, ?2, ?3) "
          "ON CONFLICT(client_id) DO UPDATE SET team_id = excluded.team_id, "
          "started_at = excluded.started_at, ended_at = NULL")
      .BindBlobView(1, client)
      .BindBlobView(2, team)
      .Bind(3, TimeColumn(envelope.occurred_at))
      .Run();
}

absl::Status EndCare(const EventEnvelope& envelope, const clients::v1::CareEnded& ended,
                     sqlite::Connection& rows) {
  ABSL_ASSIGN_OR_RETURN(const std::string client, IdColumn(ended.client_id()));
  return rows.Cached("UPDATE client SET ended_at = ?2 WHERE client_id = ?1")
      .BindBlobView(1, client)
      .Bind(2, TimeColumn(envelope.occurred_at))
      .Run();
}

absl::Status ApplyTeamEvent(const EventEnvelope& envelope, const TeamEvent& event,
                            sqlite::Connection& rows) {
  switch (event.event_case()) {
    case TeamEvent::kMemberJoined: return Join(envelope, event.member_joined(), rows);
    case TeamEvent::kMembershipEnded: return Leave(envelope, event.membership_ended(), rows);
    case TeamEvent::kTeamFormed:
    case TeamEvent::EVENT_NOT_SET: return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status ApplyClientEvent(const EventEnvelope& envelope, const ClientEvent& event,
                              sqlite::Connection& rows) {
  switch (event.event_case()) {
    case ClientEvent::kClientTakenIn: return TakeIn(envelope, event.client_taken_in(), rows);
    case ClientEvent::kCareEnded: return EndCare(envelope, event.care_ended(), rows);
    case ClientEvent::kResponsibleNurseNamed:
    case ClientEvent::kContactPersonNamed:
    case ClientEvent::kWishRecorded:
    case ClientEvent::kCareStarted:
    case ClientEvent::EVENT_NOT_SET: return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Time EndOf(const sqlite::Statement& row, int column) {
  return row.IsNull(column) ? absl::InfiniteFuture() : absl::FromUnixMicros(row.Int(column));
}

}  // namespace

const eventsourcing::ReadModelSpec& CareRegister::spec() const {
  static const auto* const kSpec = new eventsourcing::ReadModelSpec{
      "care_register",
      2,
      {"teams", "clients"},
      R"sql(
        CREATE TABLE team_member(team_id BLOB NOT NULL, person_id BLOB NOT NULL, joined_at INTEGER NOT NULL,
                                 ended_at INTEGER, PRIMARY KEY(team_id, person_id, joined_at)) WITHOUT ROWID;
        CREATE TABLE client(client_id BLOB PRIMARY KEY, team_id BLOB NOT NULL, started_at INTEGER NOT NULL,
                            ended_at INTEGER) WITHOUT ROWID;
      )sql",
      {{"team_member",
        {"team_id", "person_id", "joined_at", "ended_at"},
        {},
        "team_id, person_id, joined_at"},
       {"client", {"client_id", "team_id", "started_at", "ended_at"}, {}, "client_id"}}};
  return *kSpec;
}

absl::Status CareRegister::Apply(const EventEnvelope& envelope,
                                 const google::protobuf::Message& event, sqlite::Connection& rows) {
  if (envelope.stream.category == "team") {
    return ApplyTeamEvent(envelope, static_cast<const TeamEvent&>(event), rows);
  }
  if (envelope.stream.category == "client") {
    return ApplyClientEvent(envelope, static_cast<const ClientEvent&>(event), rows);
  }
  return absl::OkStatus();
}

absl::StatusOr<ClientFacts> FactsOf(sqlite::Connection& rows, const Uuid& client_id) {
  ClientFacts facts;
  const std::string client = client_id.ToBytes();
  sqlite::Statement& found =
      rows.Cached("SELECT team_id, started_at, ended_at FROM client WHERE client_id = ?1");
  found.BindBlob(1, client);
  ABSL_ASSIGN_OR_RETURN(const bool known, found.Step());
  if (!known) return facts;
  const std::string team(found.Blob(0));
  facts.team_id = IdText(team);
  facts.care_started_at = absl::FromUnixMicros(found.Int(1));
  facts.care_ended_at = EndOf(found, 2);
  found.Reset();  // an open row would keep the read transaction open
  sqlite::Statement& member =
      rows.Cached("SELECT person_id, joined_at, ended_at FROM team_member WHERE team_id = ?1");
  member.BindBlob(1, team);
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool more, member.Step());
    if (!more) return facts;
    facts.members.push_back(
        {IdText(member.Blob(0)), absl::FromUnixMicros(member.Int(1)), EndOf(member, 2)});
  }
}

}  // namespace buurtlog::visits
