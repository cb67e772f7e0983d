#include "libs/base/refusal.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "libs/base/absl_view.h"

namespace buurtlog {
namespace {

// Stable: statuses travel between releases.
constexpr std::string_view kRefusalPayload = "type.buurtlog.org/refusal";
constexpr std::string_view kReasonPayload = "type.buurtlog.org/reason";
constexpr std::string_view kFieldPayload = "type.buurtlog.org/field";

std::optional<std::string> Payload(const absl::Status& status, std::string_view url) {
  const absl::optional<absl::Cord> payload = status.GetPayload(AbslView(url));
  if (!payload.has_value()) return std::nullopt;
  return std::string(*payload);
}

}  // namespace

absl::Status Refuse(std::string_view reason, std::string_view message) {
  absl::Status status = absl::FailedPreconditionError(AbslView(message));
  status.SetPayload(AbslView(kRefusalPayload), absl::Cord(AbslView(reason)));
  return status;
}

std::optional<std::string> RefusalReason(const absl::Status& status) {
  return Payload(status, kRefusalPayload);
}

absl::Status WithReason(absl::Status status, std::string_view reason) {
  status.SetPayload(AbslView(kReasonPayload), absl::Cord(AbslView(reason)));
  return status;
}

std::optional<std::string> StatusReason(const absl::Status& status) {
  std::optional<std::string> reason = Payload(status, kReasonPayload);
  return reason.has_value() ? reason : RefusalReason(status);
}

absl::Status InvalidField(std::string_view field, std::string_view message) {
  absl::Status status =
      absl::InvalidArgumentError(absl::StrCat(AbslView(field), ": ", AbslView(message)));
  status.SetPayload(AbslView(kFieldPayload), absl::Cord(AbslView(field)));
  return status;
}

std::optional<std::string> StatusField(const absl::Status& status) {
  return Payload(status, kFieldPayload);
}

}  // namespace buurtlog
