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
using testing::kVisit;
using testing::Planned;
using testing::Realised;
using testing::RealisedAsPlanned;
using testing::Unknown;
using testing::VisitScenario;
using testing::Withdrawn;

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
