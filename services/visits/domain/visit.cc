#include "services/visits/domain/visit.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/command_rule.h"

namespace buurtlog::visits {

using eventsourcing::MakeRule;

namespace {

using google::protobuf::Timestamp;

// Ids compare and are written in lower case, however the caller wrote them.
std::string Id(const std::string& id) { return absl::AsciiStrToLower(id); }

absl::Time TimeOf(const Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

bool SameTime(const Timestamp& a, const Timestamp& b) { return TimeOf(a) == TimeOf(b); }

// What a nurse says of a visit that took place.
struct Recording {
  Timestamp starts_at;
  uint32_t duration_minutes = 0;
  std::string second_nurse_id;
  std::string report;
};

template <typename Command>
Recording RecordingOf(const Command& command) {
  return {command.starts_at(), command.duration_minutes(), Id(command.second_nurse_id()),
          command.report()};
}

// NOT_FOUND or a refusal unless the visit is `wanted`, on the client that the command names.
absl::Status RequireStage(const v1::VisitState& visit, const std::string& client_id,
                          v1::VisitStage wanted) {
  if (visit.stage() == v1::VISIT_STAGE_UNSPECIFIED || visit.client_id() != Id(client_id)) {
    return absl::NotFoundError("no such visit");
  }
  if (visit.stage() == wanted) return absl::OkStatus();
  switch (visit.stage()) {
    case v1::VISIT_STAGE_CANCELLED: return Refuse("VISIT_CANCELLED", "the visit was cancelled");
    case v1::VISIT_STAGE_WITHDRAWN:
      return Refuse("VISIT_WITHDRAWN", "the visit was moved to another client");
    case v1::VISIT_STAGE_REALISED:
      return Refuse("VISIT_ALREADY_RECORDED", "the visit is recorded already; correct it instead");
    default: return Refuse("VISIT_NOT_RECORDED", "the visit is not recorded yet");
  }
}

absl::Status RequireNew(const v1::VisitState& visit) {
  if (visit.stage() == v1::VISIT_STAGE_UNSPECIFIED) return absl::OkStatus();
  return absl::AlreadyExistsError("there is a visit with this id already");
}

absl::Status RequireClient(const ClientFacts& client) {
  return client.team_id.empty() ? absl::NotFoundError("no such client") : absl::OkStatus();
}

absl::Status RequireCareAt(const ClientFacts& client, absl::Time starts_at) {
  if (starts_at < client.care_started_at - kBeforeRecordMax) {
    return Refuse("CARE_NOT_STARTED", "the client's care had not started by then");
  }
  if (starts_at < client.care_ended_at) return absl::OkStatus();
  return Refuse("CARE_ENDED", "the client's care had ended by then");
}

// Somebody who left the team later was in it when the visit was.
absl::Status RequireMember(const ClientFacts& client, const std::string& person_id,
                           absl::Time starts_at) {
  for (const TeamMember& member : client.members) {
    if (member.person_id == Id(person_id) && starts_at >= member.joined_at - kBeforeRecordMax &&
        starts_at < member.ended_at) {
      return absl::OkStatus();
    }
  }
  return Refuse("NURSE_NOT_IN_TEAM", "the nurse is not a member of the client's team");
}

absl::Status RequireBegun(absl::Time starts_at, const CommandContext& context) {
  if (starts_at <= context.now + kClockToleranceMax) return absl::OkStatus();
  return Refuse("VISIT_IN_FUTURE", "the visit has not begun yet");
}

absl::Status RequireNear(absl::Time starts_at, const CommandContext& context) {
  if (starts_at <= context.now + kPlanAheadMax) return absl::OkStatus();
  return Refuse("VISIT_TOO_FAR_AHEAD", "a visit is planned at most two years ahead");
}

absl::Status RequireNewestRecording(const v1::VisitState& visit, const std::string& recording_id) {
  if (visit.recording_id() == Id(recording_id)) return absl::OkStatus();
  return Refuse("NOT_THE_NEWEST_RECORDING", "the visit was corrected since; look at it again");
}

// What holds of every recording, however it comes.
absl::Status CheckRecording(const Recording& recording, const std::string& nurse_id,
                            const ClientFacts& client, const CommandContext& context) {
  const absl::Time starts_at = TimeOf(recording.starts_at);
  ABSL_RETURN_IF_ERROR(RequireBegun(starts_at, context));
  ABSL_RETURN_IF_ERROR(RequireCareAt(client, starts_at));
  if (recording.second_nurse_id.empty()) return absl::OkStatus();
  if (recording.second_nurse_id == Id(nurse_id)) {
    return Refuse("SAME_NURSE", "the second nurse is the first nurse");
  }
  return RequireMember(client, recording.second_nurse_id, starts_at);
}

bool AsPlanned(const v1::VisitState& visit, const Recording& recording) {
  return visit.has_planned_starts_at() &&
         SameTime(visit.planned_starts_at(), recording.starts_at) &&
         visit.planned_duration_minutes() == recording.duration_minutes &&
         recording.second_nurse_id.empty();
}

bool AsRecorded(const v1::VisitState& visit, const Recording& recording) {
  return SameTime(visit.starts_at(), recording.starts_at) &&
         visit.duration_minutes() == recording.duration_minutes &&
         visit.second_nurse_id() == recording.second_nurse_id;
}

// A visit that nobody planned stays so. One that was moved here has no plan here, and keeps its
// basis until something else than its report changes.
v1::RecordingBasis BasisAfterCorrection(const v1::VisitState& visit, const Recording& recording) {
  if (visit.basis() == v1::RECORDING_BASIS_UNPLANNED) return visit.basis();
  if (AsPlanned(visit, recording)) return v1::RECORDING_BASIS_PLANNED;
  const bool moved_here = !visit.has_planned_starts_at();
  return moved_here && AsRecorded(visit, recording) ? visit.basis() : v1::RECORDING_BASIS_DEVIATING;
}

template <typename Event>
void Fill(const Recording& recording, Event& event) {
  *event.mutable_starts_at() = recording.starts_at;
  event.set_duration_minutes(recording.duration_minutes);
  event.set_second_nurse_id(recording.second_nurse_id);
  event.set_report(recording.report);
}

Events Realised(const v1::VisitState& visit, const std::string& visit_id,
                const Recording& recording, v1::RecordingBasis basis,
                const CommandContext& context) {
  v1::VisitEvent event;
  v1::VisitRealised& realised = *event.mutable_realised();
  realised.set_visit_id(Id(visit_id));
  realised.set_client_id(visit.client_id());
  realised.set_team_id(visit.team_id());
  realised.set_nurse_id(visit.nurse_id());
  Fill(recording, realised);
  realised.set_basis(basis);
  realised.set_recording_id(NewRecordingId(context.command_id));
  return {std::move(event)};
}

template <typename Event>
void TakeRecording(const Event& event, v1::VisitState& visit) {
  visit.set_recording_id(event.recording_id());
  *visit.mutable_starts_at() = event.starts_at();
  visit.set_duration_minutes(event.duration_minutes());
  visit.set_second_nurse_id(event.second_nurse_id());
  visit.set_basis(event.basis());
  visit.set_report(event.report());
}

}  // namespace

std::string NewVisitId(const Uuid& idempotency_key) {
  return DerivedUuid(idempotency_key, "visit").ToString();
}

std::string NewRecordingId(const Uuid& idempotency_key) {
  return DerivedUuid(idempotency_key, "recording").ToString();
}

absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::PlanVisitRequest& command,
                              const ClientFacts& client, const CommandContext& context) {
  const absl::Time starts_at = TimeOf(command.starts_at());
  ABSL_RETURN_IF_ERROR(RequireNew(visit));
  ABSL_RETURN_IF_ERROR(RequireClient(client));
  ABSL_RETURN_IF_ERROR(RequireNear(starts_at, context));
  ABSL_RETURN_IF_ERROR(RequireCareAt(client, starts_at));
  ABSL_RETURN_IF_ERROR(RequireMember(client, command.nurse_id(), starts_at));
  v1::VisitEvent event;
  v1::VisitPlanned& planned = *event.mutable_planned();
  planned.set_visit_id(command.visit_id().empty() ? NewVisitId(context.command_id)
                                                  : Id(command.visit_id()));
  planned.set_client_id(Id(command.client_id()));
  planned.set_team_id(client.team_id);
  planned.set_nurse_id(Id(command.nurse_id()));
  *planned.mutable_starts_at() = command.starts_at();
  planned.set_duration_minutes(command.duration_minutes());
  return Events{std::move(event)};
}

absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::ConfirmVisit& command,
                              const ClientFacts& client, const CommandContext& context) {
  ABSL_RETURN_IF_ERROR(RequireClient(client));
  ABSL_RETURN_IF_ERROR(RequireStage(visit, command.client_id(), v1::VISIT_STAGE_PLANNED));
  const absl::Time starts_at = TimeOf(visit.planned_starts_at());
  if (visit.nurse_id() != Id(command.nurse_id()) || starts_at < TimeOf(command.day_begins_at()) ||
      starts_at >= TimeOf(command.day_ends_at())) {
    return Refuse("VISIT_NOT_ON_SHEET", "the visit is on another nurse's sheet or another day");
  }
  const Recording recording = {visit.planned_starts_at(), visit.planned_duration_minutes(), "", ""};
  ABSL_RETURN_IF_ERROR(CheckRecording(recording, visit.nurse_id(), client, context));
  return Realised(visit, command.visit_id(), recording, v1::RECORDING_BASIS_PLANNED, context);
}

absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::RecordVisitRequest& command,
                              const ClientFacts& client, const CommandContext& context) {
  ABSL_RETURN_IF_ERROR(RequireClient(client));
  ABSL_RETURN_IF_ERROR(RequireStage(visit, command.client_id(), v1::VISIT_STAGE_PLANNED));
  const Recording recording = RecordingOf(command);
  ABSL_RETURN_IF_ERROR(CheckRecording(recording, visit.nurse_id(), client, context));
  const v1::RecordingBasis basis =
      AsPlanned(visit, recording) ? v1::RECORDING_BASIS_PLANNED : v1::RECORDING_BASIS_DEVIATING;
  return Realised(visit, command.visit_id(), recording, basis, context);
}

absl::StatusOr<Events> Decide(const v1::VisitState& visit,
                              const v1::RecordUnplannedVisitRequest& command,
                              const ClientFacts& client, const CommandContext& context) {
  ABSL_RETURN_IF_ERROR(RequireNew(visit));
  ABSL_RETURN_IF_ERROR(RequireClient(client));
  const Recording recording = RecordingOf(command);
  ABSL_RETURN_IF_ERROR(CheckRecording(recording, command.nurse_id(), client, context));
  ABSL_RETURN_IF_ERROR(RequireMember(client, command.nurse_id(), TimeOf(recording.starts_at)));
  v1::VisitState found;
  found.set_client_id(Id(command.client_id()));
  found.set_team_id(client.team_id);
  found.set_nurse_id(Id(command.nurse_id()));
  const std::string visit_id =
      command.visit_id().empty() ? NewVisitId(context.command_id) : command.visit_id();
  return Realised(found, visit_id, recording, v1::RECORDING_BASIS_UNPLANNED, context);
}

absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::CorrectVisitRequest& command,
                              const ClientFacts& client, const CommandContext& context) {
  ABSL_RETURN_IF_ERROR(RequireClient(client));
  ABSL_RETURN_IF_ERROR(RequireStage(visit, command.client_id(), v1::VISIT_STAGE_REALISED));
  ABSL_RETURN_IF_ERROR(RequireNewestRecording(visit, command.corrects_recording_id()));
  const Recording recording = RecordingOf(command);
  ABSL_RETURN_IF_ERROR(CheckRecording(recording, visit.nurse_id(), client, context));
  v1::VisitEvent event;
  v1::VisitCorrected& corrected = *event.mutable_corrected();
  corrected.set_visit_id(Id(command.visit_id()));
  corrected.set_client_id(visit.client_id());
  corrected.set_corrects_recording_id(visit.recording_id());
  corrected.set_recording_id(NewRecordingId(context.command_id));
  Fill(recording, corrected);
  corrected.set_basis(BasisAfterCorrection(visit, recording));
  corrected.set_reason(command.reason());
  return Events{std::move(event)};
}

absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::MoveVisitRequest& command,
                              const ClientFacts& to_client, const CommandContext& context) {
  ABSL_RETURN_IF_ERROR(RequireClient(to_client));
  ABSL_RETURN_IF_ERROR(RequireStage(visit, command.client_id(), v1::VISIT_STAGE_REALISED));
  if (Id(command.to_client_id()) == visit.client_id()) {
    return Refuse("SAME_CLIENT", "the visit is on this client already");
  }
  ABSL_RETURN_IF_ERROR(RequireNewestRecording(visit, command.corrects_recording_id()));
  const absl::Time starts_at = TimeOf(visit.starts_at());
  ABSL_RETURN_IF_ERROR(RequireCareAt(to_client, starts_at));
  ABSL_RETURN_IF_ERROR(RequireMember(to_client, visit.nurse_id(), starts_at));
  v1::VisitEvent event;
  v1::VisitWithdrawn& withdrawn = *event.mutable_withdrawn();
  withdrawn.set_visit_id(Id(command.visit_id()));
  withdrawn.set_client_id(visit.client_id());
  withdrawn.set_corrects_recording_id(visit.recording_id());
  withdrawn.set_to_client_id(Id(command.to_client_id()));
  withdrawn.set_to_team_id(to_client.team_id);
  withdrawn.set_to_visit_id(NewVisitId(context.command_id));
  withdrawn.set_nurse_id(visit.nurse_id());
  Fill({visit.starts_at(), visit.duration_minutes(), visit.second_nurse_id(), visit.report()},
       withdrawn);
  withdrawn.set_basis(visit.basis());
  return Events{std::move(event)};
}

absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::RecordMovedVisit& command,
                              const CommandContext& context) {
  ABSL_RETURN_IF_ERROR(RequireNew(visit));
  v1::VisitState moved;
  moved.set_client_id(command.client_id());
  moved.set_team_id(command.team_id());
  moved.set_nurse_id(command.nurse_id());
  Events events =
      Realised(moved, command.visit_id(), RecordingOf(command), command.basis(), context);
  events[0].mutable_realised()->set_corrects_visit_id(command.corrects_visit_id());
  return events;
}

absl::StatusOr<Events> Decide(const v1::VisitState& visit, const v1::CancelVisitRequest& command,
                              const CommandContext&) {
  ABSL_RETURN_IF_ERROR(RequireStage(visit, command.client_id(), v1::VISIT_STAGE_PLANNED));
  v1::VisitEvent event;
  v1::VisitCancelled& cancelled = *event.mutable_cancelled();
  cancelled.set_visit_id(Id(command.visit_id()));
  cancelled.set_client_id(visit.client_id());
  cancelled.set_reason(command.reason());
  return Events{std::move(event)};
}

void Evolve(v1::VisitState& visit, const v1::VisitEvent& event) {
  switch (event.event_case()) {
    case v1::VisitEvent::kPlanned: {
      const v1::VisitPlanned& planned = event.planned();
      visit.set_stage(v1::VISIT_STAGE_PLANNED);
      visit.set_client_id(planned.client_id());
      visit.set_team_id(planned.team_id());
      visit.set_nurse_id(planned.nurse_id());
      *visit.mutable_planned_starts_at() = planned.starts_at();
      visit.set_planned_duration_minutes(planned.duration_minutes());
      return;
    }
    case v1::VisitEvent::kRealised: {
      const v1::VisitRealised& realised = event.realised();
      visit.set_stage(v1::VISIT_STAGE_REALISED);
      visit.set_client_id(realised.client_id());
      visit.set_team_id(realised.team_id());
      visit.set_nurse_id(realised.nurse_id());
      TakeRecording(realised, visit);
      return;
    }
    case v1::VisitEvent::kCorrected: TakeRecording(event.corrected(), visit); return;
    case v1::VisitEvent::kWithdrawn:
      // What stood here is about somebody else: nothing of it stays.
      visit.Clear();
      visit.set_stage(v1::VISIT_STAGE_WITHDRAWN);
      visit.set_client_id(event.withdrawn().client_id());
      return;
    case v1::VisitEvent::kCancelled: visit.set_stage(v1::VISIT_STAGE_CANCELLED); return;
    case v1::VisitEvent::EVENT_NOT_SET: return;
  }
}

namespace {

template <typename Request>
std::shared_ptr<const eventsourcing::CommandRule> RuleOnClient() {
  return MakeRule<v1::VisitState, v1::VisitEvent, Request, ClientFacts>(
      &Decide, &SerializeClientFacts, &ParseClientFacts);
}

}  // namespace

const eventsourcing::AggregateType& VisitAggregate() {
  static const auto* const kType = new eventsourcing::AggregateType(
      eventsourcing::MakeAggregateType<v1::VisitState, v1::VisitEvent, Evolve>(
          "visit", kEvolveVersion,
          {RuleOnClient<v1::PlanVisitRequest>(), RuleOnClient<v1::ConfirmVisit>(),
           RuleOnClient<v1::RecordVisitRequest>(), RuleOnClient<v1::RecordUnplannedVisitRequest>(),
           RuleOnClient<v1::CorrectVisitRequest>(), RuleOnClient<v1::MoveVisitRequest>(),
           MakeRule<v1::VisitState, v1::VisitEvent, v1::RecordMovedVisit, &Decide>(),
           MakeRule<v1::VisitState, v1::VisitEvent, v1::CancelVisitRequest, &Decide>()}));
  return *kType;
}

}  // namespace buurtlog::visits
