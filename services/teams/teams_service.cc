#include "services/teams/teams_service.h"

#include <string>
#include <utility>

#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/command_call.h"
#include "services/teams/domain/team.h"
#include "services/teams/read_models/team_directory.h"

namespace buurtlog::teams {
namespace {

using eventsourcing::Command;

absl::StatusOr<Uuid> ParseTeamId(const std::string& text) {
  absl::StatusOr<Uuid> id = ParseUuid(text);
  if (!id.ok()) return InvalidField("team_id", "is not a UUID");
  return id;
}

// Empty stays empty; anything else in lower case, as it stands in the read model. The form was
// checked.
std::string LowerCase(const std::string& id) {
  const absl::StatusOr<Uuid> parsed = ParseUuid(id);
  return parsed.ok() ? parsed->ToString() : "";
}

template <typename Request>
absl::StatusOr<Command> CommandOf(const rpc::CallContext& call, const absl::StatusOr<Uuid>& team_id,
                                  const Request& request) {
  ABSL_RETURN_IF_ERROR(team_id.status());
  return rpc::CommandFor(call, TeamAggregate(), *team_id, *team_id, request);
}

}  // namespace

std::vector<const eventsourcing::AggregateType*> TeamsService::Aggregates() {
  return {&TeamAggregate()};
}

std::vector<std::unique_ptr<eventsourcing::ReadModel>> TeamsService::ReadModels() {
  std::vector<std::unique_ptr<eventsourcing::ReadModel>> models;
  models.push_back(std::make_unique<TeamDirectory>());
  return models;
}

rpc::ServedService TeamsService::Served() {
  rpc::ServedService served;
  served.service = "teams";
  served.aggregates = Aggregates();
  served.wire =
      [](eventsourcing::ServiceNode& node,
         const std::vector<eventsourcing::LogSource>&) -> absl::StatusOr<rpc::WiredService> {
    ABSL_ASSIGN_OR_RETURN(std::shared_ptr<TeamsService> teams, Create(node));
    rpc::Service service = teams->MakeService();
    return rpc::WiredService{std::move(teams), std::move(service)};
  };
  return served;
}

absl::StatusOr<std::unique_ptr<TeamsService>> TeamsService::Create(
    eventsourcing::ServiceNode& node) {
  std::unique_ptr<TeamsService> service(new TeamsService(node));
  ABSL_ASSIGN_OR_RETURN(service->directory_,
                        node.AddReadModel(std::make_unique<TeamDirectory>(), {node.source()}));
  return service;
}

rpc::Service TeamsService::MakeService() {
  rpc::Service service("buurtlog.teams.v1.TeamsService");
  service.Unary<v1::FormTeamRequest, v1::FormTeamResponse>(
      "FormTeam", [this](const auto& call, const auto& request, auto reply) {
        FormTeam(call, request, std::move(reply));
      });
  service.Unary<v1::AddMemberRequest, v1::AddMemberResponse>(
      "AddMember", [this](const auto& call, const auto& request, auto reply) {
        AddMember(call, request, std::move(reply));
      });
  service.Unary<v1::EndMembershipRequest, v1::EndMembershipResponse>(
      "EndMembership", [this](const auto& call, const auto& request, auto reply) {
        EndMembership(call, request, std::move(reply));
      });
  service.Unary<v1::GetTeamRequest, v1::GetTeamResponse>(
      "GetTeam", [this](const auto& call, const auto& request, auto reply) {
        GetTeam(call, request, std::move(reply));
      });
  service.Unary<v1::ListTeamsRequest, v1::ListTeamsResponse>(
      "ListTeams", [this](const auto& call, const auto& request, auto reply) {
        ListTeams(call, request, std::move(reply));
      });
  return service;
}

template <typename Request, typename Response, typename Fill>
void TeamsService::Execute(const rpc::CallContext& call, const absl::StatusOr<Uuid>& team_id,
                           const Request& request, rpc::Reply<Response> reply, Fill fill) {
  absl::StatusOr<Command> command = CommandOf(call, team_id, request);
  if (!command.ok()) return reply(command.status());
  rpc::WhenKnown(request.header(), call.deadline, {directory_},
                 [this, command = *std::move(command), fill = std::move(fill),
                  reply = std::move(reply)](absl::Status known) mutable {
                   if (!known.ok()) return reply(known);
                   node_.executor().Execute(std::move(command),
                                            rpc::ReceiptTo(std::move(reply), std::move(fill)));
                 });
}

void TeamsService::FormTeam(const rpc::CallContext& call, const v1::FormTeamRequest& request,
                            rpc::Reply<v1::FormTeamResponse> reply) {
  const absl::StatusOr<Uuid> id = TeamIdOf(request);
  Execute(call, id, request, std::move(reply),
          [id = id.ok() ? id->ToString() : ""](v1::FormTeamResponse& response) {
            response.set_team_id(id);
          });
}

void TeamsService::AddMember(const rpc::CallContext& call, const v1::AddMemberRequest& request,
                             rpc::Reply<v1::AddMemberResponse> reply) {
  Execute(call, ParseTeamId(request.team_id()), request, std::move(reply),
          [](v1::AddMemberResponse&) {});
}

void TeamsService::EndMembership(const rpc::CallContext& call,
                                 const v1::EndMembershipRequest& request,
                                 rpc::Reply<v1::EndMembershipResponse> reply) {
  Execute(call, ParseTeamId(request.team_id()), request, std::move(reply),
          [](v1::EndMembershipResponse&) {});
}

void TeamsService::GetTeam(const rpc::CallContext& call, const v1::GetTeamRequest& request,
                           rpc::Reply<v1::GetTeamResponse> reply) {
  directory_->Query<v1::GetTeamResponse>(
      rpc::PositionsOf(request.min_position()), call.deadline,
      [id = LowerCase(request.team_id())](
          sqlite::Connection& rows) -> absl::StatusOr<v1::GetTeamResponse> {
        v1::GetTeamResponse response;
        ABSL_ASSIGN_OR_RETURN(*response.mutable_team(), TeamDirectory::Find(rows, id));
        return response;
      },
      std::move(reply));
}

void TeamsService::ListTeams(const rpc::CallContext& call, const v1::ListTeamsRequest& request,
                             rpc::Reply<v1::ListTeamsResponse> reply) {
  const TeamDirectory::PageRequest page = {.organisation_id = LowerCase(request.organisation_id()),
                                           .after_team_id = LowerCase(request.page_token()),
                                           .size = request.page_size()};
  directory_->Query<v1::ListTeamsResponse>(
      rpc::PositionsOf(request.min_position()), call.deadline,
      [page](sqlite::Connection& rows) { return TeamDirectory::List(rows, page); },
      std::move(reply));
}

}  // namespace buurtlog::teams
