#include "services/clients/read_models/client_card.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "buurtlog/clients/v1/clients_events.pb.h"
#include "libs/eventsourcing/testing/history.h"

namespace buurtlog::clients {
namespace {

using eventsourcing::testing::History;
using eventsourcing::testing::HistoryStream;
using eventsourcing::testing::Proto;
using google::protobuf::util::MessageDifferencer;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Property;
using v1::ClientEvent;

constexpr absl::Time kMorning = absl::FromUnixSeconds(1'751'350'000);

Uuid Id(int number) { return *ParseUuid(absl::StrFormat("01890000-0000-7000-8000-%012d", number)); }
HistoryStream Client(int number) {
  return {
      .service = "clients", .category = "client", .id = Id(number), .partition_key = Id(number)};
}
// Events name the client CLIENT and ids by their numbers in brackets.
std::string Event(int client, const std::string& text) {
  std::string event = absl::StrReplaceAll(text, {{"CLIENT", Id(client).ToString()}});
  for (int number = 0; number < 100; ++number) {
    event = absl::StrReplaceAll(event, {{absl::StrFormat("[%d]", number), Id(number).ToString()}});
  }
  return event;
}

std::vector<std::string> TakenIn(int client) {
  std::vector<std::string> events;
  for (const char* event :
       {R"pb(client_taken_in {
               client_id: "CLIENT"
               team_id: "[50]"
               bsn: "999900006"
               given_name: "Els"
               family_name: "Vos"
               birth_date: "1943-05-07"
               postcode: "7511AB"
               house_number: "12a"
               gp_agb: "01000002"
               identity_document_kind: IDENTITY_DOCUMENT_KIND_PASSPORT
               identity_document_checked: true
             })pb",
        R"pb(responsible_nurse_named { client_id: "CLIENT" nurse_id: "[21]" })pb",
        R"pb(contact_person_named {
               client_id: "CLIENT"
               contact_person_id: "[61]"
               name: "Jan"
               relation: "son"
               phone: "0612345678"
             })pb",
        R"pb(contact_person_named { client_id: "CLIENT" contact_person_id: "[60]" name: "An" })pb",
        R"pb(wish_recorded { client_id: "CLIENT" wish_id: "[71]" wish: "to walk to church" })pb",
        R"pb(wish_recorded { client_id: "CLIENT" wish_id: "[70]" wish: "no early visits" })pb",
        R"pb(care_started {
               client_id: "CLIENT"
               team_id: "[50]"
               referrer_kind: REFERRER_KIND_GP
               referrer_agb: "01000001"
               started_on: "2025-07-02"
             })pb"}) {
    events.push_back(Event(client, event));
  }
  return events;
}
std::string HandedOver(int client) {
  return Event(client, R"pb(responsible_nurse_named { client_id: "CLIENT" nurse_id: "[22]" })pb");
}
std::string Ended(int client) {
  return Event(client, R"pb(care_ended {
                              client_id: "CLIENT"
                              team_id: "[50]"
                              reason: END_OF_CARE_REASON_GOALS_REACHED
                              ended_on: "2025-08-01"
                            })pb");
}

History ThreeClients() {
  History history;
  for (int client : {1, 2, 3}) history.Add<ClientEvent>(Client(client), kMorning, TakenIn(client));
  history.Add<ClientEvent>(Client(1), kMorning, {HandedOver(1)});
  history.Add<ClientEvent>(Client(2), kMorning, {HandedOver(2)});
  history.Add<ClientEvent>(Client(2), kMorning, {Ended(2)});
  return history;
}

v1::Client Find(int client) {
  ClientCard card;
  sqlite::Connection rows = ThreeClients().Fold(card);
  return *ClientCard::Find(rows, Id(client).ToString());
}

TEST(ClientCardTest, ACardShowsAllThatWasSaidAtTheIntake) {
  const auto expected = Proto<v1::Client>(Event(3, R"pb(
    client_id: "CLIENT"
    team_id: "[50]"
    responsible_nurse_id: "[21]"
    bsn: "999900006"
    given_name: "Els"
    family_name: "Vos"
    birth_date: "1943-05-07"
    postcode: "7511AB"
    house_number: "12a"
    gp_agb: "01000002"
    contact_persons { name: "Jan" relation: "son" phone: "0612345678" }
    contact_persons { name: "An" }
    wishes: "to walk to church"
    wishes: "no early visits"
    referrer { kind: REFERRER_KIND_GP organisation_agb: "01000001" }
    identity_document { kind: IDENTITY_DOCUMENT_KIND_PASSPORT checked: true }
    started_on: "2025-07-02"
    version: 7
  )pb"));
  const v1::Client card = Find(3);
  EXPECT_TRUE(MessageDifferencer::Equals(card, expected)) << card.DebugString();
}

TEST(ClientCardTest, AClientWhoShowedNothingHasNoDocument) {
  History history;
  history.Add<ClientEvent>(
      Client(1), kMorning,
      {Event(1, R"pb(client_taken_in { client_id: "CLIENT" team_id: "[50]" })pb")});
  ClientCard card;
  sqlite::Connection rows = history.Fold(card);
  EXPECT_FALSE(ClientCard::Find(rows, Id(1).ToString())->has_identity_document());
}

TEST(ClientCardTest, TheLastNurseNamedIsTheOneWhoIsResponsible) {
  EXPECT_EQ(Find(1).responsible_nurse_id(), Id(22).ToString());
  EXPECT_EQ(Find(1).version(), 8u);
}

TEST(ClientCardTest, CareThatEndedShowsWhenAndWhy) {
  const v1::Client card = Find(2);
  EXPECT_EQ(card.ended_on(), "2025-08-01");
  EXPECT_EQ(card.end_reason(), v1::END_OF_CARE_REASON_GOALS_REACHED);
  EXPECT_EQ(card.version(), 9u);
}

TEST(ClientCardTest, AnUnknownClientIsNotFound) {
  ClientCard card;
  sqlite::Connection rows = ThreeClients().Fold(card);
  EXPECT_EQ(ClientCard::Find(rows, Id(4).ToString()).status().code(), absl::StatusCode::kNotFound);
}

TEST(ClientCardTest, ClientsOfATeamAreListedPageByPage) {
  ClientCard card;
  sqlite::Connection rows = ThreeClients().Fold(card);
  ClientCard::PageRequest page;
  page.team_id = Id(50).ToString();
  page.size = 1;
  const auto first = ClientCard::List(rows, page);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_THAT(first->clients(),
              ElementsAre(Property(&v1::ClientSummary::client_id, Id(1).ToString())));
  EXPECT_EQ(first->clients(0).given_name(), "Els");
  EXPECT_EQ(first->clients(0).family_name(), "Vos");
  EXPECT_EQ(first->clients(0).responsible_nurse_id(), Id(22).ToString());

  // Care of the second has ended.
  page.after_client_id = first->next_page_token();
  const auto second = ClientCard::List(rows, page);
  EXPECT_THAT(second->clients(),
              ElementsAre(Property(&v1::ClientSummary::client_id, Id(3).ToString())));
  EXPECT_THAT(second->next_page_token(), IsEmpty());
}

TEST(ClientCardTest, ThoseWhoseCareEndedAreListedWhenAskedFor) {
  ClientCard card;
  sqlite::Connection rows = ThreeClients().Fold(card);
  ClientCard::PageRequest page;
  page.team_id = Id(50).ToString();
  page.include_ended = true;
  page.size = 0;
  const auto all = ClientCard::List(rows, page);
  EXPECT_THAT(all->clients(), ElementsAre(Property(&v1::ClientSummary::ended, false),
                                          Property(&v1::ClientSummary::ended, true),
                                          Property(&v1::ClientSummary::ended, false)));
}

TEST(ClientCardTest, AnotherTeamHasNoClients) {
  ClientCard card;
  sqlite::Connection rows = ThreeClients().Fold(card);
  ClientCard::PageRequest page;
  page.team_id = Id(51).ToString();
  EXPECT_THAT(ClientCard::List(rows, page)->clients(), IsEmpty());
}

TEST(ClientCardTest, AnyOrderOfPartitionsGivesTheSameRows) {
  ThreeClients().ExpectSameRowsInAnyOrder<ClientCard>();
}

}  // namespace
}  // namespace buurtlog::clients
