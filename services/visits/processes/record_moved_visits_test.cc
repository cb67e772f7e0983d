#include "services/visits/processes/record_moved_visits.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "buurtlog/visits/v1/visits_events.pb.h"
#include "buurtlog/visits/v1/visits_state.pb.h"
#include "libs/eventsourcing/testing/scenario.h"
#include "services/visits/testing/visit_events.h"

namespace buurtlog::visits {
namespace {

using eventsourcing::Command;
using eventsourcing::testing::Proto;
using testing::TestId;

constexpr char kWithdrawn[] = R"pb(
  withdrawn {
    visit_id: "01890000-0000-7000-8000-000000000001"
    client_id: "01890000-0000-7000-8000-000000000002"
    corrects_recording_id: "01890000-0000-7000-8000-000000000003"
    to_client_id: "01890000-0000-7000-8000-000000000004"
    to_team_id: "01890000-0000-7000-8000-000000000005"
    to_visit_id: "01890000-0000-7000-8000-000000000006"
    nurse_id: "01890000-0000-7000-8000-000000000007"
    second_nurse_id: "01890000-0000-7000-8000-000000000008"
    starts_at { seconds: 1759990000 }
    duration_minutes: 45
    basis: RECORDING_BASIS_DEVIATING
    report: "r"
  })pb";

std::vector<Command> ReactTo(const std::string& text) {
  eventsourcing::EventEnvelope envelope;
  envelope.stream = {"visit", TestId(1)};
  return RecordMovedVisits().React(envelope, Proto<v1::VisitEvent>(text));
}

TEST(RecordMovedVisitsTest, AWithdrawnVisitIsRecordedOnTheRightClient) {
  const std::vector<Command> commands = ReactTo(kWithdrawn);
  ASSERT_EQ(commands.size(), 1u);
  EXPECT_EQ(commands[0].partition_key, TestId(4));
  EXPECT_EQ(commands[0].stream_id, TestId(6));
  EXPECT_EQ(commands[0].type->category, "visit");

  eventsourcing::CommandContext context;
  context.command_id = TestId(9);
  const auto events = commands[0].decide(v1::VisitState(), context);
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_EQ(events->size(), 1u);
  auto expected = Proto<v1::VisitEvent>(R"pb(
    realised {
      visit_id: "01890000-0000-7000-8000-000000000006"
      client_id: "01890000-0000-7000-8000-000000000004"
      team_id: "01890000-0000-7000-8000-000000000005"
      nurse_id: "01890000-0000-7000-8000-000000000007"
      second_nurse_id: "01890000-0000-7000-8000-000000000008"
      starts_at { seconds: 1759990000 }
      duration_minutes: 45
      basis: RECORDING_BASIS_DEVIATING
      report: "r"
      corrects_visit_id: "01890000-0000-7000-8000-000000000001"
    })pb");
  expected.mutable_realised()->set_recording_id(
      DerivedUuid(context.command_id, "recording").ToString());
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*(*events)[0], expected))
      << (*events)[0]->DebugString();
}

TEST(RecordMovedVisitsTest, OtherEventsAskForNothing) {
  EXPECT_TRUE(ReactTo("planned {}").empty());
  EXPECT_TRUE(ReactTo("realised {}").empty());
  EXPECT_TRUE(ReactTo("corrected {}").empty());
  EXPECT_TRUE(ReactTo("cancelled {}").empty());
}

}  // namespace
}  // namespace buurtlog::visits
