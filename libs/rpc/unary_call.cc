// One unary call, from gRPC's point of view.
#include <grpcpp/alarm.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <utility>

#include "libs/rpc/host_runtime.h"
#include "libs/rpc/status_conversion.h"

namespace buurtlog::rpc {
namespace {

// Lives until gRPC is done with it, the handler has answered or dropped its reply, and the alarm
// has rung or been cancelled: each holds one reference. So the call ends at its deadline though its
// handler is late, and the late answer finds its request and itself still there.
class UnaryCall final : public grpc::ServerUnaryReactor, public UnaryReply::Sink {
 public:
  UnaryCall(RegisteredMethod& method, grpc::CallbackServerContext& grpc_context,
            grpc::ByteBuffer& response)
      : method_(&method), grpc_context_(&grpc_context), response_(&response) {}

  void Start(const grpc::ByteBuffer& request) {
    method_->metrics.Started();
    if (!gate_->Enter()) {
      End(StoppingStatus());
      return;
    }
    if (absl::Status status = Admit(*method_, *grpc_context_, request, call_); !status.ok()) {
      if (!IsOverBudget(status) || !HoldRefusal(status)) End(status);
      return;
    }
    if (call_.end_after.has_value()) SetAlarm(*call_.end_after);
    references_.fetch_add(1, std::memory_order_relaxed);
    method_->method.unary()(call_.context, *call_.request, UnaryReply(*this));
  }

  // Of the handler, at most once.
  void Answer(const absl::Status& status, const google::protobuf::Message* response) override {
    if (!ended_.exchange(true)) {
      absl::Status result = status;
      if (status.ok()) result = Serialize(*response, *response_);
      FinishWith(result);
    }
    Release();
  }

 private:
  ~UnaryCall() override = default;

  void SetAlarm(absl::Duration after) {
    EndAt(after, absl::DeadlineExceededError("the deadline has passed"), [] {});
  }

  // A caller that asks again as soon as it is refused would take more of the machine that way than
  // with calls that are served. False: so many wait already.
  bool HoldRefusal(const absl::Status& status) {
    const std::shared_ptr<std::atomic<int64_t>> held = method_->host.refusals_held;
    if (held->fetch_add(1) >= kRefusalsHeldMax) {
      held->fetch_sub(1);
      return false;
    }
    EndAt(kRefusalHeld, status, [held] { held->fetch_sub(1); });
    return true;
  }

  template <typename Over>
  void EndAt(absl::Duration after, absl::Status status, Over over) {
    references_.fetch_add(1, std::memory_order_relaxed);
    alarm_.emplace();
    alarm_->Set(std::chrono::system_clock::now() + absl::ToChronoNanoseconds(after),
                [this, status = std::move(status), over](bool rang) {
                  over();
                  if (rang) End(status);
                  Release();
                });
  }

  void End(const absl::Status& status) {
    if (!ended_.exchange(true)) FinishWith(status);
  }

  // By whoever set `ended_`: nobody else touches gRPC's things any more. Host and method may be
  // gone once gRPC has its status.
  void FinishWith(const absl::Status& status) {
    if (alarm_.has_value()) alarm_->Cancel();
    RecordEnd(*method_, call_.context, status, started_);
    Finish(ToGrpc(status));
  }

  void OnCancel() override { End(CancelledStatus(*grpc_context_)); }
  void OnDone() override {
    gate_->Leave();
    Release();
  }
  // OnDone is short, so gRPC need not hand it to another thread.
  bool InternalInlineable() override { return true; }

  void Release() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  RegisteredMethod* const method_;
  const std::shared_ptr<DrainGate> gate_ = method_->host.gate;
  grpc::CallbackServerContext* const grpc_context_;
  grpc::ByteBuffer* const response_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  AdmittedCall call_;
  std::optional<grpc::Alarm> alarm_;
  std::atomic<bool> ended_ = false;
  std::atomic<int> references_ = 1;
};

}  // namespace

grpc::ServerUnaryReactor* StartUnaryCall(RegisteredMethod& method,
                                         grpc::CallbackServerContext& grpc_context,
                                         const grpc::ByteBuffer& request,
                                         grpc::ByteBuffer& response) {
  auto* const call = new UnaryCall(method, grpc_context, response);
  call->Start(request);
  return call;
}

}  // namespace buurtlog::rpc
