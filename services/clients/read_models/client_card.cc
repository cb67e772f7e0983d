#include "services/clients/read_models/client_card.h"

#include <algorithm>

#include "buurtlog/clients/v1/clients_events.pb.h"
#include "libs/base/status_macros.h"

namespace buurtlog::clients {
namespace {

using eventsourcing::EventEnvelope;

int64_t VersionOf(const EventEnvelope& envelope) { return static_cast<int64_t>(envelope.version); }

absl::Status Apply(const v1::ClientTakenIn& taken_in, const EventEnvelope& envelope,
                   sqlite::Connection& rows) {
  return rows
      .Cached(
          "INSERT INTO client VALUES (?, ?, '', ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', '', '', 0, ?)")
      .Bind(1, taken_in.client_id())
      .Bind(2, taken_in.team_id())
      .Bind(3, taken_in.bsn())
      .Bind(4, taken_in.given_name())
      .Bind(5, taken_in.family_name())
      .Bind(6, taken_in.birth_date())
      .Bind(7, taken_in.postcode())
      .Bind(8, taken_in.house_number())
      .Bind(9, taken_in.gp_agb())
      .Bind(10, int64_t{taken_in.identity_document_kind()})
      .Bind(11, int64_t{taken_in.identity_document_checked()})
      .Bind(12, VersionOf(envelope))
      .Run();
}

absl::Status Apply(const v1::ResponsibleNurseNamed& named, const EventEnvelope& envelope,
                   sqlite::Connection& rows) {
  return rows
      .Cached("UPDATE client SET responsible_nurse_id = ?2, version = ?3 WHERE client_id = ?1")
      .Bind(1, named.client_id())
      .Bind(2, named.nurse_id())
      .Bind(3, VersionOf(envelope))
      .Run();
}

absl::Status SetVersion(const std::string& client_id, const EventEnvelope& envelope,
                        sqlite::Connection& rows) {
  return rows.Cached("UPDATE client SET version = ?2 WHERE client_id = ?1")
      .Bind(1, client_id)
      .Bind(2, VersionOf(envelope))
      .Run();
}

absl::Status Apply(const v1::ContactPersonNamed& named, const EventEnvelope& envelope,
                   sqlite::Connection& rows) {
  ABSL_RETURN_IF_ERROR(rows.Cached("INSERT INTO contact_person VALUES (?, ?, ?, ?, ?, ?)")
                           .Bind(1, named.client_id())
                           .Bind(2, VersionOf(envelope))
                           .Bind(3, named.contact_person_id())
                           .Bind(4, named.name())
                           .Bind(5, named.relation())
                           .Bind(6, named.phone())
                           .Run());
  return SetVersion(named.client_id(), envelope, rows);
}

absl::Status Apply(const v1::WishRecorded& recorded, const EventEnvelope& envelope,
                   sqlite::Connection& rows) {
  ABSL_RETURN_IF_ERROR(rows.Cached("INSERT INTO wish VALUES (?, ?, ?, ?)")
                           .Bind(1, recorded.client_id())
                           .Bind(2, VersionOf(envelope))
                           .Bind(3, recorded.wish_id())
                           .Bind(4, recorded.wish())
                           .Run());
  return SetVersion(recorded.client_id(), envelope, rows);
}

absl::Status Apply(const v1::CareStarted& started, const EventEnvelope& envelope,
                   sqlite::Connection& rows) {
  return rows
      .Cached(
          "UPDATE client SET referrer_kind = ?2, referrer_agb = ?3, started_on = ?4, version = ?5 "
          "WHERE client_id = ?1")
      .Bind(1, started.client_id())
      .Bind(2, int64_t{started.referrer_kind()})
      .Bind(3, started.referrer_agb())
      .Bind(4, started.started_on())
      .Bind(5, VersionOf(envelope))
      .Run();
}

absl::Status Apply(const v1::CareEnded& ended, const EventEnvelope& envelope,
                   sqlite::Connection& rows) {
  return rows
      .Cached("UPDATE client SET ended_on = ?2, end_reason = ?3, version = ?4 WHERE client_id = ?1")
      .Bind(1, ended.client_id())
      .Bind(2, ended.ended_on())
      .Bind(3, int64_t{ended.reason()})
      .Bind(4, VersionOf(envelope))
      .Run();
}

std::string Text(const sqlite::Statement& row, int column) { return std::string(row.Text(column)); }

v1::Client ClientOf(const sqlite::Statement& row) {
  v1::Client client;
  client.set_client_id(Text(row, 0));
  client.set_team_id(Text(row, 1));
  client.set_responsible_nurse_id(Text(row, 2));
  client.set_bsn(Text(row, 3));
  client.set_given_name(Text(row, 4));
  client.set_family_name(Text(row, 5));
  client.set_birth_date(Text(row, 6));
  client.set_postcode(Text(row, 7));
  client.set_house_number(Text(row, 8));
  client.set_gp_agb(Text(row, 9));
  if (row.Int(10) != v1::IDENTITY_DOCUMENT_KIND_UNSPECIFIED) {
    client.mutable_identity_document()->set_kind(
        static_cast<v1::IdentityDocumentKind>(row.Int(10)));
    client.mutable_identity_document()->set_checked(row.Int(11) != 0);
  }
  client.mutable_referrer()->set_kind(static_cast<v1::ReferrerKind>(row.Int(12)));
  client.mutable_referrer()->set_organisation_agb(Text(row, 13));
  client.set_started_on(Text(row, 14));
  client.set_ended_on(Text(row, 15));
  client.set_end_reason(static_cast<v1::EndOfCareReason>(row.Int(16)));
  client.set_version(static_cast<uint64_t>(row.Int(17)));
  return client;
}

absl::Status AddContactPersons(sqlite::Connection& rows, v1::Client& client) {
  auto& persons = rows.Cached(
      "SELECT name, relation, phone FROM contact_person WHERE client_id = ? ORDER BY version");
  persons.Bind(1, client.client_id());
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool more, persons.Step());
    if (!more) return absl::OkStatus();
    v1::ContactPerson& person = *client.add_contact_persons();
    person.set_name(Text(persons, 0));
    person.set_relation(Text(persons, 1));
    person.set_phone(Text(persons, 2));
  }
}

absl::Status AddWishes(sqlite::Connection& rows, v1::Client& client) {
  auto& wishes = rows.Cached("SELECT wish FROM wish WHERE client_id = ? ORDER BY version");
  wishes.Bind(1, client.client_id());
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool more, wishes.Step());
    if (!more) return absl::OkStatus();
    client.add_wishes(Text(wishes, 0));
  }
}

constexpr char kDdl[] = R"sql(
  CREATE TABLE client (
    client_id TEXT PRIMARY KEY, team_id TEXT NOT NULL, responsible_nurse_id TEXT NOT NULL,
    bsn TEXT NOT NULL, given_name TEXT NOT NULL, family_name TEXT NOT NULL,
    birth_date TEXT NOT NULL, postcode TEXT NOT NULL, house_number TEXT NOT NULL,
    gp_agb TEXT NOT NULL, identity_document_kind INTEGER NOT NULL,
    identity_document_checked INTEGER NOT NULL, referrer_kind INTEGER NOT NULL,
    referrer_agb TEXT NOT NULL, started_on TEXT NOT NULL, ended_on TEXT NOT NULL,
    end_reason INTEGER NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX client_of_team ON client (team_id, client_id);
  CREATE TABLE contact_person (
    client_id TEXT NOT NULL, version INTEGER NOT NULL, contact_person_id TEXT NOT NULL,
    name TEXT NOT NULL, relation TEXT NOT NULL, phone TEXT NOT NULL,
    PRIMARY KEY (client_id, version)) WITHOUT ROWID;
  CREATE TABLE wish (
    client_id TEXT NOT NULL, version INTEGER NOT NULL, wish_id TEXT NOT NULL,
    wish TEXT NOT NULL, PRIMARY KEY (client_id, version)) WITHOUT ROWID;
)sql";

}  // namespace

const eventsourcing::ReadModelSpec& ClientCard::spec() const {
  static const auto* const spec = new eventsourcing::ReadModelSpec{
      .name = "client_card",
      .schema_version = 1,
      .services = {"clients"},
      .ddl = kDdl,
      .tables = {
          {.name = "client",
           .columns = {"client_id", "team_id", "responsible_nurse_id", "identity_document_kind",
                       "identity_document_checked", "referrer_kind", "referrer_agb", "started_on",
                       "ended_on", "end_reason", "version"},
           .personal_columns = {"bsn", "given_name", "family_name", "birth_date", "postcode",
                                "house_number", "gp_agb"},
           .key = "client_id"},
          {.name = "contact_person",
           .columns = {"client_id", "version", "contact_person_id"},
           .personal_columns = {"name", "relation", "phone"},
           .key = "client_id, version"},
          {.name = "wish",
           .columns = {"client_id", "version", "wish_id"},
           .personal_columns = {"wish"},
           .key = "client_id, version"}}};
  return *spec;
}

absl::Status ClientCard::Apply(const EventEnvelope& envelope,
                               const google::protobuf::Message& event, sqlite::Connection& rows) {
  if (envelope.stream.category != "client") return absl::OkStatus();
  const auto& client = static_cast<const v1::ClientEvent&>(event);
  switch (client.event_case()) {
    case v1::ClientEvent::kClientTakenIn:
      return clients::Apply(client.client_taken_in(), envelope, rows);
    case v1::ClientEvent::kResponsibleNurseNamed:
      return clients::Apply(client.responsible_nurse_named(), envelope, rows);
    case v1::ClientEvent::kContactPersonNamed:
      return clients::Apply(client.contact_person_named(), envelope, rows);
    case v1::ClientEvent::kWishRecorded:
      return clients::Apply(client.wish_recorded(), envelope, rows);
    case v1::ClientEvent::kCareStarted:
      return clients::Apply(client.care_started(), envelope, rows);
    case v1::ClientEvent::kCareEnded: return clients::Apply(client.care_ended(), envelope, rows);
    case v1::ClientEvent::EVENT_NOT_SET: break;
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Client> ClientCard::Find(sqlite::Connection& rows,
                                            const std::string& client_id) {
  auto& found = rows.Cached("SELECT * FROM client WHERE client_id = ?").Bind(1, client_id);
  ABSL_ASSIGN_OR_RETURN(const bool exists, found.Step());
  if (!exists) return absl::NotFoundError("no such client");
  v1::Client client = ClientOf(found);
  ABSL_RETURN_IF_ERROR(AddContactPersons(rows, client));
  ABSL_RETURN_IF_ERROR(AddWishes(rows, client));
  return client;
}

absl::StatusOr<v1::ListClientsOfTeamResponse> ClientCard::List(sqlite::Connection& rows,
                                                               const PageRequest& page) {
  const uint32_t size =
      std::min(page.size == 0 ? kClientsPerPageDefault : page.size, kClientsPerPageMax);
  auto& clients = rows.Cached(
      "SELECT client_id, given_name, family_name, responsible_nurse_id, ended_on <> '' "
      "FROM client WHERE team_id = ?1 AND client_id > ?2 AND (?3 OR ended_on = '') "
      "ORDER BY client_id LIMIT ?4");
  // One more than the page, to know whether there is a next one.
  clients.Bind(1, page.team_id)
      .Bind(2, page.after_client_id)
      .Bind(3, int64_t{page.include_ended})
      .Bind(4, int64_t{size} + 1);
  v1::ListClientsOfTeamResponse response;
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool more, clients.Step());
    if (!more) return response;
    if (response.clients_size() == static_cast<int>(size)) {
      response.set_next_page_token(response.clients(response.clients_size() - 1).client_id());
      return response;
    }
    v1::ClientSummary& client = *response.add_clients();
    client.set_client_id(Text(clients, 0));
    client.set_given_name(Text(clients, 1));
    client.set_family_name(Text(clients, 2));
    client.set_responsible_nurse_id(Text(clients, 3));
    client.set_ended(clients.Int(4) != 0);
  }
}

}  // namespace buurtlog::clients
