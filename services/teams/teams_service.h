// The teams service: its read model, and its rpcs as handlers.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "buurtlog/teams/v1/teams_service.pb.h"
#include "libs/eventsourcing/service_node.h"
#include "libs/rpc/service.h"
#include "libs/rpc/service_main.h"

namespace buurtlog::teams {

// Thread-safe once made. The node outlives it, and it outlives the host that serves it.
class TeamsService {
 public:
  // What the node is opened with.
  static std::vector<const eventsourcing::AggregateType*> Aggregates();
  // Adds the read model to the node, which is not started yet. Follows no other service.
  static absl::StatusOr<std::unique_ptr<TeamsService>> Create(eventsourcing::ServiceNode& node);

  // Fresh read models, for whoever folds the log beside the service.
  static std::vector<std::unique_ptr<eventsourcing::ReadModel>> ReadModels();
  // How a process serves it.
  static rpc::ServedService Served();

  rpc::Service MakeService();

 private:
  explicit TeamsService(eventsourcing::ServiceNode& node) : node_(node) {}

  // Executes the command of `request` once the positions of its header are known, and answers with
  // receipt and what `fill` adds.
  template <typename Request, typename Response, typename Fill>
  void Execute(const rpc::CallContext& call, const absl::StatusOr<Uuid>& team_id,
               const Request& request, rpc::Reply<Response> reply, Fill fill);

  void FormTeam(const rpc::CallContext& call, const v1::FormTeamRequest& request,
                rpc::Reply<v1::FormTeamResponse> reply);
  void AddMember(const rpc::CallContext& call, const v1::AddMemberRequest& request,
                 rpc::Reply<v1::AddMemberResponse> reply);
  void EndMembership(const rpc::CallContext& call, const v1::EndMembershipRequest& request,
                     rpc::Reply<v1::EndMembershipResponse> reply);
  void GetTeam(const rpc::CallContext& call, const v1::GetTeamRequest& request,
               rpc::Reply<v1::GetTeamResponse> reply);
  void ListTeams(const rpc::CallContext& call, const v1::ListTeamsRequest& request,
                 rpc::Reply<v1::ListTeamsResponse> reply);

  eventsourcing::ServiceNode& node_;
  eventsourcing::ProjectionRunner* directory_ = nullptr;  // owned by the node
};

}  // namespace buurtlog::teams
