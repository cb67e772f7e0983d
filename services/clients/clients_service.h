// The clients service: its read models, and its rpcs as handlers.
#pragma once

#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "buurtlog/clients/v1/clients_service.pb.h"
#include "libs/eventsourcing/service_node.h"
#include "libs/rpc/service.h"
#include "libs/rpc/service_main.h"
#include "services/clients/domain/client.h"
#include "services/clients/read_models/team_register.h"

namespace buurtlog::clients {

// Thread-safe once made. The node outlives it, and it outlives the host that serves it.
class ClientsService {
 public:
  // What the node is opened with.
  static std::vector<const eventsourcing::AggregateType*> Aggregates();
  // Adds the read models to the node, which is not started yet. `teams` is the log of teams, whose
  // events it learns of teams from; its codec must know the category `team` (RegisterTeamEvents).
  static absl::StatusOr<std::unique_ptr<ClientsService>> Create(eventsourcing::ServiceNode& node,
                                                                eventsourcing::LogSource teams);
  // What a codec of the log of teams must know.
  static void RegisterTeamEvents(eventsourcing::EventCodec& codec);

  // Fresh read models, for whoever folds the log beside the service.
  static std::vector<std::unique_ptr<eventsourcing::ReadModel>> ReadModels();
  // How a process serves it. The address is that of the service it follows.
  static rpc::ServedService Served(std::string teams_address);

  rpc::Service MakeService();

 private:
  explicit ClientsService(eventsourcing::ServiceNode& node) : node_(node) {}

  void TakeClientIn(const rpc::CallContext& call, const v1::TakeClientInRequest& request,
                    rpc::Reply<v1::TakeClientInResponse> reply);
  void HandOverClient(const rpc::CallContext& call, const v1::HandOverClientRequest& request,
                      rpc::Reply<v1::HandOverClientResponse> reply);
  void EndCare(const rpc::CallContext& call, const v1::EndCareRequest& request,
               rpc::Reply<v1::EndCareResponse> reply);
  void GetClient(const rpc::CallContext& call, const v1::GetClientRequest& request,
                 rpc::Reply<v1::GetClientResponse> reply);
  void ListClientsOfTeam(const rpc::CallContext& call, const v1::ListClientsOfTeamRequest& request,
                         rpc::Reply<v1::ListClientsOfTeamResponse> reply);

  // Calls `then` once all that the header asks for is known here.
  void WhenKnown(const rpc::CallContext& call, const type::v1::CommandHeader& header,
                 absl::AnyInvocable<void(absl::Status)> then);
  // Then reads what the rules need to know of teams.
  void WithTeamFacts(const rpc::CallContext& call, const type::v1::CommandHeader& header,
                     TeamRegister::Question question,
                     absl::AnyInvocable<void(absl::StatusOr<TeamFacts>)> then);

  eventsourcing::ServiceNode& node_;
  eventsourcing::ProjectionRunner* card_ = nullptr;           // owned by the node
  eventsourcing::ProjectionRunner* team_register_ = nullptr;  // owned by the node
  BsnRange bsn_range_ = BsnRange::kTestOnly;
};

}  // namespace buurtlog::clients
