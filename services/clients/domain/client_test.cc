#include "services/clients/domain/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "libs/eventsourcing/testing/scenario.h"

namespace buurtlog::clients {
namespace {

using eventsourcing::testing::Proto;
constexpr auto kDecide = [](const auto&... arguments) { return Decide(arguments...); };
using Scenario =
    eventsourcing::testing::Scenario<v1::ClientState, v1::ClientEvent, Evolve, decltype(kDecide)>;
using v1::EndCareRequest;
using v1::HandOverClientRequest;
using v1::TakeClientInRequest;

constexpr char kClient[] = "01890000-0000-7000-8000-00000000000c";
constexpr char kTeam[] = "01890000-0000-7000-8000-0000000000aa";
constexpr char kNurse[] = "01890000-0000-7000-8000-000000000011";
constexpr char kOtherNurse[] = "01890000-0000-7000-8000-000000000022";

// 00:30 in Amsterdam on the 2nd, 22:30 UTC on the 1st.
const absl::Time kAfterMidnight =
    absl::FromCivil(absl::CivilMinute(2025, 7, 1, 22, 30), absl::UTCTimeZone());

TeamFacts InTeam() { return {.team_exists = true, .teams_of_nurse = {kTeam}}; }
TeamFacts NotInTeam() { return {.team_exists = true, .teams_of_nurse = {"another"}}; }

// The texts below name people by short words, so that they fit on a line.
std::string WithIds(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"CLIENT", kClient}, {"TEAM", kTeam}, {"NURSE", kNurse}, {"COLLEAGUE", kOtherNurse}});
}

const char kTakeIn[] = R"pb(
  client_id: "CLIENT"
  team_id: "TEAM"
  responsible_nurse_id: "NURSE"
  bsn: "999900006"
  given_name: "Els"
  family_name: "Vos"
  birth_date: "1943-05-07"
  referrer { kind: REFERRER_KIND_GP organisation_agb: "01000001" }
)pb";
std::string TakeIn(const std::string& more = "") { return WithIds(absl::StrCat(kTakeIn, more)); }

std::string TakenIn(const std::string& more = "") {
  return WithIds(absl::StrCat(
      R"pb(client_taken_in { client_id: "CLIENT" team_id: "TEAM" bsn: "999900006" given_name: "Els"
                             family_name: "Vos"
                             birth_date: "1943-05-07")pb",
      more, "}"));
}
std::string Named(const std::string& nurse) {
  return WithIds(absl::StrCat(R"pb(responsible_nurse_named { client_id: "CLIENT" nurse_id: ")pb",
                              nurse, "\" }"));
}
std::string Started(const std::string& day = "2025-07-02") {
  return WithIds(absl::StrCat(R"pb(care_started { client_id: "CLIENT" team_id: "TEAM"
                                                  referrer_kind: REFERRER_KIND_GP
                                                  referrer_agb: "01000001"
                                                  started_on: ")pb",
                              day, "\" }"));
}
std::string Ended() {
  return WithIds(R"pb(care_ended {
                        client_id: "CLIENT"
                        team_id: "TEAM"
                        reason: END_OF_CARE_REASON_GOALS_REACHED
                        ended_on: "2025-07-02"
                      })pb");
}
std::vector<std::string> InCare() { return {TakenIn(), Named(kNurse), Started()}; }
std::vector<std::string> CareEnded() { return {TakenIn(), Named(kNurse), Started(), Ended()}; }

std::string HandOver(const std::string& nurse) {
  return WithIds(absl::StrCat(R"pb(client_id: "CLIENT" nurse_id: ")pb", nurse, "\""));
}
std::string EndCare() {
  return WithIds(R"pb(client_id: "CLIENT" reason: END_OF_CARE_REASON_GOALS_REACHED)pb");
}

// The error to taking in a client with one field set to something else.
absl::Status TakeInError(const std::string& field, const std::string& value,
                         BsnRange bsn_range = BsnRange::kTestOnly) {
  auto command = Proto<TakeClientInRequest>(TakeIn());
  const auto* descriptor = command.GetDescriptor()->FindFieldByName(field);
  command.GetReflection()->SetString(&command, descriptor, value);
  CommandContext context;
  context.now = context.occurred_at = kAfterMidnight;
  return Decide(v1::ClientState(), command, IntakeFacts{InTeam(), bsn_range}, context).status();
}

TEST(ClientTest, AClientIsTakenInAndCareStartsOnTheDayInAmsterdam) {
  Scenario()
      .At(kAfterMidnight)
      .When<TakeClientInRequest>(TakeIn(), IntakeFacts{InTeam()})
      .Then({TakenIn(), Named(kNurse), Started("2025-07-02")});
}

TEST(ClientTest, ContactPersonsWishesPractitionerAndDocumentAreKept) {
  const Uuid key = *ParseUuid("01890000-0000-7000-8000-000000000001");
  const std::string contact = DerivedUuid(key, "contact_person/0").ToString();
  const std::string first = DerivedUuid(key, "wish/0").ToString();
  const std::string second = DerivedUuid(key, "wish/1").ToString();
  Scenario()
      .At(kAfterMidnight)
      .When<TakeClientInRequest>(
          TakeIn(
              R"pb(postcode: "7511 ab"
                   house_number: "12a"
                   gp_agb: "01000002"
                   contact_persons { name: "Jan" relation: "son" phone: "0612345678" }
                   wishes: "to walk to church"
                   wishes: "no visits before eight"
                   identity_document { kind: IDENTITY_DOCUMENT_KIND_PASSPORT checked: true })pb"),
          IntakeFacts{InTeam()})
      .Then({TakenIn(R"pb(postcode: "7511AB"
                          house_number: "12a"
                          gp_agb: "01000002"
                          identity_document_kind: IDENTITY_DOCUMENT_KIND_PASSPORT
                          identity_document_checked: true)pb"),
             Named(kNurse),
             WithIds(absl::StrFormat(
                 R"pb(contact_person_named {
                        client_id: "CLIENT"
                        contact_person_id: "%s"
                        name: "Jan"
                        relation: "son"
                        phone: "0612345678"
                      })pb",
                 contact)),
             WithIds(absl::StrFormat(R"pb(wish_recorded {
                                            client_id: "CLIENT"
                                            wish_id: "%s"
                                            wish: "to walk to church"
                                          })pb",
                                     first)),
             WithIds(absl::StrFormat(
                 R"pb(wish_recorded {
                        client_id: "CLIENT"
                        wish_id: "%s"
                        wish: "no visits before eight"
                      })pb",
                 second)),
             Started()});
}

TEST(ClientTest, TheReferrersNewsNamesNobody) {
  const google::protobuf::Descriptor* news = v1::CareStarted::descriptor();
  for (int i = 0; i < news->field_count(); ++i) {
    EXPECT_THAT(news->field(i)->name(), testing::AnyOf("client_id", "team_id", "referrer_kind",
                                                       "referrer_agb", "started_on"));
  }
}

TEST(ClientTest, AClientTakenInTwiceAlreadyExists) {
  Scenario()
      .Given(InCare())
      .When<TakeClientInRequest>(TakeIn(), IntakeFacts{InTeam()})
      .ThenFails(absl::StatusCode::kAlreadyExists);
  Scenario()
      .Given(CareEnded())
      .When<TakeClientInRequest>(TakeIn(), IntakeFacts{InTeam()})
      .ThenFails(absl::StatusCode::kAlreadyExists);
}

TEST(ClientTest, ATeamThatIsNotThereTakesNobodyIn) {
  Scenario()
      .When<TakeClientInRequest>(TakeIn(), IntakeFacts())
      .ThenFails(absl::StatusCode::kNotFound);
}

TEST(ClientTest, TheResponsibleNurseIsOfTheTeam) {
  Scenario()
      .When<TakeClientInRequest>(TakeIn(), IntakeFacts{NotInTeam()})
      .ThenRefused("NURSE_NOT_IN_TEAM");
}

TEST(ClientTest, AWrongBsnIsInvalidWithItsReason) {
  const auto reason = [](const std::string& bsn) {
    const absl::Status status = TakeInError("bsn", bsn);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(StatusField(status), "bsn");
    return StatusReason(status).value_or("");
  };
  EXPECT_EQ(reason("99990000"), "BSN_ELEVEN_TEST");
  EXPECT_EQ(reason("999900007"), "BSN_ELEVEN_TEST");
  EXPECT_EQ(reason("000000000"), "BSN_ZERO");
  EXPECT_EQ(reason("9999-0006"), "BSN_FORM");
  EXPECT_EQ(reason("123456782"), "BSN_NOT_IN_TEST_RANGE");
  EXPECT_TRUE(TakeInError("bsn", "123456782", BsnRange::kAny).ok());
}

TEST(ClientTest, AWrongPostcodeIsInvalid) {
  for (const char* postcode :
       {"7511", "751AB", "0511AB", "7511A1", "75 11AB", "7511-AB", "AB7511"}) {
    const absl::Status status = TakeInError("postcode", postcode);
    EXPECT_EQ(StatusField(status), "postcode") << postcode;
    EXPECT_EQ(StatusReason(status), "POSTCODE_FORM") << postcode;
  }
  EXPECT_TRUE(TakeInError("postcode", "7511AB").ok());
  EXPECT_TRUE(TakeInError("postcode", "").ok());
}

TEST(ClientTest, AWrongAgbCodeIsInvalid) {
  EXPECT_EQ(StatusField(TakeInError("gp_agb", "1000001")), "gp_agb");
  EXPECT_EQ(StatusReason(TakeInError("gp_agb", "0100000a")), "AGB_FORM");
  const std::string referrer_with_short_code = absl::StrReplaceAll(
      TakeIn(), {{"organisation_agb: \"01000001\"", "organisation_agb: \"12\""}});
  Scenario()
      .When<TakeClientInRequest>(referrer_with_short_code, IntakeFacts{InTeam()})
      .ThenFails(absl::StatusCode::kInvalidArgument, "referrer.organisation_agb");
}

TEST(ClientTest, NobodyIsBornTomorrow) {
  EXPECT_EQ(StatusReason(TakeInError("birth_date", "2025-07-03")), "BIRTH_DATE_IN_FUTURE");
  EXPECT_TRUE(TakeInError("birth_date", "2025-07-02").ok());
  EXPECT_EQ(StatusField(TakeInError("birth_date", "1943-02-30")), "birth_date");
}

TEST(ClientTest, MalformedIdsAreNamed) {
  for (const char* field : {"client_id", "team_id", "responsible_nurse_id"}) {
    EXPECT_EQ(StatusField(TakeInError(field, "els")), field);
  }
  EXPECT_EQ(StatusField(TakeInError("client_id", "")), "header.idempotency_key");
}

TEST(ClientTest, TheIdOfAClientFollowsFromTheKeyWhenNoneIsChosen) {
  TakeClientInRequest command;
  command.mutable_header()->set_idempotency_key("01890000-0000-7000-8000-000000000001");
  EXPECT_EQ(*ClientIdOf(command),
            DerivedUuid(*ParseUuid("01890000-0000-7000-8000-000000000001"), "client"));
}

TEST(ClientTest, AClientIsHandedOverToAColleague) {
  Scenario()
      .Given(InCare())
      .When<HandOverClientRequest>(HandOver(kOtherNurse), InTeam())
      .Then({Named(kOtherNurse)});
}

TEST(ClientTest, WhoIsResponsibleDoesNotBecomeSoAgain) {
  Scenario()
      .Given(InCare())
      .When<HandOverClientRequest>(HandOver(kNurse), InTeam())
      .ThenRefused("ALREADY_RESPONSIBLE");
}

TEST(ClientTest, OnlyTheLastOneNamedIsResponsible) {
  std::vector<std::string> events = InCare();
  events.push_back(Named(kOtherNurse));
  Scenario()
      .Given(events)
      .When<HandOverClientRequest>(HandOver(kOtherNurse), InTeam())
      .ThenRefused("ALREADY_RESPONSIBLE");
  Scenario()
      .Given(events)
      .When<HandOverClientRequest>(HandOver(kNurse), InTeam())
      .Then({Named(kNurse)});
}

TEST(ClientTest, ANurseOfAnotherTeamDoesNotBecomeResponsible) {
  Scenario()
      .Given(InCare())
      .When<HandOverClientRequest>(HandOver(kOtherNurse), NotInTeam())
      .ThenRefused("NURSE_NOT_IN_TEAM");
}

TEST(ClientTest, NobodyIsHandedOverAfterCareEnded) {
  Scenario()
      .Given(CareEnded())
      .When<HandOverClientRequest>(HandOver(kOtherNurse), InTeam())
      .ThenRefused("CARE_ENDED");
}

TEST(ClientTest, AClientWhoIsNotThereIsNotHandedOver) {
  Scenario()
      .When<HandOverClientRequest>(HandOver(kOtherNurse), InTeam())
      .ThenFails(absl::StatusCode::kNotFound);
}

TEST(ClientTest, ANurseWithAMalformedIdDoesNotBecomeResponsible) {
  Scenario()
      .Given(InCare())
      .When<HandOverClientRequest>(HandOver("els"), InTeam())
      .ThenFails(absl::StatusCode::kInvalidArgument, "nurse_id");
}

TEST(ClientTest, CareEnds) {
  Scenario().Given(InCare()).At(kAfterMidnight).When<EndCareRequest>(EndCare()).Then({Ended()});
}

TEST(ClientTest, CareDoesNotEndTwice) {
  Scenario().Given(CareEnded()).When<EndCareRequest>(EndCare()).ThenRefused("CARE_ENDED");
}

TEST(ClientTest, CareOfAClientWhoIsNotThereDoesNotEnd) {
  Scenario().When<EndCareRequest>(EndCare()).ThenFails(absl::StatusCode::kNotFound);
}

TEST(ClientTest, CareOfAMalformedIdDoesNotEnd) {
  Scenario()
      .Given(InCare())
      .When<EndCareRequest>(R"pb(client_id: "els")pb")
      .ThenFails(absl::StatusCode::kInvalidArgument, "client_id");
}

TEST(ClientTest, WhatIsNotNeededByARuleChangesNoState) {
  v1::ClientState before;
  for (const std::string& event : InCare()) Evolve(before, Proto<v1::ClientEvent>(event));
  v1::ClientState state = before;
  for (const char* event : {"contact_person_named {}", "wish_recorded {}", "care_started {}", ""}) {
    Evolve(state, Proto<v1::ClientEvent>(event));
    EXPECT_EQ(state.SerializeAsString(), before.SerializeAsString()) << event;
  }
}

TEST(ClientTest, TheAggregateFoldsItsEvents) {
  const eventsourcing::AggregateType& type = ClientAggregate();
  EXPECT_EQ(type.category, "client");
  v1::ClientState state;
  for (const std::string& text : InCare()) type.evolve(state, Proto<v1::ClientEvent>(text));
  EXPECT_EQ(state.stage(), v1::CARE_STAGE_IN_CARE);
  EXPECT_EQ(state.team_id(), kTeam);
  EXPECT_EQ(state.responsible_nurse_id(), kNurse);
}

}  // namespace
}  // namespace buurtlog::clients
