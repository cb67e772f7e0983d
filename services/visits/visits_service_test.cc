#include "services/visits/visits_service.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "libs/base/random.h"
#include "libs/base/refusal.h"
#include "libs/base/scheduler.h"
#include "libs/base/testing/patience.h"
#include "services/visits/testing/neighbourhood.h"

namespace buurtlog::visits {
namespace {

using testing::Neighbourhood;
using Stub = v1::VisitsService::Stub;

class VisitsServiceTest : public ::testing::Test {
 protected:
  static google::protobuf::Timestamp At(absl::Duration from_now) {
    google::protobuf::Timestamp time;
    time.set_seconds(absl::ToUnixSeconds(Neighbourhood::Now() + from_now));
    return time;
  }

  v1::PlanVisitRequest PlanRequest(absl::Duration from_now) {
    v1::PlanVisitRequest request;
    region_.FillHeader(*request.mutable_header());
    request.set_client_id(region_.client.ToString());
    request.set_nurse_id(region_.anna.ToString());
    *request.mutable_starts_at() = At(from_now);
    request.set_duration_minutes(15);
    return request;
  }
  v1::PlanVisitResponse Plan(absl::Duration from_now) {
    return region_.Get(&Stub::PlanVisit, PlanRequest(from_now));
  }

  v1::RecordVisitRequest RecordRequest(const std::string& visit_id, absl::Duration from_now) {
    v1::RecordVisitRequest request;
    region_.FillHeader(*request.mutable_header());
    request.set_visit_id(visit_id);
    request.set_client_id(region_.client.ToString());
    *request.mutable_starts_at() = At(from_now);
    request.set_duration_minutes(15);
    return request;
  }

  v1::RecordUnplannedVisitRequest UnplannedRequest(absl::Duration from_now) {
    v1::RecordUnplannedVisitRequest request;
    region_.FillHeader(*request.mutable_header());
    request.set_client_id(region_.client.ToString());
    request.set_nurse_id(region_.anna.ToString());
    *request.mutable_starts_at() = At(from_now);
    request.set_duration_minutes(20);
    request.set_report("fell in the kitchen, no pain");
    return request;
  }

  v1::GetDaySheetResponse Sheet(const type::v1::Receipt& after) {
    v1::GetDaySheetRequest request;
    request.set_nurse_id(region_.anna.ToString());
    request.set_date(Neighbourhood::Today());
    *request.add_min_position() = after.position();
    return region_.Get(&Stub::GetDaySheet, request);
  }
  v1::GetClientTimelineResponse Timeline(const Uuid& client, const type::v1::Receipt& after) {
    v1::GetClientTimelineRequest request;
    request.set_client_id(client.ToString());
    request.set_page_size(200);
    *request.add_min_position() = after.position();
    return region_.Get(&Stub::GetClientTimeline, request);
  }
  v1::GetTeamHoursResponse Hours(const type::v1::Receipt& after) {
    v1::GetTeamHoursRequest request;
    request.set_team_id(region_.team.ToString());
    request.set_from_date(Neighbourhood::Today());
    request.set_to_date(Neighbourhood::Today());
    *request.add_min_position() = after.position();
    return region_.Get(&Stub::GetTeamHours, request);
  }

  // Nine visits of Anna's this morning, one after the other.
  v1::GetDaySheetResponse PlanNine() {
    type::v1::Receipt last;
    for (int i = 0; i < 9; ++i) last = Plan(absl::Minutes(-150 + 15 * i)).receipt();
    return Sheet(last);
  }
  v1::ConfirmDayRequest ConfirmRequest(const v1::GetDaySheetResponse& sheet) {
    v1::ConfirmDayRequest request;
    region_.FillHeader(*request.mutable_header());
    request.set_nurse_id(region_.anna.ToString());
    request.set_date(Neighbourhood::Today());
    for (const v1::Visit& visit : sheet.visits()) {
      v1::SeenVisit& seen = *request.add_visits();
      seen.set_visit_id(visit.visit_id());
      seen.set_client_id(visit.client_id());
      seen.set_expected_version(visit.version());
    }
    return request;
  }

  // The status of a call that must be refused as malformed, by field.
  template <typename Request, typename Response>
  std::string BadField(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                    Response*),
                       const std::decay_t<Request>& request) {
    const absl::Status status = region_.Call(method, request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return StatusField(status).value_or("");
  }

  Neighbourhood region_;
};

TEST_F(VisitsServiceTest, NUR_06_AReportOnAVisitThatWasNeverPlannedIsAccepted) {
  const auto recorded =
      region_.Get(&Stub::RecordUnplannedVisit, UnplannedRequest(absl::Minutes(-30)));
  const auto sheet = Sheet(recorded.receipt());
  ASSERT_EQ(sheet.visits_size(), 1);
  EXPECT_EQ(sheet.visits(0).visit_id(), recorded.visit_id());
  EXPECT_EQ(sheet.visits(0).client_name(), "Jo Visser");
  EXPECT_EQ(sheet.visits(0).stage(), v1::VISIT_STAGE_REALISED);
  EXPECT_EQ(sheet.visits(0).basis(), v1::RECORDING_BASIS_UNPLANNED);
  EXPECT_EQ(sheet.visits(0).recording_id(), recorded.recording_id());
  const auto timeline = Timeline(region_.client, recorded.receipt());
  ASSERT_EQ(timeline.entries_size(), 1);
  EXPECT_EQ(timeline.entries(0).event().realised().report(), "fell in the kitchen, no pain");
  EXPECT_EQ(timeline.entries(0).event_id(), recorded.receipt().event_ids(0));
  EXPECT_EQ(Hours(recorded.receipt()).unplanned_minutes(), 20u);
}

TEST_F(VisitsServiceTest, NUR_07_OneCommandConfirmsADayThatWentAsPlanned) {
  const auto sheet = PlanNine();
  ASSERT_EQ(sheet.visits_size(), 9);
  const v1::ConfirmDayRequest request = ConfirmRequest(sheet);
  const auto confirmed = region_.Get(&Stub::ConfirmDay, request);
  ASSERT_EQ(confirmed.visits_size(), 9);
  for (const v1::ConfirmedVisit& visit : confirmed.visits()) {
    EXPECT_EQ(visit.result().receipt().version(), 2u) << visit.ShortDebugString();
  }
  const type::v1::Receipt& last = confirmed.visits(8).result().receipt();
  const auto after = Sheet(last);
  for (const v1::Visit& visit : after.visits()) {
    EXPECT_EQ(visit.stage(), v1::VISIT_STAGE_REALISED);
    EXPECT_EQ(visit.basis(), v1::RECORDING_BASIS_PLANNED);
  }
  EXPECT_EQ(Hours(last).planned_minutes(), 9u * 15u);
  EXPECT_EQ(Hours(last).minutes(), 9u * 15u);

  const auto repeated = region_.Get(&Stub::ConfirmDay, request);
  EXPECT_EQ(repeated.SerializeAsString(), confirmed.SerializeAsString());
  EXPECT_EQ(Timeline(region_.client, last).entries_size(), 18);
}

TEST_F(VisitsServiceTest, NUR_07_EachVisitOfAConfirmedDayHasItsOwnAnswer) {
  const auto sheet = PlanNine();
  ASSERT_EQ(sheet.visits_size(), 9);
  v1::CancelVisitRequest cancel;
  region_.FillHeader(*cancel.mutable_header());
  cancel.set_visit_id(sheet.visits(0).visit_id());
  cancel.set_client_id(region_.client.ToString());
  cancel.set_reason(v1::CANCELLATION_REASON_CLIENT_ABSENT);
  region_.Get(&Stub::CancelVisit, cancel);

  v1::ConfirmDayRequest request = ConfirmRequest(sheet);
  request.mutable_visits(1)->set_visit_id(region_.team.ToString());  // no such visit
  request.mutable_visits(2)->set_client_id(
      Neighbourhood::OfAnotherPartition(region_.client).ToString());
  const auto confirmed = region_.Get(&Stub::ConfirmDay, request);
  ASSERT_EQ(confirmed.visits_size(), 9);
  const auto code = [&](int i) { return confirmed.visits(i).result().error().code(); };
  EXPECT_EQ(code(0), static_cast<int>(absl::StatusCode::kAborted));
  // A stream that is not there is at version 0, and not at the one she saw.
  EXPECT_EQ(code(1), static_cast<int>(absl::StatusCode::kAborted));
  EXPECT_EQ(code(2), static_cast<int>(absl::StatusCode::kAborted));
  for (int i = 3; i < 9; ++i) EXPECT_TRUE(confirmed.visits(i).result().has_receipt());

  v1::ConfirmDayRequest of_bert = ConfirmRequest(sheet);
  of_bert.set_nurse_id(region_.bert.ToString());
  while (of_bert.visits_size() > 1) of_bert.mutable_visits()->RemoveLast();
  of_bert.mutable_visits(0)->set_expected_version(2);
  const auto refused = region_.Get(&Stub::ConfirmDay, of_bert);
  EXPECT_EQ(refused.visits(0).result().error().reason(), "VISIT_CANCELLED");
}

TEST_F(VisitsServiceTest, NUR_08_LongerAndWithAColleagueItCountsForTwoOnlyWithTheMark) {
  const auto planned = Plan(absl::Minutes(-60));
  v1::RecordVisitRequest record = RecordRequest(planned.visit_id(), absl::Minutes(-60));
  record.set_duration_minutes(40);
  record.set_second_nurse_id(region_.bert.ToString());
  const auto recorded = region_.Get(&Stub::RecordVisit, record);
  auto hours = Hours(recorded.receipt());
  EXPECT_EQ(hours.minutes(), 80u);
  EXPECT_EQ(hours.deviating_minutes(), 80u);
  EXPECT_EQ(hours.second_nurse_minutes(), 40u);

  v1::CorrectVisitRequest correct;
  region_.FillHeader(*correct.mutable_header());
  correct.set_visit_id(planned.visit_id());
  correct.set_client_id(region_.client.ToString());
  correct.set_corrects_recording_id(recorded.recording_id());
  *correct.mutable_starts_at() = At(absl::Minutes(-60));
  correct.set_duration_minutes(40);
  correct.set_reason("was alone");
  const auto corrected = region_.Get(&Stub::CorrectVisit, correct);
  v1::RecordUnplannedVisitRequest colleague = UnplannedRequest(absl::Minutes(-60));
  colleague.set_nurse_id(region_.bert.ToString());
  const auto second = region_.Get(&Stub::RecordUnplannedVisit, colleague);
  hours = Hours(second.receipt());
  EXPECT_EQ(hours.minutes(), 40u) << "overlapping without the mark counts once";
  EXPECT_EQ(hours.overlapping_minutes(), 20u);

  region_.FillHeader(*correct.mutable_header());
  const absl::Status stale = region_.Call(&Stub::CorrectVisit, correct).status();
  EXPECT_EQ(RefusalReason(stale), "NOT_THE_NEWEST_RECORDING");
}

TEST_F(VisitsServiceTest, NUR_11_AVisitOnTheWrongClientMovesAndBothTimelinesAreRight) {
  const auto recorded = region_.Get(&Stub::RecordUnplannedVisit, UnplannedRequest(absl::Hours(-2)));
  v1::MoveVisitRequest move;
  region_.FillHeader(*move.mutable_header());
  move.set_visit_id(recorded.visit_id());
  move.set_client_id(region_.client.ToString());
  move.set_to_client_id(region_.other_client.ToString());
  move.set_corrects_recording_id(recorded.recording_id());
  const auto moved = region_.Get(&Stub::MoveVisit, move);

  const auto here = Timeline(region_.client, moved.receipt());
  ASSERT_EQ(here.entries_size(), 2);
  const v1::VisitWithdrawn& withdrawn = here.entries(0).event().withdrawn();
  EXPECT_EQ(withdrawn.corrects_recording_id(), recorded.recording_id());
  EXPECT_EQ(withdrawn.to_client_id(), region_.other_client.ToString());
  EXPECT_EQ(withdrawn.to_visit_id(), moved.to_visit_id());
  EXPECT_EQ(withdrawn.report(), "");

  v1::GetClientTimelineRequest there;
  there.set_client_id(region_.other_client.ToString());
  v1::GetClientTimelineResponse timeline;
  const absl::Time give_up = SystemClock().Now() + Patience(absl::Seconds(20));
  while (timeline.entries_size() == 0 && SystemClock().Now() < give_up) {
    timeline = region_.Get(&Stub::GetClientTimeline, there);
  }
  ASSERT_EQ(timeline.entries_size(), 1);
  const v1::VisitRealised& realised = timeline.entries(0).event().realised();
  EXPECT_EQ(realised.visit_id(), moved.to_visit_id());
  EXPECT_EQ(realised.corrects_visit_id(), recorded.visit_id());
  EXPECT_EQ(realised.duration_minutes(), 20u);
  EXPECT_EQ(realised.report(), "fell in the kitchen, no pain");
  type::v1::Receipt after;
  *after.mutable_position() = timeline.entries(0).position();
  Hours(moved.receipt());  // and then behind both events, which are of two partitions
  const auto hours = Hours(after);
  EXPECT_EQ(hours.visits(), 1u);
  EXPECT_EQ(hours.minutes(), 20u);

  region_.FillHeader(*move.mutable_header());
  EXPECT_EQ(RefusalReason(region_.Call(&Stub::MoveVisit, move).status()), "VISIT_WITHDRAWN");
}

TEST_F(VisitsServiceTest, ARepeatedCommandGetsItsFirstAnswer) {
  const v1::RecordUnplannedVisitRequest request = UnplannedRequest(absl::Minutes(-30));
  const auto first = region_.Get(&Stub::RecordUnplannedVisit, request);
  const auto second = region_.Get(&Stub::RecordUnplannedVisit, request);
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());
  v1::RecordUnplannedVisitRequest other = request;
  other.set_duration_minutes(21);
  EXPECT_EQ(region_.Call(&Stub::RecordUnplannedVisit, other).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(VisitsServiceTest, ValidateOnlyDecidesAndWritesNothing) {
  v1::PlanVisitRequest request = PlanRequest(absl::Hours(1));
  request.mutable_header()->set_validate_only(true);
  const auto answer = region_.Get(&Stub::PlanVisit, request);
  EXPECT_FALSE(answer.receipt().has_position());
  request.set_nurse_id(region_.client.ToString());
  EXPECT_EQ(RefusalReason(region_.Call(&Stub::PlanVisit, request).status()), "NURSE_NOT_IN_TEAM");
}

TEST_F(VisitsServiceTest, WhatTeamsAndClientsSaidIsHeededAtOnce) {
  const Uuid carla = NewUuid(Neighbourhood::Now(), SystemRandom());
  v1::PlanVisitRequest request = PlanRequest(absl::Hours(1));
  request.set_nurse_id(carla.ToString());
  EXPECT_EQ(RefusalReason(region_.Call(&Stub::PlanVisit, request).status()), "NURSE_NOT_IN_TEAM");
  region_.Join(carla);
  region_.FillHeader(*request.mutable_header());
  EXPECT_TRUE(region_.Call(&Stub::PlanVisit, request).ok());
  region_.EndCare(region_.client);
  EXPECT_EQ(RefusalReason(region_.Call(&Stub::PlanVisit, PlanRequest(absl::Hours(1))).status()),
            "CARE_ENDED");
}

TEST_F(VisitsServiceTest, UnknownIdsAreNotFound) {
  v1::PlanVisitRequest plan = PlanRequest(absl::Hours(1));
  plan.set_client_id(region_.team.ToString());
  EXPECT_EQ(region_.Call(&Stub::PlanVisit, plan).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(
      region_.Call(&Stub::RecordVisit, RecordRequest(region_.team.ToString(), {})).status().code(),
      absl::StatusCode::kNotFound);
  v1::GetVisitRequest get;
  get.set_visit_id(region_.team.ToString());
  get.set_client_id(region_.client.ToString());
  EXPECT_EQ(region_.Call(&Stub::GetVisit, get).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(VisitsServiceTest, AMalformedFieldIsNamed) {
  v1::PlanVisitRequest plan = PlanRequest(absl::Hours(1));
  plan.set_client_id("Jo Visser");
  EXPECT_EQ(BadField(&Stub::PlanVisit, plan), "client_id");
  plan = PlanRequest(absl::Hours(1));
  plan.mutable_starts_at()->set_nanos(-1);
  EXPECT_EQ(BadField(&Stub::PlanVisit, plan), "starts_at");
  plan = PlanRequest(absl::Hours(1));
  plan.clear_starts_at();
  EXPECT_EQ(BadField(&Stub::PlanVisit, plan), "starts_at");
  plan = PlanRequest(absl::Hours(1));
  plan.set_duration_minutes(4);
  EXPECT_EQ(BadField(&Stub::PlanVisit, plan), "duration_minutes");
  plan = PlanRequest(absl::Hours(1));
  plan.mutable_header()->set_expected_version(1'000'001);
  EXPECT_EQ(BadField(&Stub::PlanVisit, plan), "header.expected_version");
  plan = PlanRequest(absl::Hours(1));
  plan.mutable_header()->mutable_min_position(0)->set_service("billing");
  EXPECT_EQ(BadField(&Stub::PlanVisit, plan), "header.min_position[0].service");

  v1::RecordUnplannedVisitRequest unplanned = UnplannedRequest(absl::Minutes(-1));
  unplanned.set_report(std::string(4'001, 'x'));
  EXPECT_EQ(BadField(&Stub::RecordUnplannedVisit, unplanned), "report");
}

TEST_F(VisitsServiceTest, ACommandWaitsForAPositionOfItsOwnLog) {
  v1::PlanVisitRequest plan = PlanRequest(absl::Hours(1));
  v1::CancelVisitRequest cancel;
  region_.FillHeader(*cancel.mutable_header());
  const auto planned = Plan(absl::Hours(2));
  cancel.set_visit_id(planned.visit_id());
  cancel.set_client_id(region_.client.ToString());
  cancel.set_reason(v1::CANCELLATION_REASON_CLIENT_DECLINED);
  *plan.mutable_header()->add_min_position() = planned.receipt().position();
  *cancel.mutable_header()->add_min_position() = planned.receipt().position();
  const int own = plan.header().min_position_size() - 1;

  // Nobody will ever write as far as this.
  v1::PlanVisitRequest far = plan;
  far.mutable_header()->mutable_min_position(own)->set_sequence(99'999'999);
  const auto late =
      region_.Call(&Stub::PlanVisit, far, access::v1::ROLE_NURSE, absl::Milliseconds(50));
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded) << late.status();
  v1::CancelVisitRequest far_cancel = cancel;
  *far_cancel.mutable_header() = far.header();
  const auto late_cancel =
      region_.Call(&Stub::CancelVisit, far_cancel, access::v1::ROLE_NURSE, absl::Milliseconds(50));
  EXPECT_EQ(late_cancel.status().code(), absl::StatusCode::kDeadlineExceeded);

  v1::PlanVisitRequest nowhere = plan;
  nowhere.mutable_header()->mutable_min_position(own)->set_partition(4'000);
  EXPECT_EQ(BadField(&Stub::PlanVisit, nowhere), "header.min_position");
  nowhere = plan;
  nowhere.mutable_header()->mutable_min_position(0)->set_partition(4'000);
  EXPECT_EQ(BadField(&Stub::PlanVisit, nowhere), "header.min_position");

  EXPECT_TRUE(region_.Call(&Stub::PlanVisit, plan).ok());
  EXPECT_TRUE(region_.Call(&Stub::CancelVisit, cancel).ok());
}

TEST_F(VisitsServiceTest, ADayIsConfirmedAfterThePositionItNames) {
  v1::ConfirmDayRequest request = ConfirmRequest(PlanNine());
  type::v1::Position& own = *request.mutable_header()->add_min_position();
  own.set_service("visits");
  own.set_sequence(99'999'999);
  const auto late =
      region_.Call(&Stub::ConfirmDay, request, access::v1::ROLE_NURSE, absl::Milliseconds(50));
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded) << late.status();
}

// As many as a sheet may show.
TEST_F(VisitsServiceTest, ADayOf200VisitsIsConfirmedInOneCall) {
  type::v1::Receipt last;
  for (int i = 0; i < 200; ++i) last = Plan(absl::Minutes(-200 + i)).receipt();
  const v1::GetDaySheetResponse sheet = Sheet(last);
  ASSERT_EQ(sheet.visits_size(), 200);
  v1::ConfirmDayRequest request = ConfirmRequest(sheet);
  const auto confirmed = region_.Get(&Stub::ConfirmDay, request);
  ASSERT_EQ(confirmed.visits_size(), 200);
  for (const v1::ConfirmedVisit& visit : confirmed.visits()) {
    EXPECT_TRUE(visit.result().has_receipt()) << visit.ShortDebugString();
  }
  *request.add_visits() = request.visits(0);
  EXPECT_EQ(BadField(&Stub::ConfirmDay, request), "visits");
}

TEST_F(VisitsServiceTest, AVisitIsOfOurTime) {
  const auto reason = [](const auto& response) {
    return StatusReason(response.status()).value_or(response.status().ToString());
  };
  for (const int64_t seconds : {int64_t{-62'135'596'800}, int64_t{-86'400}, int64_t{0}}) {
    v1::PlanVisitRequest plan = PlanRequest({});
    plan.mutable_starts_at()->set_seconds(seconds);
    EXPECT_EQ(reason(region_.Call(&Stub::PlanVisit, plan)), "CARE_NOT_STARTED") << seconds;
    v1::RecordUnplannedVisitRequest unplanned = UnplannedRequest({});
    unplanned.mutable_starts_at()->set_seconds(seconds);
    EXPECT_EQ(reason(region_.Call(&Stub::RecordUnplannedVisit, unplanned)), "CARE_NOT_STARTED");
  }
  v1::PlanVisitRequest plan = PlanRequest({});
  plan.mutable_starts_at()->set_seconds(253'402'300'799);
  EXPECT_EQ(reason(region_.Call(&Stub::PlanVisit, plan)), "VISIT_TOO_FAR_AHEAD");
}

TEST_F(VisitsServiceTest, AMalformedConfirmedDayIsRefusedAsAWhole) {
  v1::GetDaySheetResponse sheet;
  v1::Visit& visit = *sheet.add_visits();
  visit.set_visit_id(region_.team.ToString());
  visit.set_client_id(region_.client.ToString());
  visit.set_version(1);
  v1::ConfirmDayRequest request = ConfirmRequest(sheet);
  request.mutable_visits(0)->set_expected_version(0);
  EXPECT_EQ(BadField(&Stub::ConfirmDay, request), "visits[0].expected_version");
  request = ConfirmRequest(sheet);
  *request.add_visits() = request.visits(0);
  EXPECT_EQ(BadField(&Stub::ConfirmDay, request), "visits[1].visit_id");
  request = ConfirmRequest(sheet);
  request.set_date("2026-02-30");
  EXPECT_EQ(BadField(&Stub::ConfirmDay, request), "date");
  request = ConfirmRequest(sheet);
  request.mutable_header()->set_expected_version(1);
  EXPECT_EQ(BadField(&Stub::ConfirmDay, request), "header.expected_version");
}

TEST_F(VisitsServiceTest, AMalformedQuestionIsRefused) {
  v1::GetClientTimelineRequest timeline;
  timeline.set_client_id(region_.client.ToString());
  timeline.set_page_token("x");
  EXPECT_EQ(BadField(&Stub::GetClientTimeline, timeline), "page_token");
  v1::GetTeamHoursRequest hours;
  hours.set_team_id(region_.team.ToString());
  hours.set_from_date("2026-02-01");
  hours.set_to_date("2026-01-31");
  EXPECT_EQ(BadField(&Stub::GetTeamHours, hours), "to_date");
}

TEST_F(VisitsServiceTest, TheBackOfficeSeesHoursAndNoCare) {
  v1::GetTeamHoursRequest hours;
  hours.set_team_id(region_.team.ToString());
  hours.set_from_date(Neighbourhood::Today());
  hours.set_to_date(Neighbourhood::Today());
  EXPECT_TRUE(region_.Call(&Stub::GetTeamHours, hours, access::v1::ROLE_BACK_OFFICE).ok());
  v1::GetClientTimelineRequest timeline;
  timeline.set_client_id(region_.client.ToString());
  EXPECT_EQ(region_.Call(&Stub::GetClientTimeline, timeline, access::v1::ROLE_BACK_OFFICE)
                .status()
                .code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(VisitsServiceTest, OfTwoClientsRacingOnOneVisitExactlyOneIsRightForEachVersion) {
  constexpr int kVisits = 20;
  std::vector<v1::RecordVisitRequest> records;
  for (int i = 0; i < kVisits; ++i) {
    const absl::Duration start = absl::Minutes(-400 + 15 * i);
    records.push_back(RecordRequest(Plan(start).visit_id(), start));
    records.back().mutable_header()->set_expected_version(1);
  }
  std::vector<v1::RecordVisitRequest> others = records;
  for (v1::RecordVisitRequest& request : others) {
    region_.FillHeader(*request.mutable_header());
    request.mutable_header()->set_expected_version(1);
    request.set_report("the other one");
  }
  std::vector<absl::Status> first(kVisits, absl::UnknownError("no answer"));
  std::vector<absl::Status> second = first;
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler(1);
  absl::BlockingCounter running(2);
  const auto race = [&](const std::vector<v1::RecordVisitRequest>& requests,
                        std::vector<absl::Status>& answers) {
    for (size_t i = 0; i < requests.size(); ++i) {
      answers[i] = region_.Call(&Stub::RecordVisit, requests[i]).status();
    }
    running.DecrementCount();
  };
  const auto one = scheduler->NewQueue("one", QueueKind::kBlocking);
  const auto two = scheduler->NewQueue("two", QueueKind::kBlocking);
  one->Post([&] { race(records, first); });
  two->Post([&] { race(others, second); });
  running.Wait();
  for (size_t i = 0; i < kVisits; ++i) {
    EXPECT_NE(first[i].ok(), second[i].ok()) << first[i] << " and " << second[i];
    const absl::Status& lost = first[i].ok() ? second[i] : first[i];
    EXPECT_EQ(lost.code(), absl::StatusCode::kAborted) << lost;
  }
  const auto done = region_.Get(&Stub::RecordUnplannedVisit, UnplannedRequest({}));
  EXPECT_EQ(Timeline(region_.client, done.receipt()).entries_size(), 2 * kVisits + 1);
}

}  // namespace
}  // namespace buurtlog::visits
