#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "services/visits/domain/testing/visit_scenario.h"

namespace buurtlog::visits {
namespace {

using testing::At;
using testing::Cancelled;
using testing::Ended;
using testing::InCare;
using testing::kNewRecording;
using testing::kNewVisit;
using testing::kNow;
using testing::kVisit;
using testing::Planned;
using testing::RealisedAsPlanned;
using testing::Unknown;
using testing::VisitScenario;
using testing::Withdrawn;

std::string Plan(const std::string& rest) {
  return absl::StrCat("client_id: 'client' duration_minutes: 30 ", rest);
}

TEST(PlanVisitTest, APlannedVisitNamesClientTeamAndNurse) {
  VisitScenario()
      .When<v1::PlanVisitRequest>(Plan(absl::StrCat("nurse_id: 'anna' ", At("starts_at", 3'600),
                                                    "visit_id: '", kVisit, "'")),
                                  InCare())
      .Then({absl::StrCat("planned { visit_id: '", kVisit,
                          "' client_id: 'client' team_id: 'team' nurse_id: 'anna' ",
                          At("starts_at", 3'600), "duration_minutes: 30 }")});
}

TEST(PlanVisitTest, WithoutAnIdOneIsMadeFromTheKey) {
  VisitScenario()
      .When<v1::PlanVisitRequest>(Plan(absl::StrCat("nurse_id: 'anna' ", At("starts_at", 0))),
                                  InCare())
      .Then({absl::StrCat("planned { visit_id: '", kNewVisit,
                          "' client_id: 'client' team_id: 'team' nurse_id: 'anna' ",
                          At("starts_at", 0), "duration_minutes: 30 }")});
}

TEST(PlanVisitTest, IdsAreWrittenInLowerCase) {
  VisitScenario()
      .When<v1::PlanVisitRequest>(
          absl::StrCat("client_id: 'CLIENT' nurse_id: 'Anna' visit_id: 'V' duration_minutes: 5 ",
                       At("starts_at", 0)),
          InCare())
      .Then({absl::StrCat("planned { visit_id: 'v' client_id: 'client' team_id: 'team' ",
                          "nurse_id: 'anna' ", At("starts_at", 0), "duration_minutes: 5 }")});
}

TEST(PlanVisitTest, AVisitIsPlannedOnce) {
  VisitScenario()
      .Given({Planned()})
      .When<v1::PlanVisitRequest>(Plan("nurse_id: 'anna'"), InCare())
      .ThenFails(absl::StatusCode::kAlreadyExists);
}

TEST(PlanVisitTest, AnUnknownClientIsNotFound) {
  VisitScenario()
      .When<v1::PlanVisitRequest>(Plan("nurse_id: 'anna'"), Unknown())
      .ThenFails(absl::StatusCode::kNotFound);
}

TEST(PlanVisitTest, AfterTheEndOfCareNothingIsPlanned) {
  VisitScenario()
      .When<v1::PlanVisitRequest>(Plan(absl::StrCat("nurse_id: 'anna' ", At("starts_at", 0))),
                                  Ended())
      .ThenRefused("CARE_ENDED");
}

TEST(PlanVisitTest, AStrangerIsNotInTheTeam) {
  VisitScenario()
      .When<v1::PlanVisitRequest>(Plan(absl::StrCat("nurse_id: 'zoe' ", At("starts_at", 0))),
                                  InCare())
      .ThenRefused("NURSE_NOT_IN_TEAM");
}

TEST(PlanVisitTest, WhoHasLeftTheTeamIsNotInTheTeam) {
  VisitScenario()
      .When<v1::PlanVisitRequest>(Plan(absl::StrCat("nurse_id: 'carla' ", At("starts_at", 0))),
                                  InCare())
      .ThenRefused("NURSE_NOT_IN_TEAM");
}

TEST(PlanVisitTest, APlanIsAtMostTwoYearsAhead) {
  const int64_t max = absl::ToInt64Seconds(kPlanAheadMax);
  VisitScenario()
      .When<v1::PlanVisitRequest>(Plan(absl::StrCat("nurse_id: 'anna' ", At("starts_at", max + 1))),
                                  InCare())
      .ThenRefused("VISIT_TOO_FAR_AHEAD");
  const absl::StatusOr<Events> planned = [max] {
    v1::PlanVisitRequest request;
    request.set_nurse_id("anna");
    request.mutable_starts_at()->set_seconds(kNow + max);
    CommandContext context;
    context.now = absl::FromUnixSeconds(kNow);
    return Decide(v1::VisitState(), request, InCare(), context);
  }();
  EXPECT_TRUE(planned.ok()) << planned.status();
}

// Care began a day ago and so did Anna; what was done up to 30 days earlier is recorded late.
TEST(VisitBeforeTheRecordTest, ThirtyDaysBeforeCareAndMembershipAreTaken) {
  ClientFacts facts = InCare();
  const int64_t began = -86'400;
  const int64_t earliest = began - absl::ToInt64Seconds(kBeforeRecordMax);
  facts.care_started_at = absl::FromUnixSeconds(kNow + began);
  facts.members = {{"anna", absl::FromUnixSeconds(kNow + began)}, {"bert"}};
  const auto plan = [](const std::string& nurse, int64_t at) {
    return Plan(absl::StrCat("nurse_id: '", nurse, "' ", At("starts_at", at)));
  };
  VisitScenario()
      .When<v1::PlanVisitRequest>(plan("anna", earliest), facts)
      .Then({absl::StrCat("planned { visit_id: '", kNewVisit,
                          "' client_id: 'client' team_id: 'team' nurse_id: 'anna' ",
                          At("starts_at", earliest), "duration_minutes: 30 }")});
  VisitScenario()
      .When<v1::PlanVisitRequest>(plan("bert", earliest - 1), facts)
      .ThenRefused("CARE_NOT_STARTED");
  VisitScenario()
      .When<v1::RecordUnplannedVisitRequest>(plan("bert", earliest - 1), facts)
      .ThenRefused("CARE_NOT_STARTED");
  facts.care_started_at = absl::InfinitePast();
  VisitScenario()
      .When<v1::PlanVisitRequest>(plan("anna", earliest - 1), facts)
      .ThenRefused("NURSE_NOT_IN_TEAM");
  VisitScenario()
      .When<v1::RecordUnplannedVisitRequest>(plan("anna", earliest - 1), facts)
      .ThenRefused("NURSE_NOT_IN_TEAM");
}

TEST(VisitBeforeTheRecordTest, WhoWasAwayInBetweenIsNotInTheTeamThen) {
  ClientFacts facts = InCare();
  const auto days_ago = [](int days) { return absl::FromUnixSeconds(kNow - days * 86'400); };
  facts.members = {{"anna", days_ago(400), days_ago(300)}, {"anna", days_ago(100)}};
  const auto plan = [](int64_t days) {
    return Plan(absl::StrCat("nurse_id: 'anna' ", At("starts_at", -days * 86'400)));
  };
  VisitScenario().When<v1::PlanVisitRequest>(plan(200), facts).ThenRefused("NURSE_NOT_IN_TEAM");
  for (const int64_t days : {350, 50}) {
    VisitScenario()
        .When<v1::PlanVisitRequest>(plan(days), facts)
        .Then({absl::StrCat("planned { visit_id: '", kNewVisit,
                            "' client_id: 'client' team_id: 'team' nurse_id: 'anna' ",
                            At("starts_at", -days * 86'400), "duration_minutes: 30 }")});
  }
}

std::string Confirm(const std::string& nurse, int64_t from, int64_t to) {
  return absl::StrCat("visit_id: '", kVisit, "' client_id: 'client' nurse_id: '", nurse, "' ",
                      At("day_begins_at", from), At("day_ends_at", to));
}

TEST(ConfirmVisitTest, APlannedVisitIsRealisedAsItWasPlanned) {
  VisitScenario()
      .Given({Planned()})
      .When<v1::ConfirmVisit>(Confirm("anna", -3'600, 1), InCare())
      .Then({absl::StrCat("realised { visit_id: '", kVisit,
                          "' client_id: 'client' team_id: 'team' nurse_id: 'anna' ",
                          At("starts_at", -3'600),
                          "duration_minutes: 30 basis: RECORDING_BASIS_PLANNED recording_id: '",
                          kNewRecording, "' }")});
}

TEST(ConfirmVisitTest, AnotherNursesVisitIsNotOnTheSheet) {
  VisitScenario()
      .Given({Planned()})
      .When<v1::ConfirmVisit>(Confirm("bert", -3'600, 1), InCare())
      .ThenRefused("VISIT_NOT_ON_SHEET");
}

TEST(ConfirmVisitTest, AVisitOfTheDayBeforeIsNotOnTheSheet) {
  VisitScenario()
      .Given({Planned()})
      .When<v1::ConfirmVisit>(Confirm("anna", -3'599, 1), InCare())
      .ThenRefused("VISIT_NOT_ON_SHEET");
}

TEST(ConfirmVisitTest, AVisitOfTheDayAfterIsNotOnTheSheet) {
  VisitScenario()
      .Given({Planned()})
      .When<v1::ConfirmVisit>(Confirm("anna", -7'200, -3'600), InCare())
      .ThenRefused("VISIT_NOT_ON_SHEET");
}

TEST(ConfirmVisitTest, ClientsAndVisitsThatDoNotExistAreNotFound) {
  VisitScenario()
      .Given({Planned()})
      .When<v1::ConfirmVisit>(Confirm("anna", -3'600, 1), Unknown())
      .ThenFails(absl::StatusCode::kNotFound);
  VisitScenario()
      .When<v1::ConfirmVisit>(Confirm("anna", -3'600, 1), InCare())
      .ThenFails(absl::StatusCode::kNotFound);
}

TEST(ConfirmVisitTest, OnlyAPlannedVisitCanBeConfirmed) {
  const std::string confirm = Confirm("anna", -3'600, 1);
  VisitScenario()
      .Given({Planned(), RealisedAsPlanned()})
      .When<v1::ConfirmVisit>(confirm, InCare())
      .ThenRefused("VISIT_ALREADY_RECORDED");
  VisitScenario()
      .Given({Planned(), Cancelled()})
      .When<v1::ConfirmVisit>(confirm, InCare())
      .ThenRefused("VISIT_CANCELLED");
  VisitScenario()
      .Given({Planned(), RealisedAsPlanned(), Withdrawn()})
      .When<v1::ConfirmVisit>(confirm, InCare())
      .ThenRefused("VISIT_WITHDRAWN");
}

TEST(ConfirmVisitTest, AVisitThatHasNotBegunIsNotConfirmed) {
  VisitScenario()
      .Given({Planned()})
      .At(absl::FromUnixSeconds(kNow - 4'000))
      .When<v1::ConfirmVisit>(Confirm("anna", -3'600, 1), InCare())
      .ThenRefused("VISIT_IN_FUTURE");
}

TEST(ConfirmVisitTest, AVisitAfterTheEndOfCareIsNotConfirmed) {
  VisitScenario()
      .Given({Planned()})
      .When<v1::ConfirmVisit>(Confirm("anna", -3'600, 1), Ended())
      .ThenRefused("CARE_ENDED");
}

std::string Record(const std::string& rest) {
  return absl::StrCat("visit_id: '", kVisit, "' client_id: 'client' ", rest);
}
std::string RealisedNow(const std::string& rest) {
  return absl::StrCat("realised { visit_id: '", kVisit,
                      "' client_id: 'client' team_id: 'team' nurse_id: 'anna' recording_id: '",
                      kNewRecording, "' ", rest, "}");
}

TEST(RecordVisitTest, UnchangedItIsOnThePlannedBasis) {
  const std::string as_planned = absl::StrCat(At("starts_at", -3'600), "duration_minutes: 30 ");
  VisitScenario()
      .Given({Planned()})
      .When<v1::RecordVisitRequest>(Record(absl::StrCat(as_planned, "report: 'all well'")),
                                    InCare())
      .Then({RealisedNow(
          absl::StrCat(as_planned, "basis: RECORDING_BASIS_PLANNED report: 'all well' "))});
}

TEST(RecordVisitTest, LongerLaterOrWithACollegueItDeviates) {
  for (const std::string& how :
       {absl::StrCat(At("starts_at", -3'600), "duration_minutes: 55 "),
        absl::StrCat(At("starts_at", -3'000), "duration_minutes: 30 "),
        absl::StrCat(At("starts_at", -3'600), "duration_minutes: 30 second_nurse_id: 'bert' ")}) {
    VisitScenario()
        .Given({Planned()})
        .When<v1::RecordVisitRequest>(Record(how), InCare())
        .Then({RealisedNow(absl::StrCat(how, "basis: RECORDING_BASIS_DEVIATING "))});
  }
}

TEST(RecordVisitTest, AMinuteAheadOfOurClockIsStillNow) {
  const std::string ahead = absl::StrCat(At("starts_at", 300), "duration_minutes: 30 ");
  VisitScenario()
      .Given({Planned()})
      .When<v1::RecordVisitRequest>(Record(ahead), InCare())
      .Then({RealisedNow(absl::StrCat(ahead, "basis: RECORDING_BASIS_DEVIATING "))});
}

TEST(RecordVisitTest, TheFutureIsNotRecorded) {
  VisitScenario()
      .Given({Planned()})
      .When<v1::RecordVisitRequest>(
          Record(absl::StrCat(At("starts_at", 301), "duration_minutes: 30 ")), InCare())
      .ThenRefused("VISIT_IN_FUTURE");
}

TEST(RecordVisitTest, OnlyAPlannedVisitOfThisClientCanBeRecorded) {
  const std::string record = Record(absl::StrCat(At("starts_at", -3'600), "duration_minutes: 30"));
  VisitScenario()
      .When<v1::RecordVisitRequest>(record, InCare())
      .ThenFails(absl::StatusCode::kNotFound);
  VisitScenario()
      .Given({Planned()})
      .When<v1::RecordVisitRequest>(record, Unknown())
      .ThenFails(absl::StatusCode::kNotFound);
  VisitScenario()
      .Given({Planned()})
      .When<v1::RecordVisitRequest>("client_id: 'other' duration_minutes: 30", InCare())
      .ThenFails(absl::StatusCode::kNotFound);
  VisitScenario()
      .Given({Planned(), RealisedAsPlanned()})
      .When<v1::RecordVisitRequest>(record, InCare())
      .ThenRefused("VISIT_ALREADY_RECORDED");
  VisitScenario()
      .Given({Planned(), Cancelled()})
      .When<v1::RecordVisitRequest>(record, InCare())
      .ThenRefused("VISIT_CANCELLED");
  VisitScenario()
      .Given({Planned(), RealisedAsPlanned(), Withdrawn()})
      .When<v1::RecordVisitRequest>(record, InCare())
      .ThenRefused("VISIT_WITHDRAWN");
}

TEST(RecordVisitTest, AfterTheEndOfCareNothingIsRecorded) {
  VisitScenario()
      .Given({Planned()})
      .When<v1::RecordVisitRequest>(
          Record(absl::StrCat(At("starts_at", -3'600), "duration_minutes: 30 ")), Ended())
      .ThenRefused("CARE_ENDED");
}

TEST(RecordVisitTest, AVisitBeforeTheEndOfCareIsRecordedAfterIt) {
  const std::string before = absl::StrCat(At("starts_at", -7'201), "duration_minutes: 30 ");
  VisitScenario()
      .Given({Planned()})
      .When<v1::RecordVisitRequest>(Record(before), Ended())
      .Then({RealisedNow(absl::StrCat(before, "basis: RECORDING_BASIS_DEVIATING "))});
}

TEST(RecordVisitTest, TheSecondNurseIsAnotherMemberOfTheTeam) {
  const std::string when = absl::StrCat(At("starts_at", -3'600), "duration_minutes: 30 ");
  VisitScenario()
      .Given({Planned()})
      .When<v1::RecordVisitRequest>(Record(absl::StrCat(when, "second_nurse_id: 'zoe'")), InCare())
      .ThenRefused("NURSE_NOT_IN_TEAM");
  VisitScenario()
      .Given({Planned()})
      .When<v1::RecordVisitRequest>(Record(absl::StrCat(when, "second_nurse_id: 'anna'")), InCare())
      .ThenRefused("SAME_NURSE");
}

TEST(RecordVisitTest, WhoLeftTheTeamAfterTheVisitWasInItThen) {
  const std::string when =
      absl::StrCat(At("starts_at", -90'000), "duration_minutes: 30 second_nurse_id: 'carla' ");
  VisitScenario()
      .Given({Planned()})
      .When<v1::RecordVisitRequest>(Record(when), InCare())
      .Then({RealisedNow(absl::StrCat(when, "basis: RECORDING_BASIS_DEVIATING "))});
}

std::string Unplanned(const std::string& nurse, int64_t starts) {
  return absl::StrCat("client_id: 'client' nurse_id: '", nurse, "' ", At("starts_at", starts),
                      "duration_minutes: 20 report: 'fell' ");
}

TEST(RecordUnplannedVisitTest, TheVisitIsMadeAfterTheFact) {
  VisitScenario()
      .When<v1::RecordUnplannedVisitRequest>(Unplanned("anna", -1'200), InCare())
      .Then({absl::StrCat("realised { visit_id: '", kNewVisit,
                          "' client_id: 'client' team_id: 'team' nurse_id: 'anna' ",
                          At("starts_at", -1'200),
                          "duration_minutes: 20 basis: RECORDING_BASIS_UNPLANNED report: 'fell' ",
                          "recording_id: '", kNewRecording, "' }")});
}

TEST(RecordUnplannedVisitTest, EachRuleOfARecordingHoldsHereToo) {
  VisitScenario()
      .Given({Planned()})
      .When<v1::RecordUnplannedVisitRequest>(Unplanned("anna", -60), InCare())
      .ThenFails(absl::StatusCode::kAlreadyExists);
  VisitScenario()
      .When<v1::RecordUnplannedVisitRequest>(Unplanned("anna", -60), Unknown())
      .ThenFails(absl::StatusCode::kNotFound);
  VisitScenario()
      .When<v1::RecordUnplannedVisitRequest>(Unplanned("anna", -60), Ended())
      .ThenRefused("CARE_ENDED");
  VisitScenario()
      .When<v1::RecordUnplannedVisitRequest>(Unplanned("zoe", -60), InCare())
      .ThenRefused("NURSE_NOT_IN_TEAM");
  VisitScenario()
      .When<v1::RecordUnplannedVisitRequest>(Unplanned("anna", 301), InCare())
      .ThenRefused("VISIT_IN_FUTURE");
  VisitScenario()
      .When<v1::RecordUnplannedVisitRequest>(
          absl::StrCat(Unplanned("anna", -60), "second_nurse_id: 'anna'"), InCare())
      .ThenRefused("SAME_NURSE");
}

}  // namespace
}  // namespace buurtlog::visits
