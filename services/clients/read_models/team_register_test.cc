#include "services/clients/read_models/team_register.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_format.h"
#include "buurtlog/teams/v1/teams_events.pb.h"
#include "libs/eventsourcing/testing/history.h"

namespace buurtlog::clients {
namespace {

using eventsourcing::testing::History;
using eventsourcing::testing::HistoryStream;
using teams::v1::TeamEvent;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr absl::Time kMorning = absl::FromUnixSeconds(1'751'350'000);

Uuid Id(int number) { return *ParseUuid(absl::StrFormat("01890000-0000-7000-8000-%012d", number)); }
HistoryStream Team(int number) {
  return {.service = "teams", .category = "team", .id = Id(number), .partition_key = Id(number)};
}
std::string Formed(int team) {
  return absl::StrFormat(R"pb(team_formed { team_id: "%s" })pb", Id(team).ToString());
}
std::string Joined(int team, int person) {
  return absl::StrFormat(R"pb(member_joined { team_id: "%s" person_id: "%s" name: "Els" })pb",
                         Id(team).ToString(), Id(person).ToString());
}
std::string Ended(int team, int person) {
  return absl::StrFormat(R"pb(membership_ended { team_id: "%s" person_id: "%s" })pb",
                         Id(team).ToString(), Id(person).ToString());
}

History TwoTeams() {
  History history;
  history.Add<TeamEvent>(Team(1), kMorning, {Formed(1), Joined(1, 21), Joined(1, 22)});
  history.Add<TeamEvent>(Team(2), kMorning, {Formed(2), Joined(2, 23)});
  history.Add<TeamEvent>(Team(1), kMorning, {Ended(1, 22)});
  history.Add<TeamEvent>(Team(2), kMorning, {Joined(2, 22), Joined(2, 21)});
  return history;
}

TeamFacts FactsOf(const std::string& team_id, const std::string& nurse_id) {
  TeamRegister team_register;
  sqlite::Connection rows = TwoTeams().Fold(team_register);
  return *TeamRegister::Facts(rows, {.team_id = team_id, .nurse_id = nurse_id});
}

TEST(TeamRegisterTest, ATeamThatWasFormedIsThere) {
  EXPECT_TRUE(FactsOf(Id(2).ToString(), Id(99).ToString()).team_exists);
  EXPECT_FALSE(FactsOf(Id(3).ToString(), Id(99).ToString()).team_exists);
  EXPECT_FALSE(FactsOf("", "").team_exists);
}

TEST(TeamRegisterTest, ANurseIsInTheTeamsSheJoinedAndDidNotLeave) {
  EXPECT_THAT(FactsOf("", Id(21).ToString()).teams_of_nurse,
              ElementsAre(Id(1).ToString(), Id(2).ToString()));
  EXPECT_THAT(FactsOf("", Id(22).ToString()).teams_of_nurse, ElementsAre(Id(2).ToString()));
  EXPECT_THAT(FactsOf("", Id(99).ToString()).teams_of_nurse, IsEmpty());
}

TEST(TeamRegisterTest, AnyOrderOfPartitionsGivesTheSameRows) {
  TwoTeams().ExpectSameRowsInAnyOrder<TeamRegister>();
}

TEST(TeamRegisterTest, NoNameOfANurseIsKept) {
  TeamRegister team_register;
  for (const eventsourcing::ReadModelTable& table : team_register.spec().tables) {
    EXPECT_THAT(table.personal_columns, IsEmpty());
  }
}

}  // namespace
}  // namespace buurtlog::clients
