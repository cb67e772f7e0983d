#include "libs/rpc/host_runtime.h"

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/absl_view.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/logging.h"

namespace buurtlog::rpc {
namespace {

constexpr char kAuthorization[] = "authorization";
constexpr char kCorrelationId[] = "x-correlation-id";
constexpr std::string_view kBearer = "Bearer ";

std::string_view MetadataOf(const grpc::CallbackServerContext& grpc_context, const char* name) {
  const auto& metadata = grpc_context.client_metadata();
  const auto found = metadata.find(name);
  if (found == metadata.end()) return {};
  return {found->second.data(), found->second.size()};
}

absl::Status Authenticate(const RegisteredMethod& method,
                          const grpc::CallbackServerContext& grpc_context,
                          identity::Caller& caller) {
  // Who may come without a token may come with a stale one: signing in anew is how a stale one is
  // replaced.
  if (method.access.anyone()) return absl::OkStatus();
  std::string_view token = MetadataOf(grpc_context, kAuthorization);
  if (token.empty()) return absl::UnauthenticatedError("no token in the metadata `authorization`");
  if (token.substr(0, kBearer.size()) != kBearer) {
    return absl::UnauthenticatedError("the metadata `authorization` is not `Bearer` and a token");
  }
  token.remove_prefix(kBearer.size());
  ABSL_ASSIGN_OR_RETURN(caller, method.host.parts.tokens.Verify(token));
  // First: calls that somebody may not make are no cheaper to refuse than others.
  ABSL_RETURN_IF_ERROR(method.host.budget.Take(caller));
  return method.access.Check(caller);
}

absl::Status Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message& request) {
  // The reader wants a buffer it could change; it only reads.
  grpc::ProtoBufferReader reader(const_cast<grpc::ByteBuffer*>(&bytes));
  if (!reader.status().ok() || !request.ParseFromZeroCopyStream(&reader)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the request is not a well-formed ", request.GetDescriptor()->full_name()));
  }
  return absl::OkStatus();
}

// The deadline of the call as our clock tells it, and whether it comes before gRPC would end the
// call.
void SetDeadline(const RegisteredMethod& method, const grpc::CallbackServerContext& grpc_context,
                 AdmittedCall& call) {
  const HostOptions& options = method.host.options;
  const auto deadline = grpc_context.deadline();
  const bool unbounded = deadline == std::chrono::system_clock::time_point::max();
  const bool streams = method.method.streams();
  const absl::Duration left = unbounded
                                  ? absl::InfiniteDuration()
                                  : absl::FromChrono(deadline - std::chrono::system_clock::now());
  absl::Duration bound = streams ? kStreamLifetimeMax : options.deadline_max;
  if (!streams && unbounded) bound = std::min(bound, options.deadline_default);
  if (left > bound) call.end_after = bound;
  call.context.deadline = method.host.parts.clock.Now() + std::min(left, bound);
}

bool IsOurFault(absl::StatusCode code) {
  return code == absl::StatusCode::kInternal || code == absl::StatusCode::kUnknown ||
         code == absl::StatusCode::kDataLoss || code == absl::StatusCode::kUnimplemented;
}

}  // namespace

void DrainGate::Leave() {
  if (in_flight_.fetch_sub(1) != 1 || !draining_.load()) return;
  // Unlocking makes the waiter look.
  absl::MutexLock lock(&mutex_);
}

void DrainGate::WaitUntilEmpty(absl::Duration at_most) {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(
      absl::Condition(
          +[](std::atomic<int64_t>* in_flight) { return in_flight->load() == 0; }, &in_flight_),
      at_most);
}

absl::Status StoppingStatus() { return absl::UnavailableError("the service is stopping"); }

RegisteredMethod::RegisteredMethod(HostRuntime& host_runtime, Method& handled,
                                   const google::protobuf::MethodDescriptor& descriptor)
    : host(host_runtime),
      method(handled),
      path(absl::StrCat("/", descriptor.service()->full_name(), "/", descriptor.name())),
      access(descriptor),
      form(FormRules::Of(*descriptor.input_type())),
      metrics(host_runtime.parts.metrics, path.substr(1)) {}

absl::Status Admit(const RegisteredMethod& method, const grpc::CallbackServerContext& grpc_context,
                   const grpc::ByteBuffer& bytes, AdmittedCall& call) {
  SetDeadline(method, grpc_context, call);
  ABSL_RETURN_IF_ERROR(Authenticate(method, grpc_context, call.context.caller));
  if (const std::string_view id = MetadataOf(grpc_context, kCorrelationId); !id.empty()) {
    const absl::StatusOr<Uuid> parsed = ParseUuid(id);
    if (!parsed.ok()) return InvalidField(kCorrelationId, "is not a UUID");
    call.context.correlation_id = *parsed;
  } else {
    const ServiceHost::Parts& parts = method.host.parts;
    call.context.correlation_id = NewUuid(parts.clock.Now(), parts.random);
  }
  call.request.reset(method.method.request().New());
  ABSL_RETURN_IF_ERROR(Parse(bytes, *call.request));
  return method.form.Check(*call.request);
}

absl::Status Serialize(const google::protobuf::Message& message, grpc::ByteBuffer& bytes) {
  bool own = false;
  const grpc::Status status =
      grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::Message>(message, &bytes,
                                                                                 &own);
  return status.ok() ? absl::OkStatus() : absl::InternalError("the answer cannot be serialized");
}

absl::Status CancelledStatus(const grpc::CallbackServerContext& grpc_context) {
  if (grpc_context.deadline() <= std::chrono::system_clock::now()) {
    return absl::DeadlineExceededError("the deadline has passed");
  }
  return absl::CancelledError("the caller has gone");
}

void RecordEnd(RegisteredMethod& method, const CallContext& context, const absl::Status& status,
               std::chrono::steady_clock::time_point started) {
  const auto took = std::chrono::steady_clock::now() - started;
  method.metrics.Finished(static_cast<grpc::StatusCode>(status.code()), took);
  const bool our_fault = IsOurFault(status.code());
  if (!our_fault && !IsVerbose()) return;
  // Neither request nor message: only what cannot be about somebody.
  LogFields fields = {
      {"method", method.path.substr(1)},
      {"code", absl::StatusCodeToString(status.code())},
      {"correlation_id", context.correlation_id.ToString()},
      {"microseconds",
       absl::StrCat(std::chrono::duration_cast<std::chrono::microseconds>(took).count())}};
  if (std::optional<std::string> reason = StatusReason(status)) {
    fields.emplace_back("reason", *std::move(reason));
  }
  if (our_fault) {
    LogWarning("call_failed", fields);
  } else {
    LogVerbose("call", fields);
  }
}

}  // namespace buurtlog::rpc
