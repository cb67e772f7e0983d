#include "services/visits/read_models/client_timeline.h"

#include <gtest/gtest.h>

#include "libs/base/refusal.h"
#include "services/visits/testing/visit_events.h"

namespace buurtlog::visits {
namespace {

using eventsourcing::testing::History;
using testing::Add;
using testing::TestId;
using testing::VisitFacts;

v1::GetClientTimelineResponse Timeline(const History& history, const TimelinePage& page) {
  ClientTimeline model;
  sqlite::Connection rows = history.Fold(model);
  const auto timeline = TimelineOf(rows, page);
  EXPECT_TRUE(timeline.ok()) << timeline.status();
  return timeline.value_or(v1::GetClientTimelineResponse());
}

TEST(ClientTimelineTest, AnEntrySaysWhatHappenedWhenAndByWhom) {
  History history;
  log::v1::Actor actor;
  actor.set_person_id(TestId(0xe0).ToBytes());
  actor.set_role(access::v1::ROLE_NURSE);
  history.By(actor);
  const VisitFacts facts;
  const Uuid event_id = Add(history, facts, testing::Planned(facts));
  const auto timeline = Timeline(history, {facts.client});
  ASSERT_EQ(timeline.entries_size(), 1);
  const v1::TimelineEntry& entry = timeline.entries(0);
  EXPECT_EQ(entry.position().service(), "visits");
  EXPECT_EQ(entry.position().sequence(), 1u);
  EXPECT_EQ(entry.event_id(), event_id.ToString());
  EXPECT_EQ(entry.visit_id(), facts.visit.ToString());
  EXPECT_EQ(entry.version(), 1u);
  EXPECT_EQ(entry.actor_id(), TestId(0xe0).ToString());
  EXPECT_EQ(entry.actor_role(), access::v1::ROLE_NURSE);
  EXPECT_EQ(entry.recorded_at().seconds(), absl::ToUnixSeconds(testing::kRecordedAt));
  EXPECT_EQ(entry.occurred_at().seconds(), absl::ToUnixSeconds(testing::kRecordedAt));
  EXPECT_FALSE(entry.has_device_time());
  EXPECT_EQ(entry.event().planned().nurse_id(), facts.nurse.ToString());
}

TEST(ClientTimelineTest, EveryEventOfAVisitIsAnEntryNewestFirst) {
  History history;
  VisitFacts facts;
  facts.report = "all well";
  Add(history, facts, testing::Planned(facts));
  Add(history, facts, testing::Realised(facts));
  const Uuid wrong = facts.recording;
  facts.recording = TestId(0xb1);
  Add(history, facts, testing::Corrected(facts, wrong));
  Add(history, facts, testing::Withdrawn(facts, TestId(0xc1)));
  VisitFacts other;
  other.visit = TestId(0xa1);
  Add(history, other, testing::Cancelled(other));
  const auto timeline = Timeline(history, {facts.client});
  ASSERT_EQ(timeline.entries_size(), 5);
  EXPECT_TRUE(timeline.entries(0).event().has_cancelled());
  EXPECT_EQ(timeline.entries(0).visit_id(), other.visit.ToString());
  EXPECT_EQ(timeline.entries(1).event().withdrawn().to_client_id(), TestId(0xc1).ToString());
  EXPECT_EQ(timeline.entries(2).event().corrected().corrects_recording_id(), wrong.ToString());
  EXPECT_EQ(timeline.entries(3).event().realised().recording_id(), wrong.ToString());
  EXPECT_EQ(timeline.entries(3).event().realised().report(), "all well");
  EXPECT_TRUE(timeline.entries(4).event().has_planned());
}

TEST(ClientTimelineTest, AWithdrawnVisitDoesNotShowTheReportAboutSomebodyElse) {
  History history;
  VisitFacts facts;
  facts.report = "about another client";
  Add(history, facts, testing::Withdrawn(facts, TestId(0xc1)));
  const auto timeline = Timeline(history, {facts.client});
  ASSERT_EQ(timeline.entries_size(), 1);
  EXPECT_EQ(timeline.entries(0).event().withdrawn().report(), "");
}

TEST(ClientTimelineTest, PagesJoinWithoutGapOrOverlap) {
  History history;
  VisitFacts facts;
  for (uint64_t i = 0; i < 5; ++i) {
    facts.visit = TestId(0xa0 + i);
    Add(history, facts, testing::Planned(facts));
  }
  std::vector<std::string> seen;
  TimelinePage page = {facts.client, 2};
  for (int pages = 1; pages <= 3; ++pages) {
    const auto timeline = Timeline(history, page);
    for (const auto& entry : timeline.entries()) seen.push_back(entry.visit_id());
    page.token = timeline.next_page_token();
    EXPECT_EQ(page.token.empty(), pages == 3);
  }
  ASSERT_EQ(seen.size(), 5u);
  for (uint64_t i = 0; i < 5; ++i) EXPECT_EQ(seen[i], TestId(0xa4 - i).ToString());
}

TEST(ClientTimelineTest, ATokenOfSomethingElseIsRefused) {
  ClientTimeline model;
  sqlite::Connection rows = History().Fold(model);
  for (const char* token : {"x", "1", "1.", "1.2.3", ".1"}) {
    const auto timeline = TimelineOf(rows, {TestId(1), 1, token});
    EXPECT_EQ(StatusField(timeline.status()), "page_token") << token;
  }
}

TEST(ClientTimelineTest, AnyInterleavingGivesTheSameRows) {
  History history;
  testing::AddManyVisits(history);
  history.ExpectSameRowsInAnyOrder<ClientTimeline>();
}

}  // namespace
}  // namespace buurtlog::visits
