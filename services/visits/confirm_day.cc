#include "services/visits/confirm_day.h"

#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "buurtlog/visits/v1/visits_commands.pb.h"
#include "libs/base/care_day.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/identity/caller.h"
#include "services/visits/read_models/columns.h"

namespace buurtlog::visits {
namespace {

using eventsourcing::Command;

// The same visit confirmed in two days' calls is two commands, as their calls have two keys.
Uuid KeyOf(const v1::ConfirmDayRequest& request, const v1::SeenVisit& visit) {
  return DerivedUuid(*ParseUuid(request.header().idempotency_key()),
                     ParseUuid(visit.visit_id())->ToString());
}

v1::ConfirmVisit ConfirmVisitOf(const v1::ConfirmDayRequest& request, const v1::SeenVisit& visit) {
  const absl::CivilDay day = *ParseCareDay(request.date());
  v1::ConfirmVisit confirm;
  confirm.set_visit_id(visit.visit_id());
  confirm.set_client_id(visit.client_id());
  confirm.set_nurse_id(request.nurse_id());
  *confirm.mutable_day_begins_at() = ToTimestamp(TimeColumn(StartOfCareDay(day)));
  *confirm.mutable_day_ends_at() = ToTimestamp(TimeColumn(StartOfCareDay(day + 1)));
  return confirm;
}

// It may have been written, or may come to be.
bool OutcomeIsUnknown(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status);
}

void Fill(const absl::Status& status, type::v1::ItemError& error) {
  error.set_code(static_cast<int32_t>(status.code()));
  error.set_reason(StatusReason(status).value_or(""));
  error.set_message(std::string(status.message()));
}

}  // namespace

absl::Status CheckConfirmDay(const v1::ConfirmDayRequest& request) {
  if (request.header().has_expected_version()) {
    return InvalidField("header.expected_version", "belongs to each visit here");
  }
  if (!ParseCareDay(request.date()).ok()) return InvalidField("date", "is not a calendar date");
  absl::flat_hash_set<Uuid> seen;
  for (int i = 0; i < request.visits_size(); ++i) {
    if (!seen.insert(*ParseUuid(request.visits(i).visit_id())).second) {
      return InvalidField(absl::StrCat("visits[", i, "].visit_id"), "is named twice");
    }
  }
  return absl::OkStatus();
}

std::vector<Uuid> ClientsOf(const v1::ConfirmDayRequest& request) {
  std::vector<Uuid> clients;
  for (const v1::SeenVisit& visit : request.visits()) {
    clients.push_back(*ParseUuid(visit.client_id()));
  }
  return clients;
}

absl::StatusOr<std::vector<Command>> CommandsFor(const rpc::CallContext& call,
                                                 const v1::ConfirmDayRequest& request,
                                                 const std::vector<ClientFacts>& facts) {
  std::vector<Command> commands;
  for (int i = 0; i < request.visits_size(); ++i) {
    const v1::SeenVisit& seen = request.visits(i);
    const v1::ConfirmVisit confirm = ConfirmVisitOf(request, seen);
    Command command = eventsourcing::MakeCommand(VisitAggregate(), *ParseUuid(seen.client_id()),
                                                 *ParseUuid(seen.visit_id()), confirm,
                                                 facts[static_cast<size_t>(i)]);
    type::v1::CommandHeader header = request.header();
    header.set_idempotency_key(KeyOf(request, seen).ToString());
    header.set_expected_version(seen.expected_version());
    ABSL_RETURN_IF_ERROR(eventsourcing::ApplyHeader(header, command));
    command.actor = identity::ToActor(call.caller, "grpc");
    command.correlation_id = call.correlation_id;
    command.deadline = call.deadline;
    commands.push_back(std::move(command));
  }
  return commands;
}

absl::StatusOr<v1::ConfirmDayResponse> ResponseTo(
    const v1::ConfirmDayRequest& request,
    const std::vector<absl::StatusOr<type::v1::Receipt>>& receipts) {
  v1::ConfirmDayResponse response;
  for (int i = 0; i < request.visits_size(); ++i) {
    const auto& receipt = receipts[static_cast<size_t>(i)];
    v1::ConfirmedVisit& confirmed = *response.add_visits();
    confirmed.set_visit_id(request.visits(i).visit_id());
    if (receipt.ok()) {
      *confirmed.mutable_result()->mutable_receipt() = *receipt;
      confirmed.set_recording_id(NewRecordingId(KeyOf(request, request.visits(i))));
    } else if (OutcomeIsUnknown(receipt.status())) {
      return receipt.status();
    } else {
      Fill(receipt.status(), *confirmed.mutable_result()->mutable_error());
    }
  }
  return response;
}

}  // namespace buurtlog::visits
