// Stories of a nurse, each against the running system through gRPC (scenarios 3.1).
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "buurtlog/log/v1/log_service.grpc.pb.h"
#include "libs/base/care_day.h"
#include "libs/base/refusal.h"
#include "libs/base/scheduler.h"
#include "libs/base/testing/patience.h"
#include "libs/eventlog/record.h"
#include "libs/eventsourcing/event_codec.h"
#include "tests/end_to_end/team_at_work.h"

namespace buurtlog::end_to_end {
namespace {

using clients::v1::ClientsService;
using visits::v1::VisitsService;
using Visits = VisitsService::Stub;

class NurseStoriesTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  TeamAtWork team_{folder_.path()};
};

// The events of the clients' log, as another service gets them.
std::vector<clients::v1::ClientEvent> EventsOfClients(const Session& follower) {
  auto stub = log::v1::LogService::NewStub(follower.channel());
  std::vector<clients::v1::ClientEvent> events;
  for (uint32_t partition = 0; partition < eventlog::kPartitionsDefault; ++partition) {
    grpc::ClientContext context;
    follower.Prepare(context);
    log::v1::WatchRequest request;
    request.set_service("clients");
    request.set_partition(partition);
    request.set_from_sequence(1);
    auto stream = stub->Watch(&context, request);
    log::v1::WatchResponse response;
    while (stream->Read(&response)) {
      for (const std::string& bytes : response.entries()) {
        const eventlog::EntryView entry = Expect(eventlog::ParseEntry(bytes));
        if (entry.header.kind != eventlog::EntryKind::kRecord) continue;
        const log::v1::Record record = Expect(eventsourcing::EventCodec::ParseRecord(entry));
        for (const log::v1::StoredEvent& stored : record.events()) {
          EXPECT_TRUE(events.emplace_back().ParseFromString(stored.payload()));
        }
      }
    }
    const grpc::Status finished = stream->Finish();
    EXPECT_TRUE(finished.ok()) << finished.error_message();
  }
  return events;
}

// The thin news: whose care, by which team, and nothing about the person.
bool SeesCareStarted(const std::vector<clients::v1::ClientEvent>& events,
                     const std::string& client_id, const std::string& team_id) {
  return std::any_of(events.begin(), events.end(), [&](const clients::v1::ClientEvent& event) {
    return event.care_started().client_id() == client_id &&
           event.care_started().team_id() == team_id &&
           event.care_started().referrer_kind() == clients::v1::REFERRER_KIND_GP;
  });
}

TEST_F(NurseStoriesTest, NUR_02_AReferredClientIsTakenInAndTheReferrerHears) {
  const Session nurse = team_.Nurse(0);
  clients::v1::TakeClientInRequest wrong = team_.IntakeRequest();
  wrong.set_bsn("999900007");
  const auto refused = Caller<ClientsService>(nurse)(&ClientsService::Stub::TakeClientIn, wrong);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(StatusField(refused.status()), "bsn");
  EXPECT_EQ(StatusReason(refused.status()), "BSN_ELEVEN_TEST");

  const absl::Time begin = absl::Now();
  const std::string client_id = team_.TakeClientIn();
  // A follower of the log sees the referrer's news within 2 seconds.
  const Session follower = team_.system().As("follower");
  bool seen = false;
  while (!seen && absl::Now() < begin + Patience(absl::Seconds(2))) {
    seen = SeesCareStarted(EventsOfClients(follower), client_id, team_.team_id());
  }
  EXPECT_TRUE(seen);

  clients::v1::GetClientRequest request;
  request.set_client_id(client_id);
  for (const auto& position : team_.written()) {
    if (position.service() == "clients") *request.add_min_position() = position;
  }
  const auto client =
      Expect(Caller<ClientsService>(nurse)(&ClientsService::Stub::GetClient, request)).client();
  EXPECT_EQ(client.responsible_nurse_id(), team_.nurse_id(0));
  EXPECT_EQ(client.wishes_size(), 1);

  // Handed over: still exactly one.
  clients::v1::HandOverClientRequest hand_over;
  hand_over.mutable_header()->set_idempotency_key(NewKey());
  hand_over.set_client_id(client_id);
  hand_over.set_nurse_id(team_.nurse_id(1));
  *request.add_min_position() =
      Expect(Caller<ClientsService>(nurse)(&ClientsService::Stub::HandOverClient, hand_over))
          .receipt()
          .position();
  EXPECT_EQ(Expect(Caller<ClientsService>(nurse)(&ClientsService::Stub::GetClient, request))
                .client()
                .responsible_nurse_id(),
            team_.nurse_id(1));
}

TEST_F(NurseStoriesTest, NUR_06_AVisitThatWasNeverPlannedIsRecordedAfterTheFact) {
  const std::string client_id = team_.TakeClientIn();
  visits::v1::RecordUnplannedVisitRequest request;
  request.mutable_header()->set_idempotency_key(NewKey());
  for (const auto& position : team_.written())
    *request.mutable_header()->add_min_position() = position;
  request.set_client_id(client_id);
  request.set_nurse_id(team_.nurse_id(1));
  *request.mutable_starts_at() = ProtoTime(SystemClock().Now() - absl::Hours(1));
  request.set_duration_minutes(20);
  request.set_report("Called by the family, fell beside the bed, not hurt.");
  const Session nurse = team_.Nurse(1);
  const auto recorded =
      Expect(Caller<VisitsService>(nurse)(&Visits::RecordUnplannedVisit, request));
  team_.Remember(recorded.receipt());
  const auto timeline = team_.Timeline(client_id);
  ASSERT_EQ(timeline.entries_size(), 1);
  EXPECT_EQ(timeline.entries(0).visit_id(), recorded.visit_id());
  EXPECT_EQ(timeline.entries(0).event().realised().basis(), visits::v1::RECORDING_BASIS_UNPLANNED);
  EXPECT_EQ(timeline.entries(0).actor_id(), team_.nurse_id(1));
}

visits::v1::ConfirmDayRequest ConfirmationOf(const visits::v1::GetDaySheetResponse& sheet,
                                             const std::string& nurse_id, const std::string& date) {
  visits::v1::ConfirmDayRequest request;
  request.mutable_header()->set_idempotency_key(NewKey());
  request.set_nurse_id(nurse_id);
  request.set_date(date);
  for (const auto& visit : sheet.visits()) {
    visits::v1::SeenVisit& seen = *request.add_visits();
    seen.set_visit_id(visit.visit_id());
    seen.set_client_id(visit.client_id());
    seen.set_expected_version(visit.version());
  }
  return request;
}

TEST_F(NurseStoriesTest, NUR_07_ADayOfNineVisitsIsConfirmedWithOneCommand) {
  // Nine visits of ten minutes on one day, whatever the time of day: the last hours of the day
  // before, when that is over.
  const absl::Duration ago =
      SystemClock().Now() -
      (StartOfCareDay(TeamAtWork::Day(absl::ZeroDuration())) - absl::Hours(4));
  for (int i = 0; i < 9; ++i) team_.Plan(team_.TakeClientIn(), 2, ago - absl::Minutes(15 * i), 10);
  const absl::CivilDay day = TeamAtWork::Day(ago);
  const auto sheet = team_.DaySheet(2, day);
  ASSERT_EQ(sheet.visits_size(), 9);
  EXPECT_EQ(team_.Hours(day, day).minutes(), 0);

  const Session nurse = team_.Nurse(2);
  const auto request = ConfirmationOf(sheet, team_.nurse_id(2), CareDayText(day));
  const auto confirmed = Expect(Caller<VisitsService>(nurse)(&Visits::ConfirmDay, request));
  ASSERT_EQ(confirmed.visits_size(), 9);
  for (const auto& visit : confirmed.visits())
    EXPECT_TRUE(visit.result().has_receipt()) << visit.DebugString();

  // The team's hours follow within 2 seconds without being asked to wait.
  const absl::Time begin = absl::Now();
  uint64_t minutes = 0;
  while (minutes != 90 && absl::Now() < begin + Patience(absl::Seconds(2)))
    minutes = team_.Hours(day, day).minutes();
  EXPECT_EQ(minutes, 90);

  // Said again: the same nine receipts, nothing more.
  const auto again = Expect(Caller<VisitsService>(nurse)(&Visits::ConfirmDay, request));
  EXPECT_EQ(again.SerializeAsString(), confirmed.SerializeAsString());
  EXPECT_EQ(team_.Hours(day, day).minutes(), 90);
}

TEST_F(NurseStoriesTest, NUR_08_ALongerVisitWithAColleagueCountsTwiceOnlyWithTheMark) {
  const std::string client_id = team_.TakeClientIn();
  const absl::Duration ago = absl::Hours(30);
  const absl::CivilDay from = TeamAtWork::Day(ago);
  const absl::CivilDay to = TeamAtWork::Day(absl::ZeroDuration());
  const std::string visit_id = team_.Plan(client_id, 0, ago, 30);
  const std::string other_id = team_.Plan(client_id, 1, ago, 30);

  auto record = [&](const std::string& id, size_t nurse, const std::string& second) {
    visits::v1::RecordVisitRequest request;
    request.mutable_header()->set_idempotency_key(NewKey());
    request.set_visit_id(id);
    request.set_client_id(client_id);
    const auto sheet = team_.DaySheet(nurse, from);
    *request.mutable_starts_at() = sheet.visits(0).starts_at();
    request.set_duration_minutes(55);
    request.set_second_nurse_id(second);
    const Session session = team_.Nurse(nurse);
    team_.Remember(Expect(Caller<VisitsService>(session)(&Visits::RecordVisit, request)).receipt());
  };
  // Two nurses wrote down the same 55 minutes at one client, each her own: counted once.
  record(visit_id, 0, "");
  EXPECT_EQ(team_.Hours(from, to).minutes(), 55);
  EXPECT_EQ(team_.Hours(from, to).deviating_minutes(), 55);
  record(other_id, 1, "");
  EXPECT_NEAR(static_cast<double>(team_.Hours(from, to).minutes()), 55, 1);

  // A visit of its own moment, marked as done by two: counted for both.
  const std::string marked_client = team_.TakeClientIn();
  visits::v1::RecordUnplannedVisitRequest request;
  request.mutable_header()->set_idempotency_key(NewKey());
  for (const auto& position : team_.written()) {
    if (position.service() == "clients") *request.mutable_header()->add_min_position() = position;
  }
  request.set_client_id(marked_client);
  request.set_nurse_id(team_.nurse_id(0));
  *request.mutable_starts_at() = ProtoTime(SystemClock().Now() - ago);
  request.set_duration_minutes(40);
  request.set_second_nurse_id(team_.nurse_id(3));
  const Session session = team_.Nurse(0);
  team_.Remember(
      Expect(Caller<VisitsService>(session)(&Visits::RecordUnplannedVisit, request)).receipt());
  EXPECT_NEAR(static_cast<double>(team_.Hours(from, to).minutes()), 55 + 80, 1);
}

TEST_F(NurseStoriesTest, NUR_11_AVisitOnTheWrongClientMovesAndBothTimelinesAreRight) {
  const std::string wrong = team_.TakeClientIn();
  const std::string right = team_.TakeClientIn();
  const absl::Duration ago = absl::Hours(26);
  const std::string visit_id = team_.Plan(wrong, 0, ago, 30);
  const absl::CivilDay day = TeamAtWork::Day(ago);
  const Session nurse = team_.Nurse(0);
  const auto confirmed = Expect(Caller<VisitsService>(nurse)(
      &Visits::ConfirmDay,
      ConfirmationOf(team_.DaySheet(0, day), team_.nurse_id(0), CareDayText(day))));
  ASSERT_EQ(confirmed.visits_size(), 1);
  team_.Remember(confirmed.visits(0).result().receipt());
  EXPECT_EQ(team_.Hours(day, day).minutes(), 30);

  visits::v1::MoveVisitRequest request;
  request.mutable_header()->set_idempotency_key(NewKey());
  request.set_visit_id(visit_id);
  request.set_client_id(wrong);
  request.set_to_client_id(right);
  request.set_corrects_recording_id(confirmed.visits(0).recording_id());
  const auto moved = Expect(Caller<VisitsService>(nurse)(&Visits::MoveVisit, request));
  team_.Remember(moved.receipt());

  const auto to = team_.TimelineOf(right, 1);
  ASSERT_EQ(to.entries_size(), 1);
  EXPECT_EQ(to.entries(0).visit_id(), moved.to_visit_id());
  EXPECT_EQ(to.entries(0).event().realised().corrects_visit_id(), visit_id);
  EXPECT_EQ(to.entries(0).event().realised().duration_minutes(), 30);
  const auto from = team_.Timeline(wrong);
  ASSERT_EQ(from.entries_size(), 3);  // planned, realised, withdrawn: nothing is rubbed out
  const visits::v1::TimelineEntry* withdrawn = nullptr;
  for (const auto& entry : from.entries()) {
    if (entry.event().has_withdrawn()) withdrawn = &entry;
  }
  ASSERT_NE(withdrawn, nullptr);
  EXPECT_EQ(withdrawn->event().withdrawn().corrects_recording_id(),
            confirmed.visits(0).recording_id());
  EXPECT_EQ(team_.HoursOf(day, day, 30).minutes(), 30);
}

TEST_F(NurseStoriesTest, TwoClientsRacingOnOneVisitGiveOneDecisionForEachVersion) {
  const std::string client_id = team_.TakeClientIn();
  const std::string visit_id = team_.Plan(client_id, 0, absl::Hours(30), 30);
  constexpr int kTries = 24;
  std::vector<absl::StatusOr<visits::v1::RecordVisitResponse>> answers(
      kTries, absl::StatusOr<visits::v1::RecordVisitResponse>(absl::UnknownError("")));
  const auto sheet = team_.DaySheet(0, TeamAtWork::Day(absl::Hours(30)));
  {
    std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler(1);
    std::vector<std::unique_ptr<TaskQueue>> racers;
    absl::BlockingCounter left(kTries);
    for (int i = 0; i < kTries; ++i) {
      if (racers.size() < 8) racers.push_back(scheduler->NewQueue("racer", QueueKind::kBlocking));
      racers[static_cast<size_t>(i) % 8]->Post([&, i] {
        const Session session = team_.Nurse(static_cast<size_t>(i) % 4);
        visits::v1::RecordVisitRequest request;
        request.mutable_header()->set_idempotency_key(NewKey());
        request.mutable_header()->set_expected_version(1);
        request.set_visit_id(visit_id);
        request.set_client_id(client_id);
        *request.mutable_starts_at() = sheet.visits(0).starts_at();
        request.set_duration_minutes(31 + static_cast<uint32_t>(i));
        answers[static_cast<size_t>(i)] =
            Caller<VisitsService>(session)(&Visits::RecordVisit, request);
        left.DecrementCount();
      });
    }
    left.Wait();
  }
  int decided = 0;
  for (const auto& answer : answers) {
    if (answer.ok()) {
      ++decided;
      EXPECT_EQ(answer->receipt().version(), 2);
      team_.Remember(answer->receipt());
    } else {
      EXPECT_EQ(answer.status().code(), absl::StatusCode::kAborted) << answer.status();
    }
  }
  EXPECT_EQ(decided, 1);
  EXPECT_EQ(team_.Timeline(client_id).entries_size(), 2);
}

}  // namespace
}  // namespace buurtlog::end_to_end
