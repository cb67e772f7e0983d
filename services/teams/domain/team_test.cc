#include "services/teams/domain/team.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libs/eventsourcing/testing/scenario.h"

namespace buurtlog::teams {
namespace {

using eventsourcing::testing::Proto;
constexpr auto kDecide = [](const auto&... arguments) { return Decide(arguments...); };
using Scenario =
    eventsourcing::testing::Scenario<v1::TeamState, v1::TeamEvent, Evolve, decltype(kDecide)>;
using v1::AddMemberRequest;
using v1::EndMembershipRequest;
using v1::FormTeamRequest;

constexpr char kTeam[] = "01890000-0000-7000-8000-0000000000aa";
constexpr char kOrganisation[] = "01890000-0000-7000-8000-0000000000bb";

std::string Person(int number) { return absl::StrFormat("01890000-0000-7000-8000-%012d", number); }

std::string Formed() {
  return absl::StrFormat(R"pb(team_formed { team_id: "%s" organisation_id: "%s" name: "Oost" })pb",
                         kTeam, kOrganisation);
}
std::string Joined(int number) {
  return absl::StrFormat(R"pb(member_joined {
                                team_id: "%s"
                                person_id: "%s"
                                name: "Nurse %d"
                                qualification: QUALIFICATION_NURSE
                              })pb",
                         kTeam, Person(number), number);
}
std::string Ended(int number) {
  return absl::StrFormat(R"pb(membership_ended { team_id: "%s" person_id: "%s" })pb", kTeam,
                         Person(number));
}
std::vector<std::string> TeamOf(int members) {
  std::vector<std::string> events = {Formed()};
  for (int i = 1; i <= members; ++i) events.push_back(Joined(i));
  return events;
}

std::string NewMember(int number) {
  return absl::StrFormat(
      R"pb(person_id: "%s" name: "Nurse %d" qualification: QUALIFICATION_NURSE)pb", Person(number),
      number);
}
std::string Form(const std::string& team_id, int members) {
  std::string command = absl::StrFormat(
      R"pb(header { idempotency_key: "01890000-0000-7000-8000-000000000001" }
           team_id: "%s"
           organisation_id: "%s"
           name: "Oost")pb",
      team_id, kOrganisation);
  for (int i = 1; i <= members; ++i) absl::StrAppend(&command, " members {", NewMember(i), "}");
  return command;
}
std::string Add(int number) {
  return absl::StrFormat(R"pb(team_id: "%s" member { %s })pb", kTeam, NewMember(number));
}
std::string End(int number) {
  return absl::StrFormat(R"pb(team_id: "%s" person_id: "%s")pb", kTeam, Person(number));
}

TEST(TeamTest, ATeamIsFormedWithThoseWhoBeginIt) {
  Scenario().When<FormTeamRequest>(Form(kTeam, 2)).Then({Formed(), Joined(1), Joined(2)});
}

TEST(TeamTest, ATeamOfOneAndATeamOfTwelveAreFormed) {
  Scenario().When<FormTeamRequest>(Form(kTeam, 1)).Then(TeamOf(1));
  Scenario().When<FormTeamRequest>(Form(kTeam, 12)).Then(TeamOf(12));
}

TEST(TeamTest, FormingATeamOfThirteenIsRefused) {
  Scenario().When<FormTeamRequest>(Form(kTeam, 13)).ThenRefused("TEAM_FULL");
}

TEST(TeamTest, FormingATeamTwiceAlreadyExists) {
  Scenario()
      .Given(TeamOf(2))
      .When<FormTeamRequest>(Form(kTeam, 2))
      .ThenFails(absl::StatusCode::kAlreadyExists);
}

TEST(TeamTest, ATeamIsNotFormedWithSomebodyTwice) {
  Scenario()
      .When<FormTeamRequest>(Form(kTeam, 2) + " members {" + NewMember(1) + "}")
      .ThenFails(absl::StatusCode::kInvalidArgument, "members[2].person_id");
}

TEST(TeamTest, TheIdOfATeamFollowsFromTheKeyWhenNoneIsChosen) {
  const auto command = Proto<FormTeamRequest>(Form("", 1));
  const Uuid id = *TeamIdOf(command);
  EXPECT_EQ(id, *TeamIdOf(command));
  EXPECT_EQ(id, DerivedUuid(*ParseUuid("01890000-0000-7000-8000-000000000001"), "team"));
  const absl::StatusOr<Events> events = Decide(v1::TeamState(), command, CommandContext());
  ASSERT_TRUE(events.ok());
  EXPECT_EQ(events->front().team_formed().team_id(), id.ToString());
}

TEST(TeamTest, MalformedIdsAreNamed) {
  EXPECT_EQ(StatusField(TeamIdOf(Proto<FormTeamRequest>(Form("team-oost", 1))).status()),
            "team_id");
  EXPECT_EQ(StatusField(TeamIdOf(FormTeamRequest()).status()), "header.idempotency_key");
  Scenario()
      .When<FormTeamRequest>(R"pb(team_id: "01890000-0000-7000-8000-0000000000aa"
                                  organisation_id: "oost")pb")
      .ThenFails(absl::StatusCode::kInvalidArgument, "organisation_id");
  Scenario()
      .Given(TeamOf(1))
      .When<AddMemberRequest>(R"pb(team_id: "01890000-0000-7000-8000-0000000000aa"
                                   member { person_id: "els" })pb")
      .ThenFails(absl::StatusCode::kInvalidArgument, "member.person_id");
  Scenario()
      .Given(TeamOf(1))
      .When<EndMembershipRequest>(R"pb(team_id: "01890000-0000-7000-8000-0000000000aa"
                                       person_id: "els")pb")
      .ThenFails(absl::StatusCode::kInvalidArgument, "person_id");
}

TEST(TeamTest, SomebodyJoins) {
  Scenario().Given(TeamOf(2)).When<AddMemberRequest>(Add(3)).Then({Joined(3)});
}

TEST(TeamTest, TheTwelfthMemberJoins) {
  Scenario().Given(TeamOf(11)).When<AddMemberRequest>(Add(12)).Then({Joined(12)});
}

TEST(TeamTest, TheThirteenthMemberIsRefusedAndToldThatTheTeamCanSplit) {
  Scenario().Given(TeamOf(12)).When<AddMemberRequest>(Add(13)).ThenRefused("TEAM_FULL");

  v1::TeamState full;
  for (const std::string& event : TeamOf(12)) Evolve(full, Proto<v1::TeamEvent>(event));
  const auto refused = Decide(full, Proto<AddMemberRequest>(Add(13)), CommandContext());
  EXPECT_THAT(std::string(refused.status().message()), testing::HasSubstr("can split in two"));
}

TEST(TeamTest, SomebodyJoinsAfterAnotherLeft) {
  std::vector<std::string> events = TeamOf(12);
  events.push_back(Ended(4));
  Scenario().Given(events).When<AddMemberRequest>(Add(13)).Then({Joined(13)});
}

TEST(TeamTest, AMemberDoesNotJoinAgain) {
  Scenario().Given(TeamOf(2)).When<AddMemberRequest>(Add(2)).ThenRefused("ALREADY_MEMBER");
}

TEST(TeamTest, AMemberIsTheSameInCapitals) {
  Scenario()
      .Given(
          {Formed(), R"pb(member_joined { person_id: "01890000-0000-7000-8000-00000000000a" })pb"})
      .When<AddMemberRequest>(
          R"pb(team_id: "01890000-0000-7000-8000-0000000000AA"
               member { person_id: "01890000-0000-7000-8000-00000000000A" })pb")
      .ThenRefused("ALREADY_MEMBER");
}

TEST(TeamTest, WhoLeftJoinsAgain) {
  Scenario()
      .Given({Formed(), Joined(1), Joined(2), Ended(2)})
      .When<AddMemberRequest>(Add(2))
      .Then({Joined(2)});
}

TEST(TeamTest, NobodyJoinsATeamThatIsNotThere) {
  Scenario().When<AddMemberRequest>(Add(1)).ThenFails(absl::StatusCode::kNotFound);
}

TEST(TeamTest, SomebodyLeaves) {
  Scenario().Given(TeamOf(2)).When<EndMembershipRequest>(End(1)).Then({Ended(1)});
}

TEST(TeamTest, WhoIsNotInTheTeamCannotLeave) {
  Scenario().Given(TeamOf(2)).When<EndMembershipRequest>(End(3)).ThenRefused("NOT_A_MEMBER");
}

TEST(TeamTest, WhoLeftCannotLeaveAgain) {
  Scenario()
      .Given({Formed(), Joined(1), Joined(2), Ended(2)})
      .When<EndMembershipRequest>(End(2))
      .ThenRefused("NOT_A_MEMBER");
}

TEST(TeamTest, TheLastMemberStays) {
  Scenario().Given(TeamOf(1)).When<EndMembershipRequest>(End(1)).ThenRefused("LAST_MEMBER");
}

TEST(TeamTest, NobodyLeavesATeamThatIsNotThere) {
  Scenario().When<EndMembershipRequest>(End(1)).ThenFails(absl::StatusCode::kNotFound);
}

TEST(TeamTest, TheAggregateFoldsItsEvents) {
  const eventsourcing::AggregateType& type = TeamAggregate();
  EXPECT_EQ(type.category, "team");
  v1::TeamState state;
  for (const std::string& text : TeamOf(2)) type.evolve(state, Proto<v1::TeamEvent>(text));
  EXPECT_TRUE(state.formed());
  EXPECT_THAT(state.member_ids(), testing::ElementsAre(Person(1), Person(2)));
}

}  // namespace
}  // namespace buurtlog::teams
