// One server-streaming call, from gRPC's point of view.
#include <grpcpp/alarm.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <optional>
#include <utility>

#include "libs/base/check.h"
#include "libs/rpc/host_runtime.h"
#include "libs/rpc/status_conversion.h"

namespace buurtlog::rpc {
namespace {

using Written = absl::AnyInvocable<void(absl::Status)>;

absl::Status EndedStatus() { return absl::CancelledError("the call has ended"); }

// Shared by gRPC (until OnDone), the handler's writer, the host's list of open streams and the
// alarm. One message is on its way and at most one waits behind it.
class StreamCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                         public StreamSink,
                         public OpenStream,
                         public std::enable_shared_from_this<StreamCall> {
 public:
  StreamCall(RegisteredMethod& method, grpc::CallbackServerContext& grpc_context)
      : method_(&method), grpc_context_(&grpc_context) {}

  void Start(const grpc::ByteBuffer& request) {
    self_ = shared_from_this();
    method_->metrics.Started();
    if (!gate_->Enter()) {
      End(StoppingStatus());
      return;
    }
    if (absl::Status status = Admit(*method_, *grpc_context_, request, call_); !status.ok()) {
      End(status);
      return;
    }
    if (!Join()) {
      End(StoppingStatus());
      return;
    }
    if (call_.end_after.has_value()) SetAlarm(*call_.end_after);
    method_->method.stream()(call_.context, *call_.request, shared_from_this());
  }

  void Write(const google::protobuf::Message& response, Written written) override {
    Message message;
    if (absl::Status status = Serialize(response, message.bytes); !status.ok()) {
      written(status);
      return;
    }
    message.written = std::move(written);
    bool start = false;
    {
      absl::MutexLock lock(&mutex_);
      if (!ended_ && !finish_.has_value()) {
        CHECK(messages_.size() < 2);
        messages_.push_back(std::move(message));
        start = messages_.size() == 1;
      }
    }
    // A message that was taken leaves no callback behind.
    if (message.written) {
      message.written(EndedStatus());
    } else if (start) {
      StartFirst();
    }
  }

  void Finish(absl::Status status) override {
    {
      absl::MutexLock lock(&mutex_);
      if (finish_.has_value()) return;
      finish_ = std::move(status);
      if (!messages_.empty()) return;
    }
    FinishNow();
  }

  bool ended() const override {
    absl::MutexLock lock(&mutex_);
    return ended_;
  }

  void OnEnd(absl::AnyInvocable<void()> ended) override {
    {
      absl::MutexLock lock(&mutex_);
      CHECK(!on_end_);
      if (!ended_) {
        on_end_ = std::move(ended);
        return;
      }
    }
    ended();
  }

  void Drain() override { End(StoppingStatus()); }

 private:
  struct Message {
    grpc::ByteBuffer bytes;
    Written written;
  };

  // False when the host drains.
  bool Join() {
    HostRuntime& host = method_->host;
    absl::MutexLock lock(&host.mutex);
    // Drain closes the gate before it looks at the list, so a stream is in the list or finds the
    // gate closed.
    if (gate_->closed()) return false;
    host.streams.insert(shared_from_this());
    return true;
  }

  void SetAlarm(absl::Duration after) {
    absl::MutexLock lock(&mutex_);
    alarm_.emplace();
    // An alarm keeps its callback even after it has rung, so the callback itself holds nothing.
    held_by_alarm_ = shared_from_this();
    alarm_->Set(std::chrono::system_clock::now() + absl::ToChronoNanoseconds(after),
                [this](bool rang) {
                  const std::shared_ptr<StreamCall> self = LetGoByAlarm();
                  if (rang) End(absl::UnavailableError("the stream has lasted long enough"));
                });
  }

  std::shared_ptr<StreamCall> LetGoByAlarm() {
    absl::MutexLock lock(&mutex_);
    return std::move(held_by_alarm_);
  }

  // Ends the call with `status` unless it has a status already, and tells the handler to stop.
  void End(const absl::Status& status) {
    absl::AnyInvocable<void()> on_end;
    std::deque<Message> dropped;
    bool finish = false;
    {
      absl::MutexLock lock(&mutex_);
      ended_ = true;
      on_end = std::exchange(on_end_, nullptr);
      // What is on its way is gRPC's to finish; what waits behind it is dropped.
      while (messages_.size() > 1) {
        dropped.push_front(std::move(messages_.back()));
        messages_.pop_back();
      }
      if (!finish_.has_value()) {
        finish_ = status;
        finish = messages_.empty();
      }
    }
    for (Message& message : dropped) message.written(EndedStatus());
    if (on_end) on_end();
    // Last, so that the handler's own things are still there when it is told.
    if (finish) FinishNow();
  }

  // The first message is stable until OnWriteDone takes it off.
  void StartFirst() {
    const grpc::ByteBuffer* bytes = nullptr;
    {
      absl::MutexLock lock(&mutex_);
      bytes = &messages_.front().bytes;
    }
    StartWrite(bytes);
  }

  void OnWriteDone(bool ok) override {
    Message done;
    bool more = false;
    bool finish = false;
    {
      absl::MutexLock lock(&mutex_);
      done = std::move(messages_.front());
      messages_.pop_front();
      more = !messages_.empty();
      finish = !more && finish_.has_value();
    }
    if (more) StartFirst();
    if (finish) FinishNow();
    done.written(ok ? absl::OkStatus() : EndedStatus());
  }

  // Once: when there is a status and no message is left. Host and method may be gone once gRPC has
  // its status.
  void FinishNow() {
    absl::Status status;
    {
      absl::MutexLock lock(&mutex_);
      CHECK(!finished_);
      finished_ = true;
      status = *finish_;
      ended_ = true;
      if (alarm_.has_value()) alarm_->Cancel();
    }
    std::shared_ptr<StreamCall> keep = shared_from_this();
    {
      absl::MutexLock lock(&method_->host.mutex);
      method_->host.streams.erase(keep);
    }
    RecordEnd(*method_, call_.context, status, started_);
    grpc::ServerWriteReactor<grpc::ByteBuffer>::Finish(ToGrpc(status));
  }

  void OnCancel() override { End(CancelledStatus(*grpc_context_)); }
  void OnDone() override {
    gate_->Leave();
    std::shared_ptr<StreamCall> self = std::move(self_);
    self.reset();
  }

  RegisteredMethod* const method_;
  const std::shared_ptr<DrainGate> gate_ = method_->host.gate;
  grpc::CallbackServerContext* const grpc_context_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  AdmittedCall call_;
  std::shared_ptr<StreamCall> self_;

  mutable absl::Mutex mutex_;
  std::optional<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);
  // Until it rings or is cancelled.
  std::shared_ptr<StreamCall> held_by_alarm_ ABSL_GUARDED_BY(mutex_);
  std::deque<Message> messages_ ABSL_GUARDED_BY(mutex_);  // the first is on its way
  std::optional<absl::Status> finish_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::AnyInvocable<void()> on_end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* StartStreamCall(
    RegisteredMethod& method, grpc::CallbackServerContext& grpc_context,
    const grpc::ByteBuffer& request) {
  const auto call = std::make_shared<StreamCall>(method, grpc_context);
  call->Start(request);
  // gRPC calls OnDone only after it has been given the reactor, so the call still holds itself
  // here.
  return call.get();
}

}  // namespace buurtlog::rpc
