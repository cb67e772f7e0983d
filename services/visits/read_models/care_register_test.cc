#include "services/visits/read_models/care_register.h"

#include <gtest/gtest.h>

#include "buurtlog/clients/v1/clients_events.pb.h"
#include "buurtlog/teams/v1/teams_events.pb.h"
#include "libs/eventsourcing/testing/history.h"
#include "services/visits/testing/visit_events.h"

namespace buurtlog::visits {
namespace {

using eventsourcing::testing::History;
using testing::TestId;

const Uuid kTeam = TestId(0x10);
const Uuid kClient = TestId(0x21);
const Uuid kAnna = TestId(0x31);

const absl::Time kNow = absl::FromUnixSeconds(1'760'000'000);

void AddTeamEvent(History& history, const Uuid& team, const teams::v1::TeamEvent& event,
                  absl::Time at) {
  history.Add<teams::v1::TeamEvent>({"teams", "team", team, team}, at, {event.ShortDebugString()});
}
void AddClientEvent(History& history, const Uuid& client, const clients::v1::ClientEvent& event) {
  history.Add<clients::v1::ClientEvent>({"clients", "client", client, client}, kNow,
                                        {event.ShortDebugString()});
}
void Join(History& history, const Uuid& team, const Uuid& person, absl::Time at = kNow) {
  teams::v1::TeamEvent event;
  event.mutable_member_joined()->set_team_id(team.ToString());
  event.mutable_member_joined()->set_person_id(person.ToString());
  AddTeamEvent(history, team, event, at);
}
void Leave(History& history, const Uuid& team, const Uuid& person, absl::Time at = kNow) {
  teams::v1::TeamEvent event;
  event.mutable_membership_ended()->set_team_id(team.ToString());
  event.mutable_membership_ended()->set_person_id(person.ToString());
  AddTeamEvent(history, team, event, at);
}
void TakeIn(History& history, const Uuid& client, const Uuid& team) {
  clients::v1::ClientEvent event;
  event.mutable_client_taken_in()->set_client_id(client.ToString());
  event.mutable_client_taken_in()->set_team_id(team.ToString());
  AddClientEvent(history, client, event);
}
void EndCare(History& history, const Uuid& client) {
  clients::v1::ClientEvent event;
  event.mutable_care_ended()->set_client_id(client.ToString());
  AddClientEvent(history, client, event);
}

ClientFacts Facts(const History& history, const Uuid& client) {
  CareRegister model;
  sqlite::Connection rows = history.Fold(model);
  const auto facts = FactsOf(rows, client);
  EXPECT_TRUE(facts.ok()) << facts.status();
  return facts.value_or(ClientFacts());
}

TEST(CareRegisterTest, AClientTakenInHasATeamWithItsMembers) {
  History history;
  teams::v1::TeamEvent formed;
  formed.mutable_team_formed();
  AddTeamEvent(history, kTeam, formed, kNow);
  Join(history, kTeam, kAnna);
  TakeIn(history, kClient, kTeam);
  const ClientFacts facts = Facts(history, kClient);
  EXPECT_EQ(facts.team_id, kTeam.ToString());
  EXPECT_EQ(facts.care_started_at, kNow);
  EXPECT_EQ(facts.care_ended_at, absl::InfiniteFuture());
  ASSERT_EQ(facts.members.size(), 1u);
  EXPECT_EQ(facts.members[0].person_id, kAnna.ToString());
  EXPECT_EQ(facts.members[0].joined_at, kNow);
  EXPECT_EQ(facts.members[0].ended_at, absl::InfiniteFuture());
}

TEST(CareRegisterTest, OfAnUnknownClientNothingIsKnown) {
  History history;
  TakeIn(history, kClient, kTeam);
  EXPECT_EQ(Facts(history, kAnna).team_id, "");
}

TEST(CareRegisterTest, WhoLeftTheTeamIsRememberedWithTheTime) {
  History history;
  Join(history, kTeam, kAnna);
  Leave(history, kTeam, kAnna);
  TakeIn(history, kClient, kTeam);
  const ClientFacts facts = Facts(history, kClient);
  ASSERT_EQ(facts.members.size(), 1u);
  EXPECT_EQ(facts.members[0].ended_at, kNow);
}

TEST(CareRegisterTest, WhoComesBackIsInTheTeamAgain) {
  History history;
  Join(history, kTeam, kAnna);
  Leave(history, kTeam, kAnna);
  Join(history, kTeam, kAnna);
  TakeIn(history, kClient, kTeam);
  const ClientFacts facts = Facts(history, kClient);
  ASSERT_EQ(facts.members.size(), 1u);
  EXPECT_EQ(facts.members[0].ended_at, absl::InfiniteFuture());
}

TEST(CareRegisterTest, EachStayInATeamIsRememberedWithItsTimes) {
  History history;
  const absl::Duration year = absl::Hours(365 * 24);
  Join(history, kTeam, kAnna, kNow - 3 * year);
  Leave(history, kTeam, kAnna, kNow - 2 * year);
  Join(history, kTeam, kAnna, kNow - year);
  TakeIn(history, kClient, kTeam);
  const ClientFacts facts = Facts(history, kClient);
  ASSERT_EQ(facts.members.size(), 2u);
  EXPECT_EQ(facts.members[0].joined_at, kNow - 3 * year);
  EXPECT_EQ(facts.members[0].ended_at, kNow - 2 * year);
  EXPECT_EQ(facts.members[1].joined_at, kNow - year);
  EXPECT_EQ(facts.members[1].ended_at, absl::InfiniteFuture());
}

TEST(CareRegisterTest, TheEndOfCareIsKnownWithItsTime) {
  History history;
  TakeIn(history, kClient, kTeam);
  EndCare(history, kClient);
  EXPECT_EQ(Facts(history, kClient).care_ended_at, kNow);
}

TEST(CareRegisterTest, WhatElseHappensToAClientChangesNothing) {
  History history;
  TakeIn(history, kClient, kTeam);
  for (const char* text : {"responsible_nurse_named {}", "contact_person_named {}",
                           "wish_recorded {}", "care_started {}"}) {
    history.Add<clients::v1::ClientEvent>({"clients", "client", kClient, kClient}, kNow, {text});
  }
  EXPECT_EQ(Facts(history, kClient).team_id, kTeam.ToString());
}

TEST(CareRegisterTest, AnyInterleavingGivesTheSameRows) {
  History history;
  for (uint64_t i = 0; i < 8; ++i) {
    Join(history, TestId(0x100 + i % 3), TestId(0x200 + i));
    TakeIn(history, TestId(0x300 + i), TestId(0x100 + i % 3));
    if (i % 2 == 0) Leave(history, TestId(0x100 + i % 3), TestId(0x200 + i));
    if (i % 3 == 0) EndCare(history, TestId(0x300 + i));
  }
  history.ExpectSameRowsInAnyOrder<CareRegister>();
}

}  // namespace
}  // namespace buurtlog::visits
