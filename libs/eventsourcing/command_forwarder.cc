#include "libs/eventsourcing/command_forwarder.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <utility>

#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/record_folder.h"

namespace buurtlog::eventsourcing {
namespace {

absl::Status TakeId(const std::string& bytes, std::string_view field, bool may_be_empty, Uuid& id) {
  if (bytes.empty() && may_be_empty) return absl::OkStatus();
  const absl::StatusOr<Uuid> parsed = UuidFromBytes(bytes);
  if (!parsed.ok()) return InvalidField(field, "is not a UUID of 16 bytes");
  id = *parsed;
  return absl::OkStatus();
}

}  // namespace

log::v1::HandedCommand ToHanded(const Command& command) {
  log::v1::HandedCommand handed;
  handed.set_category(command.type->category);
  handed.set_partition_key(command.partition_key.ToBytes());
  handed.set_stream_id(command.stream_id.ToBytes());
  handed.set_idempotency_key(command.idempotency_key.ToBytes());
  handed.set_key_without_age(!command.key_has_age);
  *handed.mutable_actor() = command.actor;
  if (command.occurred_at != absl::InfinitePast())
    SetTime(command.occurred_at, *handed.mutable_occurred_at());
  if (command.device_time.has_value()) SetTime(*command.device_time, *handed.mutable_device_time());
  if (command.expected_version.has_value()) handed.set_expected_version(*command.expected_version);
  if (!command.correlation_id.IsNil()) handed.set_correlation_id(command.correlation_id.ToBytes());
  if (!command.causation_id.IsNil()) handed.set_causation_id(command.causation_id.ToBytes());
  handed.set_validate_only(command.validate_only);
  handed.set_canonical(command.canonical);
  handed.set_facts(command.facts());
  return handed;
}

absl::StatusOr<Command> FromHanded(const log::v1::HandedCommand& handed,
                                   const std::vector<const AggregateType*>& types) {
  const auto type = std::find_if(types.begin(), types.end(), [&](const AggregateType* one) {
    return one->category == handed.category();
  });
  if (type == types.end()) return absl::UnimplementedError("an aggregate of a newer release");
  Command command;
  command.type = *type;
  ABSL_RETURN_IF_ERROR(
      TakeId(handed.partition_key(), "command.partition_key", false, command.partition_key));
  ABSL_RETURN_IF_ERROR(TakeId(handed.stream_id(), "command.stream_id", false, command.stream_id));
  ABSL_RETURN_IF_ERROR(
      TakeId(handed.idempotency_key(), "command.idempotency_key", false, command.idempotency_key));
  ABSL_RETURN_IF_ERROR(
      TakeId(handed.correlation_id(), "command.correlation_id", true, command.correlation_id));
  ABSL_RETURN_IF_ERROR(
      TakeId(handed.causation_id(), "command.causation_id", true, command.causation_id));
  command.key_has_age = !handed.key_without_age();
  command.actor = handed.actor();
  if (handed.has_occurred_at()) command.occurred_at = TimeOf(handed.occurred_at());
  if (handed.has_device_time()) command.device_time = TimeOf(handed.device_time());
  if (handed.has_expected_version()) command.expected_version = handed.expected_version();
  command.validate_only = handed.validate_only();

  const size_t end_of_name = handed.canonical().find('\0');
  if (end_of_name == std::string::npos) {
    return InvalidField("command.canonical", "does not name its request");
  }
  const std::string name = handed.canonical().substr(0, end_of_name);
  const auto rule =
      std::find_if((*type)->rules.begin(), (*type)->rules.end(),
                   [&name](const auto& one) { return one->request().full_name() == name; });
  if (rule == (*type)->rules.end()) {
    return absl::UnimplementedError("a command of a newer release");
  }
  const std::string_view body = std::string_view(handed.canonical()).substr(end_of_name + 1);
  ABSL_ASSIGN_OR_RETURN(command.decide,
                        (*rule)->Restore(command.idempotency_key, body, handed.facts()));
  command.since = (*rule)->since();
  command.canonical = handed.canonical();
  command.facts = [facts = handed.facts()] { return facts; };
  return command;
}

}  // namespace buurtlog::eventsourcing
