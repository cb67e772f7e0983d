// A gRPC service as its handlers see it: requests in, StatusOr<Response> out. Reactors, threads and
// gRPC types stay in libs/rpc.
//
//   rpc::Service service("buurtlog.visits.v1.VisitsService");
//   service.Unary<PlanVisitRequest, PlanVisitResponse>(
//       "PlanVisit", [&](const rpc::CallContext& call, const PlanVisitRequest& request,
//                        rpc::Reply<PlanVisitResponse> reply) { ... });
//
// Before a handler runs, the host has: verified the token, enforced the rpc's access rule (default
// is no), checked the request's form against its field rules, and set a deadline. The handler never
// blocks; it calls `reply` once, from any thread. `request` lives until then. A reply that is
// destroyed uncalled (a queue dropped at shutdown) answers UNAVAILABLE: whether it took effect is
// unknown. A reply after the deadline is dropped; the caller has had DEADLINE_EXCEEDED by then.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/ids.h"
#include "libs/identity/caller.h"

namespace buurtlog::rpc {

struct CallContext {
  identity::Caller caller;
  Uuid correlation_id;  // from metadata `x-correlation-id`, else new
  absl::Time deadline;  // never infinite
};

template <typename Response>
using Reply = absl::AnyInvocable<void(absl::StatusOr<Response>)>;

// Writes a stream of responses. Thread-safe; messages go out in the order of Write.
template <typename Response>
class StreamWriter {
 public:
  virtual ~StreamWriter() = default;
  // Queues one message. `written` is called when it has gone out and there is room for more (OK),
  // or when the call has ended (CANCELLED). At most one message may wait: write the next from
  // `written`.
  virtual void Write(Response response, absl::AnyInvocable<void(absl::Status)> written) = 0;
  virtual void Finish(absl::Status status) = 0;
  // Has the caller gone, the deadline passed, or has the host begun to drain? Then stop writing and
  // Finish.
  virtual bool ended() const = 0;
  // Calls `ended` once when that happens, at once if it has; for a handler that waits for something
  // else than `written`. Ask once.
  virtual void OnEnd(absl::AnyInvocable<void()> ended) = 0;
};

class Method;  // one registered method; private to libs/rpc

class Service {
 public:
  // `full_name` as in the proto; a CHECK fails for a service that is not linked in.
  explicit Service(std::string_view full_name);
  ~Service();
  Service(Service&&) noexcept;

  template <typename Request, typename Response>
  void Unary(std::string_view method,
             absl::AnyInvocable<void(const CallContext&, const Request&, Reply<Response>)> handler);

  template <typename Request, typename Response>
  void ServerStream(std::string_view method,
                    absl::AnyInvocable<void(const CallContext&, const Request&,
                                            std::shared_ptr<StreamWriter<Response>>)>
                        handler);

  const std::string& full_name() const { return full_name_; }
  std::vector<std::unique_ptr<Method>>& methods() { return methods_; }
  const google::protobuf::ServiceDescriptor& descriptor() const { return *descriptor_; }

 private:
  // CHECKs that the proto has such a method, of these types, and that it has no handler yet.
  void Add(std::unique_ptr<Method> method);

  std::string full_name_;
  const google::protobuf::ServiceDescriptor* descriptor_ = nullptr;
  std::vector<std::unique_ptr<Method>> methods_;
};

}  // namespace buurtlog::rpc

#include "libs/rpc/service_inl.h"
