#include "services/visits/processes/record_moved_visits.h"

#include "buurtlog/visits/v1/visits_commands.pb.h"
#include "buurtlog/visits/v1/visits_events.pb.h"
#include "libs/base/check.h"
#include "services/visits/domain/visit.h"

namespace buurtlog::visits {
namespace {

using eventsourcing::Command;

v1::RecordMovedVisit CommandFor(const v1::VisitWithdrawn& withdrawn) {
  v1::RecordMovedVisit command;
  command.set_visit_id(withdrawn.to_visit_id());
  command.set_client_id(withdrawn.to_client_id());
  command.set_team_id(withdrawn.to_team_id());
  command.set_nurse_id(withdrawn.nurse_id());
  command.set_second_nurse_id(withdrawn.second_nurse_id());
  *command.mutable_starts_at() = withdrawn.starts_at();
  command.set_duration_minutes(withdrawn.duration_minutes());
  command.set_basis(withdrawn.basis());
  command.set_report(withdrawn.report());
  command.set_corrects_visit_id(withdrawn.visit_id());
  return command;
}

}  // namespace

std::vector<Command> RecordMovedVisits::React(const eventsourcing::EventEnvelope& envelope,
                                              const google::protobuf::Message& event) const {
  if (envelope.stream.category != "visit") return {};
  const auto& visit = static_cast<const v1::VisitEvent&>(event);
  if (!visit.has_withdrawn()) return {};
  const v1::RecordMovedVisit command = CommandFor(visit.withdrawn());
  const auto client_id = ParseUuid(command.client_id());
  const auto visit_id = ParseUuid(command.visit_id());
  CHECK(client_id.ok() && visit_id.ok());  // we wrote the event, from ids that were checked
  std::vector<Command> commands;
  commands.push_back(eventsourcing::MakeCommand(VisitAggregate(), *client_id, *visit_id, command));
  return commands;
}

}  // namespace buurtlog::visits
