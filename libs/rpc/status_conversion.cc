#include "libs/rpc/status_conversion.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>

#include <optional>
#include <string>

#include "libs/base/absl_view.h"
#include "libs/base/refusal.h"

namespace buurtlog::rpc {
namespace {

constexpr char kDomain[] = "buurtlog";
// Metadata of an ErrorInfo that came from a rule of care, not from the machinery: both may be
// FAILED_PRECONDITION.
constexpr char kRefusalKey[] = "refusal";

// What InvalidField put before the sentence.
std::string_view WithoutFieldPrefix(std::string_view message, const std::string& field) {
  const std::string prefix = field + ": ";
  if (message.substr(0, prefix.size()) == prefix) message.remove_prefix(prefix.size());
  return message;
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status();
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message(status.message());
  const std::optional<std::string> reason = StatusReason(status);
  const std::optional<std::string> field = StatusField(status);
  if (!reason.has_value() && !field.has_value()) return grpc::Status(code, message);

  google::rpc::Status details;
  details.set_code(code);
  details.set_message(message);
  if (reason.has_value()) {
    google::rpc::ErrorInfo info;
    info.set_reason(*reason);
    info.set_domain(kDomain);
    if (RefusalReason(status).has_value()) (*info.mutable_metadata())[kRefusalKey] = "true";
    details.add_details()->PackFrom(info);
  }
  if (field.has_value()) {
    google::rpc::BadRequest request;
    google::rpc::BadRequest::FieldViolation& violation = *request.add_field_violations();
    violation.set_field(*field);
    violation.set_description(std::string(WithoutFieldPrefix(message, *field)));
    details.add_details()->PackFrom(request);
  }
  return grpc::Status(code, message, details.SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const int number = status.error_code();
  const bool known = number > 0 && number <= grpc::StatusCode::UNAUTHENTICATED;
  const auto code = known ? static_cast<absl::StatusCode>(number) : absl::StatusCode::kUnknown;
  absl::Status result(code, AbslView(status.error_message()));

  google::rpc::Status details;
  if (status.error_details().empty() || !details.ParseFromString(status.error_details())) {
    return result;
  }
  std::optional<google::rpc::ErrorInfo> info;
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::ErrorInfo error;
    google::rpc::BadRequest request;
    if (detail.UnpackTo(&error) && error.domain() == kDomain) {
      info = std::move(error);
    } else if (code == absl::StatusCode::kInvalidArgument && detail.UnpackTo(&request) &&
               request.field_violations_size() > 0) {
      const std::string& field = request.field_violations(0).field();
      result = InvalidField(field, WithoutFieldPrefix(status.error_message(), field));
    }
  }
  if (!info.has_value()) return result;
  if (code == absl::StatusCode::kFailedPrecondition && info->metadata().contains(kRefusalKey)) {
    return Refuse(info->reason(), status.error_message());
  }
  return WithReason(std::move(result), info->reason());
}

}  // namespace buurtlog::rpc
