#include "libs/rpc/replicas.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "buurtlog/log/v1/replica_service.grpc.pb.h"
#include "libs/base/about.h"
#include "libs/base/refusal.h"
#include "libs/rpc/command_call.h"
#include "libs/rpc/status_conversion.h"

namespace buurtlog::rpc {
namespace {

using log::v1::ExecuteCommandRequest;
using log::v1::ExecuteCommandResponse;
using log::v1::ReplicaService;

// For a command without a deadline of its own.
constexpr absl::Duration kForwardMax = absl::Seconds(10);
// A token is used again for so long; it is valid for longer.
constexpr absl::Duration kTokenAgeMax = absl::Minutes(1);
// An owner that was away is back within seconds, or is owner no more.
constexpr int kReconnectFirstMillis = 50;
constexpr int kReconnectLastMillis = 500;

std::shared_ptr<ReplicaService::Stub> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectFirstMillis);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectFirstMillis);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectLastMillis);
  return ReplicaService::NewStub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
}

}  // namespace

Service MakeReplicaService(std::vector<eventsourcing::ServiceNode*> nodes) {
  Service service("buurtlog.log.v1.ReplicaService");
  service.Unary<ExecuteCommandRequest, ExecuteCommandResponse>(
      "ExecuteCommand",
      [nodes = std::move(nodes)](const CallContext& call, const ExecuteCommandRequest& request,
                                 Reply<ExecuteCommandResponse> reply) {
        const auto node = std::find_if(nodes.begin(), nodes.end(), [&request](const auto* one) {
          return one->service() == request.service();
        });
        if (node == nodes.end()) {
          return reply(
              WithReason(absl::UnavailableError("this process has no such service"), "NOT_OWNER"));
        }
        (*node)->executor().ExecuteHanded(request.command(), call.deadline,
                                          ReceiptTo(std::move(reply)));
      });
  return service;
}

class ReplicaForwarder::Impl {
 public:
  Impl(std::string service, std::function<std::string()> token)
      : service_(std::move(service)), token_(std::move(token)) {}

  ~Impl() {
    const auto none = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return calls_.empty(); };
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    for (const auto& call : calls_) call->context->TryCancel();
    mutex_.Await(absl::Condition(&none));
  }

  void Forward(const std::string& owner, log::v1::HandedCommand command, absl::Time deadline,
               eventsourcing::CommandDone done) {
    auto call = std::make_shared<Call>();
    *call->request.mutable_command() = std::move(command);
    call->request.set_service(service_);
    call->done = std::move(done);
    const absl::Time until = std::min(deadline, absl::Now() + kForwardMax);
    call->context->set_deadline(absl::ToChronoTime(until));
    if (!Begin(owner, call)) return call->done(absl::UnavailableError("the process is ending"));
    call->stub->async()->ExecuteCommand(call->context.get(), &call->request, &call->response,
                                        [this, call](const grpc::Status& status) {
                                          Answer(*call, FromGrpc(status));
                                          End(call);
                                        });
  }

 private:
  struct Call {
    // Of the forwarder; a call that was answered has none of both. The last that holds a channel
    // must not be a thread of gRPC's, which would wait for itself.
    std::shared_ptr<ReplicaService::Stub> stub;
    std::unique_ptr<grpc::ClientContext> context = std::make_unique<grpc::ClientContext>();
    ExecuteCommandRequest request;
    ExecuteCommandResponse response;
    eventsourcing::CommandDone done;
  };
  using CallPtr = std::shared_ptr<Call>;

  // False when no call may begin any more.
  bool Begin(const std::string& owner, const CallPtr& call) {
    absl::MutexLock lock(&mutex_);
    if (closed_) return false;
    calls_.insert(call);
    if (const absl::Time now = absl::Now(); now - signed_at_ > kTokenAgeMax) {
      authorization_ = "Bearer " + token_();
      signed_at_ = now;
    }
    call->context->AddMetadata("authorization", authorization_);
    std::shared_ptr<ReplicaService::Stub>& stub = stubs_[owner];
    if (stub == nullptr) stub = Connect(owner);
    call->stub = stub;
    return true;
  }

  static void Answer(Call& call, const absl::Status& status) {
    if (status.ok()) return call.done(std::move(*call.response.mutable_receipt()));
    // None of these says what became of the command; some say that the two replicas do not
    // understand each other, which is no verdict on what a caller asked for.
    switch (status.code()) {
      case absl::StatusCode::kCancelled:
      case absl::StatusCode::kUnknown:
      case absl::StatusCode::kDeadlineExceeded:
      case absl::StatusCode::kInternal:
      case absl::StatusCode::kUnauthenticated:
      case absl::StatusCode::kUnimplemented:
        return call.done(
            About("the owner of the partition", absl::UnavailableError(status.message())));
      default: call.done(status);
    }
  }

  void End(const CallPtr& call) {
    absl::MutexLock lock(&mutex_);
    call->context.reset();
    call->stub.reset();
    calls_.erase(call);
  }

  const std::string service_;
  const std::function<std::string()> token_;
  absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::string authorization_ ABSL_GUARDED_BY(mutex_);
  absl::Time signed_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::flat_hash_map<std::string, std::shared_ptr<ReplicaService::Stub>> stubs_
      ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<CallPtr> calls_ ABSL_GUARDED_BY(mutex_);
};

ReplicaForwarder::ReplicaForwarder(std::string service, std::function<std::string()> token)
    : impl_(std::make_unique<Impl>(std::move(service), std::move(token))) {}

ReplicaForwarder::~ReplicaForwarder() = default;

void ReplicaForwarder::Forward(const std::string& owner, log::v1::HandedCommand command,
                               absl::Time deadline, eventsourcing::CommandDone done) {
  impl_->Forward(owner, std::move(command), deadline, std::move(done));
}

}  // namespace buurtlog::rpc
