#include "services/teams/read_models/team_directory.h"

#include <algorithm>

#include "absl/time/time.h"
#include "buurtlog/teams/v1/teams_events.pb.h"
#include "libs/base/status_macros.h"

namespace buurtlog::teams {
namespace {

google::protobuf::Timestamp ToTimestamp(int64_t unix_micros) {
  constexpr int64_t kMicrosPerSecond = 1'000'000;
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(unix_micros / kMicrosPerSecond);
  timestamp.set_nanos(static_cast<int32_t>(unix_micros % kMicrosPerSecond) * 1000);
  return timestamp;
}

absl::Status SetVersion(const std::string& team_id, uint64_t version, sqlite::Connection& rows) {
  return rows.Cached("UPDATE team SET version = ?2 WHERE team_id = ?1")
      .Bind(1, team_id)
      .Bind(2, static_cast<int64_t>(version))
      .Run();
}

absl::Status Apply(const v1::TeamFormed& formed, const eventsourcing::EventEnvelope& envelope,
                   sqlite::Connection& rows) {
  return rows.Cached("INSERT INTO team VALUES (?, ?, ?, ?, ?)")
      .Bind(1, formed.team_id())
      .Bind(2, formed.organisation_id())
      .Bind(3, formed.name())
      .Bind(4, absl::ToUnixMicros(envelope.occurred_at))
      .Bind(5, static_cast<int64_t>(envelope.version))
      .Run();
}

absl::Status Apply(const v1::MemberJoined& joined, const eventsourcing::EventEnvelope& envelope,
                   sqlite::Connection& rows) {
  ABSL_RETURN_IF_ERROR(rows.Cached("INSERT INTO membership VALUES (?, ?, ?, ?, ?, ?)")
                           .Bind(1, joined.team_id())
                           .Bind(2, joined.person_id())
                           .Bind(3, joined.name())
                           .Bind(4, int64_t{joined.qualification()})
                           .Bind(5, absl::ToUnixMicros(envelope.occurred_at))
                           .Bind(6, static_cast<int64_t>(envelope.version))
                           .Run());
  return SetVersion(joined.team_id(), envelope.version, rows);
}

absl::Status Apply(const v1::MembershipEnded& ended, const eventsourcing::EventEnvelope& envelope,
                   sqlite::Connection& rows) {
  ABSL_RETURN_IF_ERROR(rows.Cached("DELETE FROM membership WHERE team_id = ? AND person_id = ?")
                           .Bind(1, ended.team_id())
                           .Bind(2, ended.person_id())
                           .Run());
  return SetVersion(ended.team_id(), envelope.version, rows);
}

}  // namespace

const eventsourcing::ReadModelSpec& TeamDirectory::spec() const {
  static const auto* const spec = new eventsourcing::ReadModelSpec{
      .name = "team_directory",
      .schema_version = 1,
      .services = {"teams"},
      .ddl = R"sql(
        CREATE TABLE team (
          team_id TEXT PRIMARY KEY, organisation_id TEXT NOT NULL, name TEXT NOT NULL,
          formed_at INTEGER NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE membership (
          team_id TEXT NOT NULL, person_id TEXT NOT NULL, name TEXT NOT NULL,
          qualification INTEGER NOT NULL, joined_at INTEGER NOT NULL,
          joined_version INTEGER NOT NULL, PRIMARY KEY (team_id, person_id)) WITHOUT ROWID;
      )sql",
      .tables = {
          {.name = "team",
           .columns = {"team_id", "organisation_id", "name", "formed_at", "version"},
           .personal_columns = {},
           .key = "team_id"},
          {.name = "membership",
           .columns = {"team_id", "person_id", "qualification", "joined_at", "joined_version"},
           .personal_columns = {"name"},
           .key = "team_id, person_id"}}};
  return *spec;
}

absl::Status TeamDirectory::Apply(const eventsourcing::EventEnvelope& envelope,
                                  const google::protobuf::Message& event,
                                  sqlite::Connection& rows) {
  if (envelope.stream.category != "team") return absl::OkStatus();
  const auto& team = static_cast<const v1::TeamEvent&>(event);
  switch (team.event_case()) {
    case v1::TeamEvent::kTeamFormed: return teams::Apply(team.team_formed(), envelope, rows);
    case v1::TeamEvent::kMemberJoined: return teams::Apply(team.member_joined(), envelope, rows);
    case v1::TeamEvent::kMembershipEnded:
      return teams::Apply(team.membership_ended(), envelope, rows);
    case v1::TeamEvent::EVENT_NOT_SET: break;
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Team> TeamDirectory::Find(sqlite::Connection& rows, const std::string& team_id) {
  auto& teams = rows.Cached(
      "SELECT team_id, organisation_id, name, formed_at, version FROM team WHERE team_id = ?");
  teams.Bind(1, team_id);
  ABSL_ASSIGN_OR_RETURN(const bool found, teams.Step());
  if (!found) return absl::NotFoundError("no such team");
  v1::Team team;
  team.set_team_id(std::string(teams.Text(0)));
  team.set_organisation_id(std::string(teams.Text(1)));
  team.set_name(std::string(teams.Text(2)));
  *team.mutable_formed_at() = ToTimestamp(teams.Int(3));
  team.set_version(static_cast<uint64_t>(teams.Int(4)));

  auto& members = rows.Cached(
      "SELECT person_id, name, qualification, joined_at FROM membership WHERE team_id = ? "
      "ORDER BY joined_version");
  members.Bind(1, team_id);
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool more, members.Step());
    if (!more) return team;
    v1::Member& member = *team.add_members();
    member.set_person_id(std::string(members.Text(0)));
    member.set_name(std::string(members.Text(1)));
    member.set_qualification(static_cast<v1::Qualification>(members.Int(2)));
    *member.mutable_joined_at() = ToTimestamp(members.Int(3));
  }
}

absl::StatusOr<v1::ListTeamsResponse> TeamDirectory::List(sqlite::Connection& rows,
                                                          const PageRequest& page) {
  const uint32_t size =
      std::min(page.size == 0 ? kTeamsPerPageDefault : page.size, kTeamsPerPageMax);
  auto& teams = rows.Cached(
      "SELECT team_id, organisation_id, name,"
      " (SELECT COUNT(*) FROM membership WHERE membership.team_id = team.team_id) "
      "FROM team WHERE team_id > ?1 AND (?2 = '' OR organisation_id = ?2) "
      "ORDER BY team_id LIMIT ?3");
  // One more than the page, to know whether there is a next one.
  teams.Bind(1, page.after_team_id).Bind(2, page.organisation_id).Bind(3, int64_t{size} + 1);
  v1::ListTeamsResponse response;
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool more, teams.Step());
    if (!more) return response;
    if (response.teams_size() == static_cast<int>(size)) {
      response.set_next_page_token(response.teams(response.teams_size() - 1).team_id());
      return response;
    }
    v1::TeamSummary& team = *response.add_teams();
    team.set_team_id(std::string(teams.Text(0)));
    team.set_organisation_id(std::string(teams.Text(1)));
    team.set_name(std::string(teams.Text(2)));
    team.set_members(static_cast<uint32_t>(teams.Int(3)));
  }
}

}  // namespace buurtlog::teams
