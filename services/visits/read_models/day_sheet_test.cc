#include "services/visits/read_models/day_sheet.h"

#include <gtest/gtest.h>

#include "buurtlog/clients/v1/clients_events.pb.h"
#include "libs/base/care_day.h"
#include "services/visits/testing/visit_events.h"

namespace buurtlog::visits {
namespace {

using eventsourcing::testing::History;
using testing::Add;
using testing::TestId;
using testing::VisitFacts;

void NameClient(History& history, const Uuid& client, const std::string& family_name) {
  clients::v1::ClientEvent event;
  event.mutable_client_taken_in()->set_client_id(client.ToString());
  event.mutable_client_taken_in()->set_given_name("Jo");
  event.mutable_client_taken_in()->set_family_name(family_name);
  history.Add<clients::v1::ClientEvent>({"clients", "client", client, client}, testing::kRecordedAt,
                                        {event.ShortDebugString()});
}

// The sheet of the day of the default facts.
v1::GetDaySheetResponse SheetOf(const History& history, const Uuid& nurse) {
  DaySheet model;
  sqlite::Connection rows = history.Fold(model);
  const auto sheet = DaySheetOf(rows, nurse, CareDay(VisitFacts().starts_at));
  EXPECT_TRUE(sheet.ok()) << sheet.status();
  return sheet.value_or(v1::GetDaySheetResponse());
}

TEST(DaySheetTest, APlannedVisitIsOnItsNursesSheetWithTheClientsName) {
  History history;
  const VisitFacts facts;
  Add(history, facts, testing::Planned(facts));
  NameClient(history, facts.client, "Visser");
  const auto sheet = SheetOf(history, facts.nurse);
  ASSERT_EQ(sheet.visits_size(), 1);
  const v1::Visit& visit = sheet.visits(0);
  EXPECT_EQ(visit.visit_id(), facts.visit.ToString());
  EXPECT_EQ(visit.client_id(), facts.client.ToString());
  EXPECT_EQ(visit.client_name(), "Jo Visser");
  EXPECT_EQ(visit.nurse_id(), facts.nurse.ToString());
  EXPECT_EQ(visit.second_nurse_id(), "");
  EXPECT_EQ(visit.starts_at().seconds(), absl::ToUnixSeconds(facts.starts_at));
  EXPECT_EQ(visit.duration_minutes(), 30u);
  EXPECT_EQ(visit.stage(), v1::VISIT_STAGE_PLANNED);
  EXPECT_EQ(visit.recording_id(), "");
  EXPECT_EQ(visit.version(), 1u);
}

TEST(DaySheetTest, ARealisedVisitShowsWhatWasRecorded) {
  History history;
  VisitFacts facts;
  Add(history, facts, testing::Planned(facts));
  facts.minutes = 55;
  facts.second_nurse = TestId(0xe1).ToString();
  facts.basis = v1::RECORDING_BASIS_DEVIATING;
  Add(history, facts, testing::Realised(facts));
  const auto sheet = SheetOf(history, facts.nurse);
  ASSERT_EQ(sheet.visits_size(), 1);
  EXPECT_EQ(sheet.visits(0).stage(), v1::VISIT_STAGE_REALISED);
  EXPECT_EQ(sheet.visits(0).duration_minutes(), 55u);
  EXPECT_EQ(sheet.visits(0).basis(), v1::RECORDING_BASIS_DEVIATING);
  EXPECT_EQ(sheet.visits(0).recording_id(), facts.recording.ToString());
  EXPECT_EQ(sheet.visits(0).version(), 2u);
  EXPECT_EQ(SheetOf(history, TestId(0xe1)).visits_size(), 1) << "the second nurse sees it too";
}

TEST(DaySheetTest, AVisitThatNobodyPlannedIsOnTheSheet) {
  History history;
  const VisitFacts facts;
  Add(history, facts, testing::Realised(facts));
  EXPECT_EQ(SheetOf(history, facts.nurse).visits_size(), 1);
}

TEST(DaySheetTest, ACorrectedVisitShowsWhatIsRight) {
  History history;
  VisitFacts facts;
  facts.second_nurse = TestId(0xe1).ToString();
  Add(history, facts, testing::Realised(facts));
  const Uuid wrong = facts.recording;
  facts.recording = TestId(0xb1);
  facts.second_nurse = "";
  facts.minutes = 20;
  Add(history, facts, testing::Corrected(facts, wrong));
  const auto sheet = SheetOf(history, facts.nurse);
  ASSERT_EQ(sheet.visits_size(), 1);
  EXPECT_EQ(sheet.visits(0).duration_minutes(), 20u);
  EXPECT_EQ(sheet.visits(0).recording_id(), facts.recording.ToString());
  EXPECT_EQ(sheet.visits(0).second_nurse_id(), "");
  EXPECT_EQ(SheetOf(history, TestId(0xe1)).visits_size(), 0);
}

TEST(DaySheetTest, ACancelledVisitStaysOnTheSheetAsCancelled) {
  History history;
  const VisitFacts facts;
  Add(history, facts, testing::Planned(facts));
  Add(history, facts, testing::Cancelled(facts));
  const auto sheet = SheetOf(history, facts.nurse);
  ASSERT_EQ(sheet.visits_size(), 1);
  EXPECT_EQ(sheet.visits(0).stage(), v1::VISIT_STAGE_CANCELLED);
}

TEST(DaySheetTest, AWithdrawnVisitLeavesTheSheetAndCanStillBeFound) {
  History history;
  const VisitFacts facts;
  Add(history, facts, testing::Realised(facts));
  Add(history, facts, testing::Withdrawn(facts, TestId(0xc1)));
  EXPECT_EQ(SheetOf(history, facts.nurse).visits_size(), 0);
  DaySheet model;
  sqlite::Connection rows = history.Fold(model);
  const auto visit = VisitOf(rows, {facts.client, facts.visit});
  ASSERT_TRUE(visit.ok()) << visit.status();
  EXPECT_EQ(visit->visit().stage(), v1::VISIT_STAGE_WITHDRAWN);
  EXPECT_EQ(VisitOf(rows, {TestId(1), facts.visit}).status().code(), absl::StatusCode::kNotFound);
}

TEST(DaySheetTest, TheSheetIsInOrderOfTimeAndOfOneDayInAmsterdam) {
  History history;
  VisitFacts facts;
  const absl::Time midnight = StartOfCareDay(CareDay(facts.starts_at));
  const absl::Time starts[] = {midnight + absl::Hours(12), midnight, midnight - absl::Seconds(1),
                               midnight + absl::Hours(24)};
  for (uint64_t i = 0; i < 4; ++i) {
    facts.visit = TestId(0xa0 + i);
    facts.starts_at = starts[i];
    Add(history, facts, testing::Planned(facts));
  }
  const auto sheet = SheetOf(history, facts.nurse);
  ASSERT_EQ(sheet.visits_size(), 2);
  EXPECT_EQ(sheet.visits(0).visit_id(), TestId(0xa1).ToString());
  EXPECT_EQ(sheet.visits(1).visit_id(), TestId(0xa0).ToString());
}

TEST(DaySheetTest, AnyInterleavingGivesTheSameRows) {
  History history;
  for (uint64_t i = 0; i < 7; ++i) NameClient(history, TestId(0x2000 + i), "Visser");
  testing::AddManyVisits(history);
  history.ExpectSameRowsInAnyOrder<DaySheet>();
}

}  // namespace
}  // namespace buurtlog::visits
