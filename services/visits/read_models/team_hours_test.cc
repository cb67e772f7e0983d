#include "services/visits/read_models/team_hours.h"

#include <gtest/gtest.h>

#include "libs/base/care_day.h"
#include "libs/base/refusal.h"
#include "services/visits/testing/visit_events.h"

namespace buurtlog::visits {
namespace {

using eventsourcing::testing::History;
using testing::Add;
using testing::TestId;
using testing::VisitFacts;

v1::GetTeamHoursResponse Hours(const History& history) {
  TeamHours model;
  sqlite::Connection rows = history.Fold(model);
  const VisitFacts facts;
  const absl::CivilDay day = CareDay(facts.starts_at);
  const auto hours = HoursOf(rows, {facts.team, day, day});
  EXPECT_TRUE(hours.ok()) << hours.status();
  return hours.value_or(v1::GetTeamHoursResponse());
}

// One visit of 30 minutes, by another nurse than the default one.
VisitFacts OtherVisit() {
  VisitFacts facts;
  facts.visit = TestId(0xa1);
  facts.nurse = TestId(0xe1);
  return facts;
}

TEST(TeamHoursTest, RealisedVisitsCountByBasisAndPlannedOnesDoNot) {
  History history;
  VisitFacts facts;
  Add(history, facts, testing::Planned(facts));
  EXPECT_EQ(Hours(history).minutes(), 0u);
  Add(history, facts, testing::Realised(facts));
  facts.visit = TestId(0xa1);
  facts.starts_at += absl::Hours(1);
  facts.minutes = 55;
  facts.basis = v1::RECORDING_BASIS_DEVIATING;
  Add(history, facts, testing::Realised(facts));
  facts.visit = TestId(0xa2);
  facts.starts_at += absl::Hours(1);
  facts.minutes = 7;
  facts.basis = v1::RECORDING_BASIS_UNPLANNED;
  Add(history, facts, testing::Realised(facts));
  const auto hours = Hours(history);
  EXPECT_EQ(hours.visits(), 3u);
  EXPECT_EQ(hours.minutes(), 92u);
  EXPECT_EQ(hours.planned_minutes(), 30u);
  EXPECT_EQ(hours.deviating_minutes(), 55u);
  EXPECT_EQ(hours.unplanned_minutes(), 7u);
  EXPECT_EQ(hours.overlapping_minutes(), 0u);
}

TEST(TeamHoursTest, TwoNursesCountTwiceWithTheMark) {
  History history;
  VisitFacts facts;
  facts.second_nurse = TestId(0xe1).ToString();
  Add(history, facts, testing::Realised(facts));
  const auto hours = Hours(history);
  EXPECT_EQ(hours.minutes(), 60u);
  EXPECT_EQ(hours.second_nurse_minutes(), 30u);
  EXPECT_EQ(hours.planned_minutes(), 60u);
}

TEST(TeamHoursTest, VisitsToOneClientThatOverlapWithoutTheMarkCountOnce) {
  History history;
  const VisitFacts facts;
  VisitFacts other = OtherVisit();
  other.starts_at += absl::Minutes(10);
  other.basis = v1::RECORDING_BASIS_UNPLANNED;
  Add(history, facts, testing::Realised(facts));
  Add(history, other, testing::Realised(other));
  const auto hours = Hours(history);
  EXPECT_EQ(hours.visits(), 2u);
  EXPECT_EQ(hours.minutes(), 40u);
  EXPECT_EQ(hours.planned_minutes(), 30u);
  EXPECT_EQ(hours.unplanned_minutes(), 10u);
  EXPECT_EQ(hours.overlapping_minutes(), 20u);
}

TEST(TeamHoursTest, AVisitWithinAnotherAddsNothingAndOneAfterBothIsWhole) {
  History history;
  VisitFacts facts;
  facts.minutes = 60;
  VisitFacts within = OtherVisit();
  within.starts_at += absl::Minutes(10);
  VisitFacts after = OtherVisit();
  after.visit = TestId(0xa2);
  after.starts_at += absl::Minutes(60);
  Add(history, facts, testing::Realised(facts));
  Add(history, within, testing::Realised(within));
  Add(history, after, testing::Realised(after));
  EXPECT_EQ(Hours(history).minutes(), 90u);
}

TEST(TeamHoursTest, BothNursesRecordingAndOneMarkCountTwoNurses) {
  History history;
  VisitFacts facts;
  facts.second_nurse = TestId(0xe1).ToString();
  const VisitFacts other = OtherVisit();
  Add(history, facts, testing::Realised(facts));
  Add(history, other, testing::Realised(other));
  EXPECT_EQ(Hours(history).minutes(), 60u);
}

TEST(TeamHoursTest, VisitsToDifferentClientsNeverOverlap) {
  History history;
  const VisitFacts facts;
  VisitFacts other = OtherVisit();
  other.client = TestId(0xc1);
  Add(history, facts, testing::Realised(facts));
  Add(history, other, testing::Realised(other));
  EXPECT_EQ(Hours(history).minutes(), 60u);
}

TEST(TeamHoursTest, ACorrectionReplacesTheMinutesAndAWithdrawalTakesThemAway) {
  History history;
  VisitFacts facts;
  Add(history, facts, testing::Realised(facts));
  const Uuid wrong = facts.recording;
  facts.recording = TestId(0xb1);
  facts.minutes = 20;
  facts.basis = v1::RECORDING_BASIS_DEVIATING;
  Add(history, facts, testing::Corrected(facts, wrong));
  EXPECT_EQ(Hours(history).minutes(), 20u);
  EXPECT_EQ(Hours(history).deviating_minutes(), 20u);
  Add(history, facts, testing::Withdrawn(facts, TestId(0xc1)));
  EXPECT_EQ(Hours(history).minutes(), 0u);
  EXPECT_EQ(Hours(history).visits(), 0u);
}

TEST(TeamHoursTest, ACancelledVisitHasNoMinutes) {
  History history;
  const VisitFacts facts;
  Add(history, facts, testing::Planned(facts));
  Add(history, facts, testing::Cancelled(facts));
  EXPECT_EQ(Hours(history).minutes(), 0u);
}

TEST(TeamHoursTest, OtherTeamsAndOtherDaysDoNotCount) {
  History history;
  VisitFacts facts;
  facts.team = TestId(0x71);
  Add(history, facts, testing::Realised(facts));
  VisitFacts yesterday = OtherVisit();
  yesterday.starts_at -= absl::Hours(24);
  Add(history, yesterday, testing::Realised(yesterday));
  EXPECT_EQ(Hours(history).minutes(), 0u);
}

TEST(TeamHoursTest, APeriodThatIsNoneIsRefused) {
  TeamHours model;
  sqlite::Connection rows = History().Fold(model);
  const absl::CivilDay day(2026, 3, 1);
  EXPECT_EQ(StatusField(HoursOf(rows, {TestId(1), day, day - 1}).status()), "to_date");
  EXPECT_EQ(StatusField(HoursOf(rows, {TestId(1), day, day + 401}).status()), "to_date");
  EXPECT_TRUE(HoursOf(rows, {TestId(1), day, day + 400}).ok());
}

TEST(TeamHoursTest, AnyInterleavingGivesTheSameRows) {
  History history;
  testing::AddManyVisits(history);
  history.ExpectSameRowsInAnyOrder<TeamHours>();
}

}  // namespace
}  // namespace buurtlog::visits
