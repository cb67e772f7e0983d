#include "services/teams/read_models/team_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_format.h"
#include "buurtlog/teams/v1/teams_events.pb.h"
#include "libs/eventsourcing/testing/history.h"

namespace buurtlog::teams {
namespace {

using eventsourcing::testing::History;
using eventsourcing::testing::HistoryStream;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Property;

const absl::Time kMorning =
    absl::FromCivil(absl::CivilMinute(2025, 7, 1, 6, 30), absl::UTCTimeZone());

Uuid Id(int number) { return *ParseUuid(absl::StrFormat("01890000-0000-7000-8000-%012d", number)); }

HistoryStream Team(int number) {
  return {.service = "teams", .category = "team", .id = Id(number), .partition_key = Id(number)};
}

std::string Formed(int team, int organisation) {
  return absl::StrFormat(
      R"pb(team_formed { team_id: "%s" organisation_id: "%s" name: "Team %d" })pb",
      Id(team).ToString(), Id(organisation).ToString(), team);
}
std::string Joined(int team, int person) {
  return absl::StrFormat(
      R"pb(member_joined {
             team_id: "%s"
             person_id: "%s"
             name: "Nurse %d"
             qualification: QUALIFICATION_CARER
           })pb",
      Id(team).ToString(), Id(person).ToString(), person);
}
std::string Ended(int team, int person) {
  return absl::StrFormat(R"pb(membership_ended { team_id: "%s" person_id: "%s" })pb",
                         Id(team).ToString(), Id(person).ToString());
}

History ThreeTeams() {
  History history;
  for (int team : {1, 2, 3}) {
    history.Add<v1::TeamEvent>(Team(team), kMorning,
                               {Formed(team, team < 3 ? 91 : 92), Joined(team, 20 + team)});
  }
  history.Add<v1::TeamEvent>(Team(1), kMorning + absl::Hours(1), {Joined(1, 31)});
  history.Add<v1::TeamEvent>(Team(2), kMorning + absl::Hours(2), {Joined(2, 31)});
  history.Add<v1::TeamEvent>(Team(1), kMorning + absl::Hours(3), {Ended(1, 21)});
  history.Add<v1::TeamEvent>(Team(1), kMorning + absl::Hours(4), {Joined(1, 21)});
  return history;
}

TEST(TeamDirectoryTest, ATeamStandsThereWithThoseWhoAreInItInTheOrderOfJoining) {
  TeamDirectory directory;
  sqlite::Connection rows = ThreeTeams().Fold(directory);
  const absl::StatusOr<v1::Team> team = TeamDirectory::Find(rows, Id(1).ToString());
  ASSERT_TRUE(team.ok()) << team.status();
  EXPECT_EQ(team->team_id(), Id(1).ToString());
  EXPECT_EQ(team->organisation_id(), Id(91).ToString());
  EXPECT_EQ(team->name(), "Team 1");
  EXPECT_EQ(team->formed_at().seconds(), absl::ToUnixSeconds(kMorning));
  EXPECT_EQ(team->version(), 5u);
  EXPECT_THAT(team->members(), ElementsAre(Property(&v1::Member::person_id, Id(31).ToString()),
                                           Property(&v1::Member::person_id, Id(21).ToString())));
  EXPECT_EQ(team->members(0).name(), "Nurse 31");
  EXPECT_EQ(team->members(0).qualification(), v1::QUALIFICATION_CARER);
  EXPECT_EQ(team->members(1).joined_at().seconds(), absl::ToUnixSeconds(kMorning + absl::Hours(4)));
}

TEST(TeamDirectoryTest, WhoLeftIsNotThereAnyMore) {
  History history;
  history.Add<v1::TeamEvent>(Team(1), kMorning,
                             {Formed(1, 91), Joined(1, 21), Joined(1, 22), Ended(1, 21)});
  TeamDirectory directory;
  sqlite::Connection rows = history.Fold(directory);
  EXPECT_THAT(TeamDirectory::Find(rows, Id(1).ToString())->members(),
              ElementsAre(Property(&v1::Member::person_id, Id(22).ToString())));
}

TEST(TeamDirectoryTest, AnUnknownTeamIsNotFound) {
  TeamDirectory directory;
  sqlite::Connection rows = ThreeTeams().Fold(directory);
  EXPECT_EQ(TeamDirectory::Find(rows, Id(4).ToString()).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(TeamDirectoryTest, TeamsAreListedPageByPage) {
  TeamDirectory directory;
  sqlite::Connection rows = ThreeTeams().Fold(directory);
  const auto first =
      TeamDirectory::List(rows, {.organisation_id = "", .after_team_id = "", .size = 2});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_THAT(first->teams(), ElementsAre(Property(&v1::TeamSummary::name, "Team 1"),
                                          Property(&v1::TeamSummary::name, "Team 2")));
  EXPECT_EQ(first->teams(0).members(), 2u);
  EXPECT_EQ(first->next_page_token(), Id(2).ToString());

  const auto second = TeamDirectory::List(
      rows, {.organisation_id = "", .after_team_id = first->next_page_token(), .size = 2});
  EXPECT_THAT(second->teams(), ElementsAre(Property(&v1::TeamSummary::name, "Team 3")));
  EXPECT_THAT(second->next_page_token(), IsEmpty());
}

TEST(TeamDirectoryTest, APageThatEndsWithTheLastTeamHasNoNext) {
  TeamDirectory directory;
  sqlite::Connection rows = ThreeTeams().Fold(directory);
  EXPECT_THAT(TeamDirectory::List(rows, {.organisation_id = "", .after_team_id = "", .size = 3})
                  ->next_page_token(),
              IsEmpty());
}

TEST(TeamDirectoryTest, TeamsOfOneOrganisationAreListed) {
  TeamDirectory directory;
  sqlite::Connection rows = ThreeTeams().Fold(directory);
  const auto page = TeamDirectory::List(
      rows, {.organisation_id = Id(92).ToString(), .after_team_id = "", .size = 0});
  EXPECT_THAT(page->teams(), ElementsAre(Property(&v1::TeamSummary::name, "Team 3")));
}

TEST(TeamDirectoryTest, AnyOrderOfPartitionsGivesTheSameRows) {
  ThreeTeams().ExpectSameRowsInAnyOrder<TeamDirectory>();
}

}  // namespace
}  // namespace buurtlog::teams
