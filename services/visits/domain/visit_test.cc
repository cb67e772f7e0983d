#include "services/visits/domain/visit.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "libs/eventsourcing/testing/scenario.h"

namespace buurtlog::visits {
namespace {

using VisitScenario = eventsourcing::testing::Scenario<v1::VisitState, v1::VisitEvent, Evolve>;

constexpr char kVisit[] = "01890000-0000-7000-8000-00000000000a";
// What a scenario's command, whose key is fixed, makes.
const std::string kNewVisit = NewVisitId(*ParseUuid("01890000-0000-7000-8000-000000000001"));
const std::string kNewRecording =
    NewRecordingId(*ParseUuid("01890000-0000-7000-8000-000000000001"));
// A scenario's clock stands at 1760000000.
constexpr int64_t kNow = 1'760'000'000;

ClientFacts InCare() {
  ClientFacts facts;
  facts.team_id = "team";
  facts.members = {{"anna"}, {"bert"}, {"carla", absl::FromUnixSeconds(kNow - 86'400)}};
  return facts;
}
ClientFacts Unknown() { return {}; }
ClientFacts Ended() {
  ClientFacts facts = InCare();
  facts.care_ended_at = absl::FromUnixSeconds(kNow - 7'200);
  return facts;
}

std::string At(const std::string& field, int64_t seconds_from_now) {
  return absl::StrCat(field, " { seconds: ", kNow + seconds_from_now, " } ");
}

// Begins an hour ago, for 30 minutes.
std::string Planned() {
  return absl::StrCat("planned { visit_id: '", kVisit,
                      "' client_id: 'client' team_id: 'team' nurse_id: 'anna' ",
                      At("starts_at", -3'600), "duration_minutes: 30 }");
}
std::string Realised(const std::string& rest) {
  return absl::StrCat("realised { visit_id: '", kVisit,
                      "' client_id: 'client' team_id: 'team' nurse_id: 'anna' ",
                      "recording_id: 'first' ", rest, "}");
}
std::string RealisedAsPlanned() {
  return Realised(absl::StrCat(At("starts_at", -3'600),
                               "duration_minutes: 30 basis: RECORDING_BASIS_PLANNED "));
}
std::string Cancelled() {
  return absl::StrCat("cancelled { visit_id: '", kVisit,
                      "' client_id: 'client' reason: CANCELLATION_REASON_CLIENT_ABSENT }");
}
std::string Withdrawn() {
  return absl::StrCat("withdrawn { visit_id: '", kVisit,
                      "' client_id: 'client' to_client_id: 'other' to_visit_id: 'there' }");
}

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

std::string Correct(const std::string& rest) {
  return absl::StrCat("visit_id: '", kVisit,
                      "' client_id: 'client' corrects_recording_id: 'first' reason: 'typed wrong' ",
                      rest);
}
std::string CorrectedNow(const std::string& rest) {
  return absl::StrCat("corrected { visit_id: '", kVisit,
                      "' client_id: 'client' corrects_recording_id: 'first' recording_id: '",
                      kNewRecording, "' reason: 'typed wrong' ", rest, "}");
}

TEST(CorrectVisitTest, ACorrectionNamesTheOriginalAndReplacesAllOfIt) {
  const std::string right = absl::StrCat(At("starts_at", -3'000),
                                         "duration_minutes: 45 second_nurse_id: 'bert' "
                                         "report: 'with help' ");
  VisitScenario()
      .Given({Planned(), RealisedAsPlanned()})
      .When<v1::CorrectVisitRequest>(Correct(right), InCare())
      .Then({CorrectedNow(absl::StrCat(right, "basis: RECORDING_BASIS_DEVIATING "))});
}

TEST(CorrectVisitTest, CorrectedToThePlanItIsOnThePlannedBasis) {
  const std::string planned = absl::StrCat(At("starts_at", -3'600), "duration_minutes: 30 ");
  VisitScenario()
      .Given({Planned(), Realised(absl::StrCat(At("starts_at", -3'600),
                                               "duration_minutes: 55 "
                                               "basis: RECORDING_BASIS_DEVIATING "))})
      .When<v1::CorrectVisitRequest>(Correct(planned), InCare())
      .Then({CorrectedNow(absl::StrCat(planned, "basis: RECORDING_BASIS_PLANNED "))});
}

TEST(CorrectVisitTest, AnUnplannedVisitStaysUnplanned) {
  const std::string right = absl::StrCat(At("starts_at", -3'600), "duration_minutes: 25 ");
  VisitScenario()
      .Given({Realised("duration_minutes: 20 basis: RECORDING_BASIS_UNPLANNED ")})
      .When<v1::CorrectVisitRequest>(Correct(right), InCare())
      .Then({CorrectedNow(absl::StrCat(right, "basis: RECORDING_BASIS_UNPLANNED "))});
}

TEST(CorrectVisitTest, AMovedVisitKeepsItsBasisWhileOnlyItsReportChanges) {
  const std::string moved = absl::StrCat(At("starts_at", -3'600), "duration_minutes: 30 ");
  const std::string given =
      Realised(absl::StrCat(moved, "basis: RECORDING_BASIS_PLANNED corrects_visit_id: 'there' "));
  VisitScenario()
      .Given({given})
      .When<v1::CorrectVisitRequest>(Correct(absl::StrCat(moved, "report: 'new'")), InCare())
      .Then({CorrectedNow(absl::StrCat(moved, "report: 'new' basis: RECORDING_BASIS_PLANNED "))});
  const std::string longer = absl::StrCat(At("starts_at", -3'600), "duration_minutes: 31 ");
  VisitScenario()
      .Given({given})
      .When<v1::CorrectVisitRequest>(Correct(longer), InCare())
      .Then({CorrectedNow(absl::StrCat(longer, "basis: RECORDING_BASIS_DEVIATING "))});
}

TEST(CorrectVisitTest, OnlyTheNewestRecordingCanBeCorrected) {
  VisitScenario()
      .Given({Planned(), RealisedAsPlanned(),
              "corrected { client_id: 'client' corrects_recording_id: 'first' "
              "recording_id: 'second' duration_minutes: 31 }"})
      .When<v1::CorrectVisitRequest>(Correct("duration_minutes: 32"), InCare())
      .ThenRefused("NOT_THE_NEWEST_RECORDING");
}

TEST(CorrectVisitTest, OnlyARecordedVisitCanBeCorrected) {
  const std::string correct = Correct("duration_minutes: 30");
  VisitScenario()
      .When<v1::CorrectVisitRequest>(correct, InCare())
      .ThenFails(absl::StatusCode::kNotFound);
  VisitScenario()
      .Given({Planned(), RealisedAsPlanned()})
      .When<v1::CorrectVisitRequest>(correct, Unknown())
      .ThenFails(absl::StatusCode::kNotFound);
  VisitScenario()
      .Given({Planned()})
      .When<v1::CorrectVisitRequest>(correct, InCare())
      .ThenRefused("VISIT_NOT_RECORDED");
  VisitScenario()
      .Given({Planned(), Cancelled()})
      .When<v1::CorrectVisitRequest>(correct, InCare())
      .ThenRefused("VISIT_CANCELLED");
  VisitScenario()
      .Given({Planned(), RealisedAsPlanned(), Withdrawn()})
      .When<v1::CorrectVisitRequest>(correct, InCare())
      .ThenRefused("VISIT_WITHDRAWN");
}

TEST(CorrectVisitTest, EachRuleOfARecordingHoldsHereToo) {
  const auto refused = [](const std::string& rest, const ClientFacts& facts,
                          const std::string& reason) {
    VisitScenario()
        .Given({Planned(), RealisedAsPlanned()})
        .When<v1::CorrectVisitRequest>(Correct(rest), facts)
        .ThenRefused(reason);
  };
  refused(At("starts_at", 301), InCare(), "VISIT_IN_FUTURE");
  refused(At("starts_at", -60), Ended(), "CARE_ENDED");
  refused(absl::StrCat(At("starts_at", -60), "second_nurse_id: 'zoe'"), InCare(),
          "NURSE_NOT_IN_TEAM");
  refused(absl::StrCat(At("starts_at", -60), "second_nurse_id: 'anna'"), InCare(), "SAME_NURSE");
}

std::string Move(const std::string& to, const std::string& recording) {
  return absl::StrCat("visit_id: '", kVisit, "' client_id: 'client' to_client_id: '", to,
                      "' corrects_recording_id: '", recording, "'");
}

TEST(MoveVisitTest, TheVisitIsWithdrawnWithAllThatIsNeededToRecordItThere) {
  const std::string went = absl::StrCat(At("starts_at", -3'600),
                                        "duration_minutes: 55 second_nurse_id: 'bert' "
                                        "basis: RECORDING_BASIS_DEVIATING report: 'r' ");
  ClientFacts there = InCare();
  there.team_id = "team there";
  VisitScenario()
      .Given({Planned(), Realised(went)})
      .When<v1::MoveVisitRequest>(Move("other", "first"), there)
      .Then({absl::StrCat("withdrawn { visit_id: '", kVisit,
                          "' client_id: 'client' corrects_recording_id: 'first' ",
                          "to_client_id: 'other' to_team_id: 'team there' to_visit_id: '",
                          kNewVisit, "' nurse_id: 'anna' ", went, "}")});
}

TEST(MoveVisitTest, OnlyARecordedVisitCanBeMoved) {
  const std::string move = Move("other", "first");
  VisitScenario().When<v1::MoveVisitRequest>(move, InCare()).ThenFails(absl::StatusCode::kNotFound);
  VisitScenario()
      .Given({Planned()})
      .When<v1::MoveVisitRequest>(move, InCare())
      .ThenRefused("VISIT_NOT_RECORDED");
  VisitScenario()
      .Given({Planned(), Cancelled()})
      .When<v1::MoveVisitRequest>(move, InCare())
      .ThenRefused("VISIT_CANCELLED");
  VisitScenario()
      .Given({Planned(), RealisedAsPlanned(), Withdrawn()})
      .When<v1::MoveVisitRequest>(move, InCare())
      .ThenRefused("VISIT_WITHDRAWN");
}

TEST(MoveVisitTest, TheClientItMovesToMustBeAnotherInCareOfTheNursesTeam) {
  const auto given = [] { return VisitScenario().Given({Planned(), RealisedAsPlanned()}); };
  given().When<v1::MoveVisitRequest>(Move("client", "first"), InCare()).ThenRefused("SAME_CLIENT");
  given()
      .When<v1::MoveVisitRequest>(Move("other", "first"), Unknown())
      .ThenFails(absl::StatusCode::kNotFound);
  given().When<v1::MoveVisitRequest>(Move("other", "first"), Ended()).ThenRefused("CARE_ENDED");
  given()
      .When<v1::MoveVisitRequest>(Move("other", "older"), InCare())
      .ThenRefused("NOT_THE_NEWEST_RECORDING");
  ClientFacts elsewhere = InCare();
  elsewhere.members = {{"zoe"}};
  given()
      .When<v1::MoveVisitRequest>(Move("other", "first"), elsewhere)
      .ThenRefused("NURSE_NOT_IN_TEAM");
}

std::string RecordMoved() {
  return absl::StrCat("visit_id: '", kVisit,
                      "' client_id: 'other' team_id: 'team' nurse_id: 'anna' ",
                      "second_nurse_id: 'bert' ", At("starts_at", -3'600),
                      "duration_minutes: 55 basis: RECORDING_BASIS_DEVIATING report: 'r' ",
                      "corrects_visit_id: 'wrong' ");
}

TEST(RecordMovedVisitTest, TheSameMinutesAreRecordedAndTheWithdrawnVisitIsNamed) {
  VisitScenario()
      .WhenDecidedBy<v1::RecordMovedVisit>(Decide, RecordMoved())
      .Then({absl::StrCat("realised { ", RecordMoved(), "recording_id: '", kNewRecording, "' }")});
}

TEST(RecordMovedVisitTest, ItIsRecordedOnce) {
  VisitScenario()
      .Given({RealisedAsPlanned()})
      .WhenDecidedBy<v1::RecordMovedVisit>(Decide, RecordMoved())
      .ThenFails(absl::StatusCode::kAlreadyExists);
}

std::string Cancel(const std::string& client) {
  return absl::StrCat("visit_id: '", kVisit, "' client_id: '", client,
                      "' reason: CANCELLATION_REASON_CLIENT_ABSENT");
}

TEST(CancelVisitTest, APlannedVisitIsCancelledWithAReason) {
  VisitScenario()
      .Given({Planned()})
      .WhenDecidedBy<v1::CancelVisitRequest>(Decide, Cancel("client"))
      .Then({Cancelled()});
}

TEST(CancelVisitTest, OnlyAPlannedVisitCanBeCancelled) {
  VisitScenario()
      .WhenDecidedBy<v1::CancelVisitRequest>(Decide, Cancel("client"))
      .ThenFails(absl::StatusCode::kNotFound);
  VisitScenario()
      .Given({Planned()})
      .WhenDecidedBy<v1::CancelVisitRequest>(Decide, Cancel("other"))
      .ThenFails(absl::StatusCode::kNotFound);
  VisitScenario()
      .Given({Planned(), Cancelled()})
      .WhenDecidedBy<v1::CancelVisitRequest>(Decide, Cancel("client"))
      .ThenRefused("VISIT_CANCELLED");
  VisitScenario()
      .Given({Planned(), RealisedAsPlanned()})
      .WhenDecidedBy<v1::CancelVisitRequest>(Decide, Cancel("client"))
      .ThenRefused("VISIT_ALREADY_RECORDED");
  VisitScenario()
      .Given({Planned(), RealisedAsPlanned(), Withdrawn()})
      .WhenDecidedBy<v1::CancelVisitRequest>(Decide, Cancel("client"))
      .ThenRefused("VISIT_WITHDRAWN");
}

}  // namespace
}  // namespace buurtlog::visits
