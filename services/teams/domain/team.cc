#include "services/teams/domain/team.h"

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/command_rule.h"

namespace buurtlog::teams {

using eventsourcing::MakeRule;

namespace {

absl::Status TeamFull() {
  return Refuse("TEAM_FULL",
                absl::StrCat("a team has at most ", kTeamMembersMax, " members; a team of ",
                             kTeamMembersMax, " can split in two"));
}

bool IsMember(const v1::TeamState& team, const std::string& person_id) {
  return std::find(team.member_ids().begin(), team.member_ids().end(), person_id) !=
         team.member_ids().end();
}

// Ids stand in the log in lower case; the form of a request allows both.
absl::StatusOr<std::string> Canonical(const std::string& field, const std::string& id) {
  const absl::StatusOr<Uuid> parsed = ParseUuid(id);
  if (!parsed.ok()) return InvalidField(field, "is not a UUID");
  return parsed->ToString();
}

v1::TeamEvent Joined(const std::string& team_id, const std::string& person_id,
                     const v1::NewMember& member) {
  v1::TeamEvent event;
  v1::MemberJoined& joined = *event.mutable_member_joined();
  joined.set_team_id(team_id);
  joined.set_person_id(person_id);
  joined.set_name(member.name());
  joined.set_qualification(member.qualification());
  return event;
}

}  // namespace

absl::StatusOr<Uuid> TeamIdOf(const v1::FormTeamRequest& command) {
  if (command.team_id().empty()) {
    const absl::StatusOr<Uuid> key = ParseUuid(command.header().idempotency_key());
    if (!key.ok()) return InvalidField("header.idempotency_key", "is not a UUID");
    return DerivedUuid(*key, "team");
  }
  absl::StatusOr<Uuid> id = ParseUuid(command.team_id());
  if (!id.ok()) return InvalidField("team_id", "is not a UUID");
  return id;
}

absl::StatusOr<Events> Decide(const v1::TeamState& team, const v1::FormTeamRequest& command,
                              const CommandContext&) {
  if (team.formed()) return absl::AlreadyExistsError("the team was formed before");
  if (command.members_size() > kTeamMembersMax) return TeamFull();
  ABSL_ASSIGN_OR_RETURN(const Uuid id, TeamIdOf(command));
  const std::string team_id = id.ToString();

  Events events(1);
  v1::TeamFormed& formed = *events.front().mutable_team_formed();
  formed.set_team_id(team_id);
  ABSL_ASSIGN_OR_RETURN(*formed.mutable_organisation_id(),
                        Canonical("organisation_id", command.organisation_id()));
  formed.set_name(command.name());

  std::set<std::string> seen;
  for (int i = 0; i < command.members_size(); ++i) {
    const std::string field = absl::StrCat("members[", i, "].person_id");
    ABSL_ASSIGN_OR_RETURN(const std::string person_id,
                          Canonical(field, command.members(i).person_id()));
    if (!seen.insert(person_id).second) return InvalidField(field, "is in the list twice");
    events.push_back(Joined(team_id, person_id, command.members(i)));
  }
  return events;
}

absl::StatusOr<Events> Decide(const v1::TeamState& team, const v1::AddMemberRequest& command,
                              const CommandContext&) {
  if (!team.formed()) return absl::NotFoundError("no such team");
  ABSL_ASSIGN_OR_RETURN(const std::string team_id, Canonical("team_id", command.team_id()));
  ABSL_ASSIGN_OR_RETURN(const std::string person_id,
                        Canonical("member.person_id", command.member().person_id()));
  if (IsMember(team, person_id)) {
    return Refuse("ALREADY_MEMBER", "this person is in the team already");
  }
  if (team.member_ids_size() >= kTeamMembersMax) return TeamFull();
  return Events{Joined(team_id, person_id, command.member())};
}

absl::StatusOr<Events> Decide(const v1::TeamState& team, const v1::EndMembershipRequest& command,
                              const CommandContext&) {
  if (!team.formed()) return absl::NotFoundError("no such team");
  ABSL_ASSIGN_OR_RETURN(const std::string team_id, Canonical("team_id", command.team_id()));
  ABSL_ASSIGN_OR_RETURN(const std::string person_id, Canonical("person_id", command.person_id()));
  if (!IsMember(team, person_id)) {
    return Refuse("NOT_A_MEMBER", "this person is not in the team");
  }
  if (team.member_ids_size() == 1) {
    return Refuse("LAST_MEMBER", "nobody would be left in the team");
  }
  v1::TeamEvent event;
  event.mutable_membership_ended()->set_team_id(team_id);
  event.mutable_membership_ended()->set_person_id(person_id);
  return Events{event};
}

void Evolve(v1::TeamState& team, const v1::TeamEvent& event) {
  switch (event.event_case()) {
    case v1::TeamEvent::kTeamFormed: team.set_formed(true); break;
    case v1::TeamEvent::kMemberJoined:
      team.add_member_ids(event.member_joined().person_id());
      break;
    case v1::TeamEvent::kMembershipEnded: {
      auto& members = *team.mutable_member_ids();
      members.erase(
          std::remove(members.begin(), members.end(), event.membership_ended().person_id()),
          members.end());
      break;
    }
    case v1::TeamEvent::EVENT_NOT_SET: break;
  }
}

const eventsourcing::AggregateType& TeamAggregate() {
  static const auto* const type = new eventsourcing::AggregateType(
      eventsourcing::MakeAggregateType<v1::TeamState, v1::TeamEvent, Evolve>(
          "team", kEvolveVersion,
          {MakeRule<v1::TeamState, v1::TeamEvent, v1::FormTeamRequest, &Decide>(),
           MakeRule<v1::TeamState, v1::TeamEvent, v1::AddMemberRequest, &Decide>(),
           MakeRule<v1::TeamState, v1::TeamEvent, v1::EndMembershipRequest, &Decide>()}));
  return *type;
}

}  // namespace buurtlog::teams
