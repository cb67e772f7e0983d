#include "services/visits/visits_service.h"

#include <string>
#include <utility>

#include "buurtlog/clients/v1/clients_events.pb.h"
#include "buurtlog/teams/v1/teams_events.pb.h"
#include "libs/base/care_day.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/command_call.h"
#include "services/visits/confirm_day.h"
#include "services/visits/processes/record_moved_visits.h"
#include "services/visits/read_models/care_register.h"
#include "services/visits/read_models/client_timeline.h"
#include "services/visits/read_models/day_sheet.h"
#include "services/visits/read_models/team_hours.h"

namespace buurtlog::visits {
namespace {

using rpc::CallContext;
using rpc::Reply;

// An id whose form the field rules have checked.
Uuid IdOf(const std::string& text) { return *ParseUuid(text); }

// The id that the caller chose, else the one that the command's key makes.
template <typename Request>
Uuid NewVisitIdFor(const Request& request) {
  return IdOf(request.visit_id().empty() ? NewVisitId(IdOf(request.header().idempotency_key()))
                                         : request.visit_id());
}

template <typename Request>
std::string NewRecordingIdFor(const Request& request) {
  return NewRecordingId(IdOf(request.header().idempotency_key()));
}

absl::StatusOr<absl::CivilDay> DayOf(std::string_view field, const std::string& text) {
  const absl::StatusOr<absl::CivilDay> day = ParseCareDay(text);
  if (!day.ok()) return InvalidField(field, "is not a calendar date");
  return *day;
}

absl::StatusOr<std::vector<ClientFacts>> FactsOfEach(sqlite::Connection& rows,
                                                     const std::vector<Uuid>& clients) {
  std::vector<ClientFacts> all;
  for (const Uuid& client : clients) {
    ABSL_ASSIGN_OR_RETURN(ClientFacts facts, FactsOf(rows, client));
    all.push_back(std::move(facts));
  }
  return all;
}

}  // namespace

std::vector<const eventsourcing::AggregateType*> VisitsService::Aggregates() {
  return {&VisitAggregate()};
}

void VisitsService::RegisterTeamEvents(eventsourcing::EventCodec& codec) {
  codec.Register("team", &teams::v1::TeamEvent::default_instance());
}

void VisitsService::RegisterClientEvents(eventsourcing::EventCodec& codec) {
  codec.Register("client", &clients::v1::ClientEvent::default_instance());
}

std::vector<std::unique_ptr<eventsourcing::ReadModel>> VisitsService::ReadModels() {
  std::vector<std::unique_ptr<eventsourcing::ReadModel>> models;
  models.push_back(std::make_unique<CareRegister>());
  models.push_back(std::make_unique<DaySheet>());
  models.push_back(std::make_unique<ClientTimeline>());
  models.push_back(std::make_unique<TeamHours>());
  return models;
}

rpc::ServedService VisitsService::Served(std::string teams_address, std::string clients_address) {
  rpc::ServedService served;
  served.service = "visits";
  served.aggregates = Aggregates();
  served.follows = {{"teams", std::move(teams_address), RegisterTeamEvents},
                    {"clients", std::move(clients_address), RegisterClientEvents}};
  served.wire = [](eventsourcing::ServiceNode& node,
                   const std::vector<eventsourcing::LogSource>& followed)
      -> absl::StatusOr<rpc::WiredService> {
    ABSL_ASSIGN_OR_RETURN(std::shared_ptr<VisitsService> visits,
                          Create(node, {followed[0], followed[1]}));
    rpc::Service service = visits->MakeService();
    return rpc::WiredService{std::move(visits), std::move(service)};
  };
  return served;
}

absl::StatusOr<std::unique_ptr<VisitsService>> VisitsService::Create(
    eventsourcing::ServiceNode& node, const Followed& others) {
  const std::vector<eventsourcing::LogSource> sources = {node.source(), others.teams,
                                                         others.clients};
  std::unique_ptr<VisitsService> service(new VisitsService(node));
  ABSL_ASSIGN_OR_RETURN(service->care_register_,
                        node.AddReadModel(std::make_unique<CareRegister>(), sources));
  ABSL_ASSIGN_OR_RETURN(service->day_sheet_,
                        node.AddReadModel(std::make_unique<DaySheet>(), sources));
  ABSL_ASSIGN_OR_RETURN(service->client_timeline_,
                        node.AddReadModel(std::make_unique<ClientTimeline>(), sources));
  ABSL_ASSIGN_OR_RETURN(service->team_hours_,
                        node.AddReadModel(std::make_unique<TeamHours>(), sources));
  ABSL_RETURN_IF_ERROR(node.AddProcess(std::make_unique<RecordMovedVisits>(), sources).status());
  return service;
}

rpc::Service VisitsService::MakeService() {
  rpc::Service service("buurtlog.visits.v1.VisitsService");
  AddCommands(service);
  AddQueries(service);
  return service;
}

void VisitsService::AddCommands(rpc::Service& service) {
  service.Unary<v1::PlanVisitRequest, v1::PlanVisitResponse>(
      "PlanVisit", [this](const auto& call, const auto& request, auto reply) {
        PlanVisit(call, request, std::move(reply));
      });
  service.Unary<v1::ConfirmDayRequest, v1::ConfirmDayResponse>(
      "ConfirmDay", [this](const auto& call, const auto& request, auto reply) {
        ConfirmDay(call, request, std::move(reply));
      });
  service.Unary<v1::RecordVisitRequest, v1::RecordVisitResponse>(
      "RecordVisit", [this](const auto& call, const auto& request, auto reply) {
        RecordVisit(call, request, std::move(reply));
      });
  service.Unary<v1::RecordUnplannedVisitRequest, v1::RecordUnplannedVisitResponse>(
      "RecordUnplannedVisit", [this](const auto& call, const auto& request, auto reply) {
        RecordUnplannedVisit(call, request, std::move(reply));
      });
  service.Unary<v1::CorrectVisitRequest, v1::CorrectVisitResponse>(
      "CorrectVisit", [this](const auto& call, const auto& request, auto reply) {
        CorrectVisit(call, request, std::move(reply));
      });
  service.Unary<v1::MoveVisitRequest, v1::MoveVisitResponse>(
      "MoveVisit", [this](const auto& call, const auto& request, auto reply) {
        MoveVisit(call, request, std::move(reply));
      });
  service.Unary<v1::CancelVisitRequest, v1::CancelVisitResponse>(
      "CancelVisit", [this](const auto& call, const auto& request, auto reply) {
        CancelVisit(call, request, std::move(reply));
      });
}

void VisitsService::AddQueries(rpc::Service& service) {
  service.Unary<v1::GetVisitRequest, v1::GetVisitResponse>(
      "GetVisit", [this](const auto& call, const auto& request, auto reply) {
        GetVisit(call, request, std::move(reply));
      });
  service.Unary<v1::GetDaySheetRequest, v1::GetDaySheetResponse>(
      "GetDaySheet", [this](const auto& call, const auto& request, auto reply) {
        GetDaySheet(call, request, std::move(reply));
      });
  service.Unary<v1::GetClientTimelineRequest, v1::GetClientTimelineResponse>(
      "GetClientTimeline", [this](const auto& call, const auto& request, auto reply) {
        GetClientTimeline(call, request, std::move(reply));
      });
  service.Unary<v1::GetTeamHoursRequest, v1::GetTeamHoursResponse>(
      "GetTeamHours", [this](const auto& call, const auto& request, auto reply) {
        GetTeamHours(call, request, std::move(reply));
      });
}

void VisitsService::WhenKnown(const CallContext& call, const type::v1::CommandHeader& header,
                              absl::AnyInvocable<void(absl::Status)> then) {
  rpc::WhenKnown(header, call.deadline, {care_register_, day_sheet_}, std::move(then));
}

template <typename Facts, typename Read, typename Then>
void VisitsService::WithFacts(const CallContext& call, const type::v1::CommandHeader& header,
                              Read read, Then then) {
  WhenKnown(call, header,
            [this, deadline = call.deadline, read = std::move(read),
             then = std::move(then)](absl::Status known) mutable {
              if (!known.ok()) return then(known);
              care_register_->Query<Facts>({}, deadline, std::move(read), std::move(then));
            });
}

template <typename Request, typename Response, typename Fill>
void VisitsService::DecideOnFacts(const CallContext& call, const Request& request,
                                  const Target& target, Reply<Response> reply, Fill fill) {
  WithFacts<ClientFacts>(
      call, request.header(),
      [client = target.facts_of](sqlite::Connection& rows) { return FactsOf(rows, client); },
      [this, call, request, target, fill = std::move(fill),
       reply = std::move(reply)](absl::StatusOr<ClientFacts> facts) mutable {
        if (!facts.ok()) return reply(facts.status());
        auto command = rpc::CommandFor(call, VisitAggregate(), target.client_id, target.visit_id,
                                       request, *std::move(facts));
        if (!command.ok()) return reply(command.status());
        node_.executor().Execute(*std::move(command),
                                 rpc::ReceiptTo(std::move(reply), std::move(fill)));
      });
}

void VisitsService::PlanVisit(const CallContext& call, const v1::PlanVisitRequest& request,
                              Reply<v1::PlanVisitResponse> reply) {
  const Uuid client = IdOf(request.client_id());
  const Uuid visit = NewVisitIdFor(request);
  DecideOnFacts(
      call, request, {client, visit, client}, std::move(reply),
      [id = visit.ToString()](v1::PlanVisitResponse& response) { response.set_visit_id(id); });
}

void VisitsService::ConfirmDay(const CallContext& call, const v1::ConfirmDayRequest& request,
                               Reply<v1::ConfirmDayResponse> reply) {
  const absl::Status form = CheckConfirmDay(request);
  if (!form.ok()) return reply(form);
  WithFacts<std::vector<ClientFacts>>(
      call, request.header(),
      [clients = ClientsOf(request)](sqlite::Connection& rows) {
        return FactsOfEach(rows, clients);
      },
      [this, call, request,
       reply = std::move(reply)](absl::StatusOr<std::vector<ClientFacts>> facts) mutable {
        if (!facts.ok()) return reply(facts.status());
        auto commands = CommandsFor(call, request, *facts);
        if (!commands.ok()) return reply(commands.status());
        node_.executor().ExecuteAll(
            *std::move(commands),
            [request = std::move(request), reply = std::move(reply)](auto receipts) mutable {
              reply(ResponseTo(request, receipts));
            });
      });
}

void VisitsService::RecordVisit(const CallContext& call, const v1::RecordVisitRequest& request,
                                Reply<v1::RecordVisitResponse> reply) {
  const Uuid client = IdOf(request.client_id());
  DecideOnFacts(call, request, {client, IdOf(request.visit_id()), client}, std::move(reply),
                [id = NewRecordingIdFor(request)](v1::RecordVisitResponse& response) {
                  response.set_recording_id(id);
                });
}

void VisitsService::RecordUnplannedVisit(const CallContext& call,
                                         const v1::RecordUnplannedVisitRequest& request,
                                         Reply<v1::RecordUnplannedVisitResponse> reply) {
  const Uuid client = IdOf(request.client_id());
  const Uuid visit = NewVisitIdFor(request);
  DecideOnFacts(call, request, {client, visit, client}, std::move(reply),
                [id = visit.ToString(), recording = NewRecordingIdFor(request)](
                    v1::RecordUnplannedVisitResponse& response) {
                  response.set_visit_id(id);
                  response.set_recording_id(recording);
                });
}

void VisitsService::CorrectVisit(const CallContext& call, const v1::CorrectVisitRequest& request,
                                 Reply<v1::CorrectVisitResponse> reply) {
  const Uuid client = IdOf(request.client_id());
  DecideOnFacts(call, request, {client, IdOf(request.visit_id()), client}, std::move(reply),
                [id = NewRecordingIdFor(request)](v1::CorrectVisitResponse& response) {
                  response.set_recording_id(id);
                });
}

void VisitsService::MoveVisit(const CallContext& call, const v1::MoveVisitRequest& request,
                              Reply<v1::MoveVisitResponse> reply) {
  const Target target = {IdOf(request.client_id()), IdOf(request.visit_id()),
                         IdOf(request.to_client_id())};
  DecideOnFacts(call, request, target, std::move(reply),
                [id = NewVisitId(IdOf(request.header().idempotency_key()))](
                    v1::MoveVisitResponse& response) { response.set_to_visit_id(id); });
}

void VisitsService::CancelVisit(const CallContext& call, const v1::CancelVisitRequest& request,
                                Reply<v1::CancelVisitResponse> reply) {
  WhenKnown(call, request.header(),
            [this, call, request, reply = std::move(reply)](absl::Status known) mutable {
              if (!known.ok()) return reply(known);
              auto command = rpc::CommandFor(call, VisitAggregate(), IdOf(request.client_id()),
                                             IdOf(request.visit_id()), request);
              if (!command.ok()) return reply(command.status());
              node_.executor().Execute(*std::move(command), rpc::ReceiptTo(std::move(reply)));
            });
}

void VisitsService::GetVisit(const CallContext& call, const v1::GetVisitRequest& request,
                             Reply<v1::GetVisitResponse> reply) {
  const VisitKey key = {IdOf(request.client_id()), IdOf(request.visit_id())};
  day_sheet_->Query<v1::GetVisitResponse>(
      rpc::PositionsOf(request.min_position()), call.deadline,
      [key](sqlite::Connection& rows) { return VisitOf(rows, key); }, std::move(reply));
}

void VisitsService::GetDaySheet(const CallContext& call, const v1::GetDaySheetRequest& request,
                                Reply<v1::GetDaySheetResponse> reply) {
  const absl::StatusOr<absl::CivilDay> day = DayOf("date", request.date());
  if (!day.ok()) return reply(day.status());
  day_sheet_->Query<v1::GetDaySheetResponse>(
      rpc::PositionsOf(request.min_position()), call.deadline,
      [nurse = IdOf(request.nurse_id()), day = *day](sqlite::Connection& rows) {
        return DaySheetOf(rows, nurse, day);
      },
      std::move(reply));
}

void VisitsService::GetClientTimeline(const CallContext& call,
                                      const v1::GetClientTimelineRequest& request,
                                      Reply<v1::GetClientTimelineResponse> reply) {
  const TimelinePage page = {IdOf(request.client_id()), request.page_size(), request.page_token()};
  client_timeline_->Query<v1::GetClientTimelineResponse>(
      rpc::PositionsOf(request.min_position()), call.deadline,
      [page](sqlite::Connection& rows) { return TimelineOf(rows, page); }, std::move(reply));
}

void VisitsService::GetTeamHours(const CallContext& call, const v1::GetTeamHoursRequest& request,
                                 Reply<v1::GetTeamHoursResponse> reply) {
  const absl::StatusOr<absl::CivilDay> from = DayOf("from_date", request.from_date());
  if (!from.ok()) return reply(from.status());
  const absl::StatusOr<absl::CivilDay> to = DayOf("to_date", request.to_date());
  if (!to.ok()) return reply(to.status());
  team_hours_->Query<v1::GetTeamHoursResponse>(
      rpc::PositionsOf(request.min_position()), call.deadline,
      [period = HoursPeriod{IdOf(request.team_id()), *from, *to}](sqlite::Connection& rows) {
        return HoursOf(rows, period);
      },
      std::move(reply));
}

}  // namespace buurtlog::visits
