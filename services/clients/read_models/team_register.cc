#include "services/clients/read_models/team_register.h"

#include "buurtlog/teams/v1/teams_events.pb.h"
#include "libs/base/status_macros.h"

namespace buurtlog::clients {

const eventsourcing::ReadModelSpec& TeamRegister::spec() const {
  static const auto* const spec = new eventsourcing::ReadModelSpec{
      .name = "team_register",
      .schema_version = 1,
      .services = {"teams"},
      .ddl = R"sql(
        CREATE TABLE team (team_id TEXT PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE member (
          person_id TEXT NOT NULL, team_id TEXT NOT NULL,
          PRIMARY KEY (person_id, team_id)) WITHOUT ROWID;
      )sql",
      .tables = {{.name = "team", .columns = {"team_id"}, .personal_columns = {}, .key = "team_id"},
                 {.name = "member",
                  .columns = {"person_id", "team_id"},
                  .personal_columns = {},
                  .key = "person_id, team_id"}}};
  return *spec;
}

absl::Status TeamRegister::Apply(const eventsourcing::EventEnvelope& envelope,
                                 const google::protobuf::Message& event, sqlite::Connection& rows) {
  if (envelope.stream.category != "team") return absl::OkStatus();
  using teams::v1::TeamEvent;
  const auto& team = static_cast<const TeamEvent&>(event);
  switch (team.event_case()) {
    case TeamEvent::kTeamFormed:
      return rows.Cached("INSERT INTO team VALUES (?)").Bind(1, team.team_formed().team_id()).Run();
    case TeamEvent::kMemberJoined:
      return rows.Cached("INSERT INTO member VALUES (?, ?)")
          .Bind(1, team.member_joined().person_id())
          .Bind(2, team.member_joined().team_id())
          .Run();
    case TeamEvent::kMembershipEnded:
      return rows.Cached("DELETE FROM member WHERE person_id = ? AND team_id = ?")
          .Bind(1, team.membership_ended().person_id())
          .Bind(2, team.membership_ended().team_id())
          .Run();
    case TeamEvent::EVENT_NOT_SET: break;
  }
  return absl::OkStatus();
}

absl::StatusOr<TeamFacts> TeamRegister::Facts(sqlite::Connection& rows, const Question& question) {
  TeamFacts facts;
  auto& team = rows.Cached("SELECT 1 FROM team WHERE team_id = ?").Bind(1, question.team_id);
  ABSL_ASSIGN_OR_RETURN(facts.team_exists, team.Step());
  auto& teams = rows.Cached("SELECT team_id FROM member WHERE person_id = ? ORDER BY team_id")
                    .Bind(1, question.nurse_id);
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool more, teams.Step());
    if (!more) return facts;
    facts.teams_of_nurse.emplace_back(teams.Text(0));
  }
}

}  // namespace buurtlog::clients
