#include "libs/rpc/service_main.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <prometheus/registry.h>

#include <utility>

#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/random.h"
#include "libs/base/refusal.h"
#include "libs/base/scheduler.h"
#include "libs/base/status_macros.h"
#include "libs/identity/people.h"
#include "libs/identity/tokens.h"
#include "libs/rpc/logging.h"
#include "libs/rpc/operations_service.h"
#include "libs/rpc/remote_log.h"
#include "libs/rpc/service_host.h"
#include "libs/rpc/sign_in.h"

namespace buurtlog::rpc {
namespace {

constexpr absl::Duration kReadinessPeriod = absl::Milliseconds(200);

// Tells the host whether the node is ready. Ready comes and goes: a read model that has stopped
// answers nothing new.
class ReadinessWatch {
 public:
  ReadinessWatch(eventsourcing::ServiceNode& node, ServiceHost& host, Scheduler& scheduler)
      : node_(node), host_(host), queue_(scheduler.NewQueue("readiness", QueueKind::kCompute)) {
    queue_->Post([this] { Look(); });
  }

 private:
  void Look() {
    const absl::Status ready = node_.Ready();
    if (ready.ok() != ready_) {
      ready_ = ready.ok();
      LogInfo(ready_ ? "ready" : "not_ready", {{"reason", std::string(ready.message())}});
      host_.SetReady(ready_);
    }
    queue_->PostAfter(kReadinessPeriod, [this] { Look(); });
  }

  eventsourcing::ServiceNode& node_;
  ServiceHost& host_;
  bool ready_ = false;
  std::unique_ptr<TaskQueue> queue_;
};

// The parts of a running service, in the order in which they need each other.
class RunningService {
 public:
  explicit RunningService(ServiceMain main)
      : main_(std::move(main)), scheduler_(NewThreadPoolScheduler()) {}

  absl::Status Start() {
    if (!main_.insecure_dev) {
      return WithReason(absl::FailedPreconditionError(
                            "there is no identity provider to ask yet: start with --insecure_dev"),
                        "NO_IDENTITY_PROVIDER");
    }
    ABSL_RETURN_IF_ERROR(SystemFiles().MakeFolder(main_.data_folder));
    ABSL_ASSIGN_OR_RETURN(issuer_, identity::DevIssuer::Open(main_.data_folder, SystemFiles(),
                                                             SystemClock(), SystemRandom()));
    ABSL_RETURN_IF_ERROR(OpenNode());
    ABSL_RETURN_IF_ERROR(ConnectFollowed());
    ABSL_ASSIGN_OR_RETURN(WiredService wired, main_.wire(*node_, sources_));
    kept_ = std::move(wired.kept);
    ABSL_RETURN_IF_ERROR(node_->Start());
    ABSL_RETURN_IF_ERROR(StartHost(std::move(wired.service)));
    readiness_ = std::make_unique<ReadinessWatch>(*node_, *host_, *scheduler_);
    LogInfo("started", {{"port", std::to_string(host_->port())}});
    return absl::OkStatus();
  }

  void Stop() {
    readiness_.reset();
    host_->Drain();
    LogInfo("stopped");
  }

 private:
  absl::Status OpenNode() {
    eventsourcing::NodeOptions options;
    options.service = main_.service;
    options.data_folder = main_.data_folder;
    options.owner = main_.address;
    ABSL_ASSIGN_OR_RETURN(
        options.command_hash_key,
        eventsourcing::LoadOrMakeCommandHashKey(main_.data_folder, SystemFiles(), SystemRandom()));
    ABSL_ASSIGN_OR_RETURN(node_,
                          eventsourcing::ServiceNode::Open(
                              std::move(options),
                              {SystemClock(), SystemRandom(), SystemFiles(), *scheduler_, metrics_},
                              main_.aggregates));
    if (!node_->store_discarded().empty()) {
      LogWarning("state_store_discarded", {{"reason", node_->store_discarded()}});
    }
    return absl::OkStatus();
  }

  absl::Status ConnectFollowed() {
    for (const FollowedService& followed : main_.follows) {
      LogInfo("connecting", {{"to", followed.service}, {"address", followed.address}});
      ABSL_ASSIGN_OR_RETURN(
          std::unique_ptr<eventlog::LogReader> log,
          ConnectRemoteLog(
              grpc::CreateChannel(followed.address, grpc::InsecureChannelCredentials()),
              followed.service, [this] { return ServiceToken(); }, *scheduler_,
              kFollowedServiceWaitMax));
      auto codec = std::make_unique<eventsourcing::EventCodec>(followed.service);
      followed.register_events(*codec);
      sources_.push_back({log.get(), codec.get()});
      followed_logs_.push_back(std::move(log));
      followed_codecs_.push_back(std::move(codec));
    }
    return absl::OkStatus();
  }

  absl::Status StartHost(Service service) {
    HostOptions options;
    options.address = main_.address;
    options.metrics_address = main_.metrics_address;
    options.insecure_dev = main_.insecure_dev;
    std::vector<Service> services;
    services.push_back(std::move(service));
    services.push_back(MakeLogService({&node_->log()}, *scheduler_));
    services.push_back(MakeOperationsService({node_.get()}));
    ABSL_ASSIGN_OR_RETURN(std::vector<identity::Person> people, PeopleWhoMaySignIn());
    services.push_back(MakeSignInService(*issuer_, std::move(people)));
    ABSL_ASSIGN_OR_RETURN(host_,
                          ServiceHost::Start(std::move(options), std::move(services),
                                             {*issuer_, SystemClock(), SystemRandom(), metrics_}));
    return absl::OkStatus();
  }

  // Nobody, as long as no region has been made in this folder.
  absl::StatusOr<std::vector<identity::Person>> PeopleWhoMaySignIn() {
    auto people = identity::LoadPeople(main_.data_folder, SystemFiles());
    if (absl::IsNotFound(people.status())) return std::vector<identity::Person>();
    return people;
  }

  std::string ServiceToken() {
    identity::Caller caller;
    caller.role = access::v1::ROLE_SERVICE;
    return issuer_->Issue(caller);
  }

  ServiceMain main_;
  prometheus::Registry metrics_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<identity::DevIssuer> issuer_;
  std::vector<std::unique_ptr<eventlog::LogReader>> followed_logs_;
  std::vector<std::unique_ptr<eventsourcing::EventCodec>> followed_codecs_;
  std::vector<eventsourcing::LogSource> sources_;
  std::unique_ptr<eventsourcing::ServiceNode> node_;
  std::shared_ptr<void> kept_;
  std::unique_ptr<ServiceHost> host_;
  std::unique_ptr<ReadinessWatch> readiness_;
};

}  // namespace

int RunService(ServiceMain main) {
  BlockTerminationSignals();
  InitLogging(main.service, main.verbose);
  RunningService running(std::move(main));
  const absl::Status started = running.Start();
  if (!started.ok()) {
    LogError("not_started", {{"code", absl::StatusCodeToString(started.code())},
                             {"reason", StatusReason(started).value_or("")},
                             {"message", std::string(started.message())}});
    return 1;
  }
  WaitForTermination();
  running.Stop();
  return 0;
}

}  // namespace buurtlog::rpc
