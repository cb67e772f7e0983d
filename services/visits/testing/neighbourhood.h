// The visits service with the logs of teams and clients beside it, into which a test writes the
// events that those services would have written. Header only; for tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "buurtlog/clients/v1/clients_events.pb.h"
#include "buurtlog/clients/v1/clients_state.pb.h"
#include "buurtlog/teams/v1/teams_events.pb.h"
#include "buurtlog/teams/v1/teams_state.pb.h"
#include "buurtlog/visits/v1/visits_service.grpc.pb.h"
#include "libs/base/care_day.h"
#include "libs/base/random.h"
#include "libs/eventlog/record.h"
#include "libs/rpc/testing/running_services.h"
#include "services/visits/visits_service.h"

namespace buurtlog::visits::testing {

template <typename State, typename Event>
void EvolveNothing(State&, const Event&) {}

template <typename State, typename Event>
absl::StatusOr<std::vector<Event>> WriteIt(const State&, const Event& event,
                                           const eventsourcing::CommandContext&) {
  return std::vector<Event>{event};
}

class Neighbourhood {
  rpc::testing::RunningServices region_;  // first: the ids below are made by it

 public:
  using Stub = v1::VisitsService::Stub;

  Neighbourhood() {
    teams_ = &region_.AddNode("teams", {&TeamType()});
    clients_ = &region_.AddNode("clients", {&ClientType()});
    eventsourcing::ServiceNode& visits = region_.AddNode("visits", VisitsService::Aggregates());
    auto service = VisitsService::Create(visits, {teams_->source(), clients_->source()});
    EXPECT_TRUE(service.ok()) << service.status();
    region_.Serve(*std::move(service));
    region_.Start();
    stub_ = v1::VisitsService::NewStub(region_.channel());
    for (const Uuid& nurse : {anna, bert}) Join(nurse);
    TakeIn(client, "Visser");
    TakeIn(other_client, "de Boer");
  }

  void Join(const Uuid& person) {
    teams::v1::TeamEvent event;
    event.mutable_member_joined()->set_team_id(team.ToString());
    event.mutable_member_joined()->set_person_id(person.ToString());
    Write(*teams_, TeamType(), team, event);
  }
  void TakeIn(const Uuid& id, const std::string& family_name) {
    clients::v1::ClientEvent event;
    event.mutable_client_taken_in()->set_client_id(id.ToString());
    event.mutable_client_taken_in()->set_team_id(team.ToString());
    event.mutable_client_taken_in()->set_given_name("Jo");
    event.mutable_client_taken_in()->set_family_name(family_name);
    Write(*clients_, ClientType(), id, event);
  }
  void EndCare(const Uuid& id) {
    clients::v1::ClientEvent event;
    event.mutable_care_ended()->set_client_id(id.ToString());
    Write(*clients_, ClientType(), id, event);
  }

  // A client whom nobody knows, and whose visits would stand in another partition than this one's.
  static Uuid OfAnotherPartition(const Uuid& client) {
    const auto partition = [](const Uuid& key) {
      return eventlog::PartitionOf(eventlog::ShardOf(key), eventlog::kPartitionsDefault);
    };
    Uuid other;
    do {
      other = NewUuid(Now(), SystemRandom());
    } while (partition(other) == partition(client));
    return other;
  }

  // A new key, and what other services have said so far must be known.
  void FillHeader(type::v1::CommandHeader& header) {
    header.set_idempotency_key(region_.NewKey());
    for (const type::v1::Position& position : written_) *header.add_min_position() = position;
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const std::decay_t<Request>& request,
                                access::v1::Role role = access::v1::ROLE_NURSE,
                                absl::Duration within = rpc::testing::RunningServices::kCallMax) {
    return region_.Call(*stub_, method, request, role, within);
  }

  // The answer to a call that must succeed.
  template <typename Request, typename Response>
  Response Get(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
               const std::decay_t<Request>& request) {
    absl::StatusOr<Response> response = Call(method, request);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.value_or(Response());
  }

  static absl::Time Now() { return rpc::testing::RunningServices::kNow; }
  static std::string Today() { return CareDayText(CareDay(Now())); }

  const Uuid team = region_.NewId();
  const Uuid anna = region_.NewId();
  const Uuid bert = region_.NewId();
  const Uuid client = region_.NewId();
  const Uuid other_client = region_.NewId();

 private:
  static const eventsourcing::AggregateType& TeamType() {
    static const auto* const kType = new eventsourcing::AggregateType(
        eventsourcing::MakeAggregateType<teams::v1::TeamState, teams::v1::TeamEvent, EvolveNothing>(
            "team", 1,
            {eventsourcing::MakeRule<teams::v1::TeamState, teams::v1::TeamEvent,
                                     teams::v1::TeamEvent, &WriteIt>()}));
    return *kType;
  }
  static const eventsourcing::AggregateType& ClientType() {
    static const auto* const kType = new eventsourcing::AggregateType(
        eventsourcing::MakeAggregateType<clients::v1::ClientState, clients::v1::ClientEvent,
                                         EvolveNothing>(
            "client", 1,
            {eventsourcing::MakeRule<clients::v1::ClientState, clients::v1::ClientEvent,
                                     clients::v1::ClientEvent, &WriteIt>()}));
    return *kType;
  }

  template <typename Event>
  void Write(eventsourcing::ServiceNode& node, const eventsourcing::AggregateType& type,
             const Uuid& id, const Event& event) {
    eventsourcing::Command command = eventsourcing::MakeCommand(type, id, id, event);
    command.idempotency_key = region_.NewId();
    absl::Notification answered;
    node.executor().Execute(std::move(command), [&](absl::StatusOr<type::v1::Receipt> receipt) {
      EXPECT_TRUE(receipt.ok()) << receipt.status();
      if (receipt.ok()) written_.push_back(receipt->position());
      answered.Notify();
    });
    answered.WaitForNotification();
  }

  eventsourcing::ServiceNode* teams_ = nullptr;
  eventsourcing::ServiceNode* clients_ = nullptr;
  std::unique_ptr<Stub> stub_;
  std::vector<type::v1::Position> written_;
};

}  // namespace buurtlog::visits::testing
