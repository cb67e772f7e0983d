// The visits service: its read models and process, and its rpcs as handlers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "buurtlog/visits/v1/visits_service.pb.h"
#include "libs/eventsourcing/service_node.h"
#include "libs/rpc/service.h"
#include "libs/rpc/service_main.h"
#include "services/visits/domain/visit.h"

namespace buurtlog::visits {

// Thread-safe once made. The node outlives it, and it outlives the host that serves it.
class VisitsService {
 public:
  // What the node is opened with.
  static std::vector<const eventsourcing::AggregateType*> Aggregates();
  // What the codecs of the logs of teams and clients must know.
  static void RegisterTeamEvents(eventsourcing::EventCodec& codec);
  static void RegisterClientEvents(eventsourcing::EventCodec& codec);

  // The logs from whose events it learns of teams and clients.
  struct Followed {
    eventsourcing::LogSource teams;
    eventsourcing::LogSource clients;
  };
  // Adds the read models and the process to the node, which is not started yet.
  static absl::StatusOr<std::unique_ptr<VisitsService>> Create(eventsourcing::ServiceNode& node,
                                                               const Followed& others);

  // Fresh read models, for whoever folds the log beside the service.
  static std::vector<std::unique_ptr<eventsourcing::ReadModel>> ReadModels();
  // How a process serves it. The addresses are those of the services it follows.
  static rpc::ServedService Served(std::string teams_address, std::string clients_address);

  rpc::Service MakeService();

 private:
  // Where a command goes, and which client's facts it is decided on.
  struct Target {
    Uuid client_id;
    Uuid visit_id;
    Uuid facts_of;
  };

  explicit VisitsService(eventsourcing::ServiceNode& node) : node_(node) {}

  void AddCommands(rpc::Service& service);
  void AddQueries(rpc::Service& service);

  // Calls `then` once all that the header asks for is known here.
  void WhenKnown(const rpc::CallContext& call, const type::v1::CommandHeader& header,
                 absl::AnyInvocable<void(absl::Status)> then);
  // Then reads the care register: `read` gives absl::StatusOr<Facts>, which `then` takes.
  template <typename Facts, typename Read, typename Then>
  void WithFacts(const rpc::CallContext& call, const type::v1::CommandHeader& header, Read read,
                 Then then);
  // Decides on `request` once the care register is as far as its header asks, and answers with
  // receipt and what `fill` adds.
  template <typename Request, typename Response, typename Fill>
  void DecideOnFacts(const rpc::CallContext& call, const Request& request, const Target& target,
                     rpc::Reply<Response> reply, Fill fill);

  void PlanVisit(const rpc::CallContext& call, const v1::PlanVisitRequest& request,
                 rpc::Reply<v1::PlanVisitResponse> reply);
  void ConfirmDay(const rpc::CallContext& call, const v1::ConfirmDayRequest& request,
                  rpc::Reply<v1::ConfirmDayResponse> reply);
  void RecordVisit(const rpc::CallContext& call, const v1::RecordVisitRequest& request,
                   rpc::Reply<v1::RecordVisitResponse> reply);
  void RecordUnplannedVisit(const rpc::CallContext& call,
                            const v1::RecordUnplannedVisitRequest& request,
                            rpc::Reply<v1::RecordUnplannedVisitResponse> reply);
  void CorrectVisit(const rpc::CallContext& call, const v1::CorrectVisitRequest& request,
                    rpc::Reply<v1::CorrectVisitResponse> reply);
  void MoveVisit(const rpc::CallContext& call, const v1::MoveVisitRequest& request,
                 rpc::Reply<v1::MoveVisitResponse> reply);
  void CancelVisit(const rpc::CallContext& call, const v1::CancelVisitRequest& request,
                   rpc::Reply<v1::CancelVisitResponse> reply);
  void GetVisit(const rpc::CallContext& call, const v1::GetVisitRequest& request,
                rpc::Reply<v1::GetVisitResponse> reply);
  void GetDaySheet(const rpc::CallContext& call, const v1::GetDaySheetRequest& request,
                   rpc::Reply<v1::GetDaySheetResponse> reply);
  void GetClientTimeline(const rpc::CallContext& call, const v1::GetClientTimelineRequest& request,
                         rpc::Reply<v1::GetClientTimelineResponse> reply);
  void GetTeamHours(const rpc::CallContext& call, const v1::GetTeamHoursRequest& request,
                    rpc::Reply<v1::GetTeamHoursResponse> reply);

  eventsourcing::ServiceNode& node_;
  // All owned by the node.
  eventsourcing::ProjectionRunner* care_register_ = nullptr;
  eventsourcing::ProjectionRunner* day_sheet_ = nullptr;
  eventsourcing::ProjectionRunner* client_timeline_ = nullptr;
  eventsourcing::ProjectionRunner* team_hours_ = nullptr;
};

}  // namespace buurtlog::visits
