#include "services/clients/clients_service.h"

#include <utility>

#include "buurtlog/teams/v1/teams_events.pb.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/command_call.h"
#include "services/clients/read_models/client_card.h"
#include "services/clients/read_models/team_register.h"

namespace buurtlog::clients {
namespace {

using eventsourcing::Command;

absl::StatusOr<Uuid> ParseClientId(const std::string& text) {
  absl::StatusOr<Uuid> id = ParseUuid(text);
  if (!id.ok()) return InvalidField("client_id", "is not a UUID");
  return id;
}

// Empty stays empty; anything else in lower case, as it stands in the read models. The form was
// checked.
std::string LowerCase(const std::string& id) {
  const absl::StatusOr<Uuid> parsed = ParseUuid(id);
  return parsed.ok() ? parsed->ToString() : "";
}

template <typename Request, typename Facts = eventsourcing::NoFacts>
absl::StatusOr<Command> CommandOf(const rpc::CallContext& call, const Uuid& client_id,
                                  const Request& request, Facts facts = {}) {
  return rpc::CommandFor(call, ClientAggregate(), client_id, client_id, request, std::move(facts));
}

}  // namespace

std::vector<const eventsourcing::AggregateType*> ClientsService::Aggregates() {
  return {&ClientAggregate()};
}

void ClientsService::RegisterTeamEvents(eventsourcing::EventCodec& codec) {
  codec.Register("team", &teams::v1::TeamEvent::default_instance());
}

std::vector<std::unique_ptr<eventsourcing::ReadModel>> ClientsService::ReadModels() {
  std::vector<std::unique_ptr<eventsourcing::ReadModel>> models;
  models.push_back(std::make_unique<ClientCard>());
  models.push_back(std::make_unique<TeamRegister>());
  return models;
}

rpc::ServedService ClientsService::Served(std::string teams_address) {
  rpc::ServedService served;
  served.service = "clients";
  served.aggregates = Aggregates();
  served.follows = {{"teams", std::move(teams_address), RegisterTeamEvents}};
  served.wire = [](eventsourcing::ServiceNode& node,
                   const std::vector<eventsourcing::LogSource>& followed)
      -> absl::StatusOr<rpc::WiredService> {
    ABSL_ASSIGN_OR_RETURN(std::shared_ptr<ClientsService> clients, Create(node, followed[0]));
    rpc::Service service = clients->MakeService();
    return rpc::WiredService{std::move(clients), std::move(service)};
  };
  return served;
}

absl::StatusOr<std::unique_ptr<ClientsService>> ClientsService::Create(
    eventsourcing::ServiceNode& node, eventsourcing::LogSource teams) {
  std::unique_ptr<ClientsService> service(new ClientsService(node));
  ABSL_ASSIGN_OR_RETURN(service->card_,
                        node.AddReadModel(std::make_unique<ClientCard>(), {node.source()}));
  ABSL_ASSIGN_OR_RETURN(service->team_register_,
                        node.AddReadModel(std::make_unique<TeamRegister>(), {teams}));
  const bool synthetic = node.log().identity().synthetic;
  service->bsn_range_ = synthetic ? BsnRange::kTestOnly : BsnRange::kAny;
  return service;
}

rpc::Service ClientsService::MakeService() {
  rpc::Service service("buurtlog.clients.v1.ClientsService");
  service.Unary<v1::TakeClientInRequest, v1::TakeClientInResponse>(
      "TakeClientIn", [this](const auto& call, const auto& request, auto reply) {
        TakeClientIn(call, request, std::move(reply));
      });
  service.Unary<v1::HandOverClientRequest, v1::HandOverClientResponse>(
      "HandOverClient", [this](const auto& call, const auto& request, auto reply) {
        HandOverClient(call, request, std::move(reply));
      });
  service.Unary<v1::EndCareRequest, v1::EndCareResponse>(
      "EndCare", [this](const auto& call, const auto& request, auto reply) {
        EndCare(call, request, std::move(reply));
      });
  service.Unary<v1::GetClientRequest, v1::GetClientResponse>(
      "GetClient", [this](const auto& call, const auto& request, auto reply) {
        GetClient(call, request, std::move(reply));
      });
  service.Unary<v1::ListClientsOfTeamRequest, v1::ListClientsOfTeamResponse>(
      "ListClientsOfTeam", [this](const auto& call, const auto& request, auto reply) {
        ListClientsOfTeam(call, request, std::move(reply));
      });
  return service;
}

void ClientsService::WhenKnown(const rpc::CallContext& call, const type::v1::CommandHeader& header,
                               absl::AnyInvocable<void(absl::Status)> then) {
  rpc::WhenKnown(header, call.deadline, {team_register_, card_}, std::move(then));
}

void ClientsService::WithTeamFacts(const rpc::CallContext& call,
                                   const type::v1::CommandHeader& header,
                                   TeamRegister::Question question,
                                   absl::AnyInvocable<void(absl::StatusOr<TeamFacts>)> then) {
  WhenKnown(call, header,
            [this, deadline = call.deadline, question = std::move(question),
             then = std::move(then)](absl::Status known) mutable {
              if (!known.ok()) return then(known);
              team_register_->Query<TeamFacts>(
                  {}, deadline,
                  [question = std::move(question)](sqlite::Connection& rows) {
                    return TeamRegister::Facts(rows, question);
                  },
                  std::move(then));
            });
}

void ClientsService::TakeClientIn(const rpc::CallContext& call,
                                  const v1::TakeClientInRequest& request,
                                  rpc::Reply<v1::TakeClientInResponse> reply) {
  const TeamRegister::Question question = {.team_id = LowerCase(request.team_id()),
                                           .nurse_id = LowerCase(request.responsible_nurse_id())};
  const auto decided_on = [this, call, request](const TeamFacts& team) -> absl::StatusOr<Command> {
    ABSL_ASSIGN_OR_RETURN(const Uuid id, ClientIdOf(request));
    return CommandOf(call, id, request, IntakeFacts{team, bsn_range_});
  };
  WithTeamFacts(call, request.header(), question,
                [this, decided_on, request, reply = std::move(reply)](auto team) mutable {
                  if (!team.ok()) return reply(team.status());
                  absl::StatusOr<Command> command = decided_on(*team);
                  if (!command.ok()) return reply(command.status());
                  const std::string id = command->stream_id.ToString();
                  node_.executor().Execute(
                      *std::move(command),
                      rpc::ReceiptTo(std::move(reply), [id](v1::TakeClientInResponse& response) {
                        response.set_client_id(id);
                      }));
                });
}

void ClientsService::HandOverClient(const rpc::CallContext& call,
                                    const v1::HandOverClientRequest& request,
                                    rpc::Reply<v1::HandOverClientResponse> reply) {
  const TeamRegister::Question question = {.team_id = "",
                                           .nurse_id = LowerCase(request.nurse_id())};
  const auto decided_on = [call, request](const TeamFacts& team) -> absl::StatusOr<Command> {
    ABSL_ASSIGN_OR_RETURN(const Uuid id, ParseClientId(request.client_id()));
    return CommandOf(call, id, request, team);
  };
  WithTeamFacts(call, request.header(), question,
                [this, decided_on, reply = std::move(reply)](auto team) mutable {
                  if (!team.ok()) return reply(team.status());
                  absl::StatusOr<Command> command = decided_on(*team);
                  if (!command.ok()) return reply(command.status());
                  node_.executor().Execute(*std::move(command), rpc::ReceiptTo(std::move(reply)));
                });
}

void ClientsService::EndCare(const rpc::CallContext& call, const v1::EndCareRequest& request,
                             rpc::Reply<v1::EndCareResponse> reply) {
  const absl::StatusOr<Uuid> id = ParseClientId(request.client_id());
  if (!id.ok()) return reply(id.status());
  absl::StatusOr<Command> command = CommandOf(call, *id, request);
  if (!command.ok()) return reply(command.status());
  WhenKnown(
      call, request.header(),
      [this, command = *std::move(command), reply = std::move(reply)](absl::Status known) mutable {
        if (!known.ok()) return reply(known);
        node_.executor().Execute(std::move(command), rpc::ReceiptTo(std::move(reply)));
      });
}

void ClientsService::GetClient(const rpc::CallContext& call, const v1::GetClientRequest& request,
                               rpc::Reply<v1::GetClientResponse> reply) {
  card_->Query<v1::GetClientResponse>(
      rpc::PositionsOf(request.min_position()), call.deadline,
      [id = LowerCase(request.client_id())](
          sqlite::Connection& rows) -> absl::StatusOr<v1::GetClientResponse> {
        v1::GetClientResponse response;
        ABSL_ASSIGN_OR_RETURN(*response.mutable_client(), ClientCard::Find(rows, id));
        return response;
      },
      std::move(reply));
}

void ClientsService::ListClientsOfTeam(const rpc::CallContext& call,
                                       const v1::ListClientsOfTeamRequest& request,
                                       rpc::Reply<v1::ListClientsOfTeamResponse> reply) {
  const ClientCard::PageRequest page = {.team_id = LowerCase(request.team_id()),
                                        .after_client_id = LowerCase(request.page_token()),
                                        .include_ended = request.include_ended(),
                                        .size = request.page_size()};
  card_->Query<v1::ListClientsOfTeamResponse>(
      rpc::PositionsOf(request.min_position()), call.deadline,
      [page](sqlite::Connection& rows) { return ClientCard::List(rows, page); }, std::move(reply));
}

}  // namespace buurtlog::clients
