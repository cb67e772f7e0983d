#include "libs/rpc/service_main.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <prometheus/registry.h>
#include <sys/stat.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/about.h"
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
#include "libs/rpc/replicas.h"
#include "libs/rpc/service_host.h"
#include "libs/rpc/sign_in.h"

namespace buurtlog::rpc {
namespace {

// How often it is asked whether a log that is followed has been made.
constexpr absl::Duration kFollowedServicePause = absl::Milliseconds(200);
// For how long a process that ends waits for other replicas to take its partitions.
constexpr absl::Duration kHandOverMax = absl::Seconds(3);
constexpr absl::Duration kHandOverPause = absl::Milliseconds(5);
constexpr absl::Duration kReadinessPeriod = absl::Milliseconds(200);

using Nodes = std::vector<std::unique_ptr<eventsourcing::ServiceNode>>;

// Tells the host whether all nodes are ready. Ready comes and goes: a read model that has stopped
// answers nothing new.
class ReadinessWatch {
 public:
  // `first_ready` is called once.
  ReadinessWatch(const Nodes& nodes, ServiceHost& host, Scheduler& scheduler, Task first_ready)
      : nodes_(nodes),
        host_(host),
        first_ready_(std::move(first_ready)),
        queue_(scheduler.NewQueue("readiness", QueueKind::kCompute)) {
    queue_->Post([this] { Look(); });
  }

 private:
  absl::Status Ready() const {
    for (const auto& node : nodes_) {
      if (absl::Status ready = node->Ready(); !ready.ok()) return About(node->service(), ready);
    }
    return absl::OkStatus();
  }

  void Look() {
    const absl::Status ready = Ready();
    // By its code: the message may change with every step of catching up.
    if (ready.code() != seen_) {
      seen_ = ready.code();
      if (ready.ok()) {
        LogInfo("ready");
      } else {
        LogInfo("not_ready", {{"reason", absl::StrCat(absl::StatusCodeToString(ready.code()), ": ",
                                                      ready.message())}});
      }
      host_.SetReady(ready.ok());
      if (ready.ok() && first_ready_) std::exchange(first_ready_, nullptr)();
    }
    queue_->PostAfter(kReadinessPeriod, [this] { Look(); });
  }

  const Nodes& nodes_;
  ServiceHost& host_;
  std::optional<absl::StatusCode> seen_;
  Task first_ready_;
  std::unique_ptr<TaskQueue> queue_;
};

// The parts of a running process, in the order in which they need each other.
class RunningProcess {
 public:
  explicit RunningProcess(ServiceMain main)
      : main_(std::move(main)), scheduler_(NewThreadPoolScheduler()) {}
  // Also a start that failed halfway leaves followers behind.
  ~RunningProcess() {
    readiness_.reset();
    StopNodes();
  }

  absl::Status Start(absl::AnyInvocable<void(const Serving&)> serving) {
    if (!main_.insecure_dev) {
      return WithReason(absl::FailedPreconditionError(
                            "there is no identity provider to ask yet: start with --insecure-dev"),
                        "NO_IDENTITY_PROVIDER");
    }
    // A folder that is not there is more often a slip of the pen than a wish for an empty record.
    if (!SystemFiles().Exists(main_.data_folder)) {
      return absl::NotFoundError(absl::StrCat("there is no data folder ", main_.data_folder));
    }
    if (main_.shared_folder.empty()) main_.shared_folder = main_.data_folder;
    if (main_.open_engine) {
      ABSL_ASSIGN_OR_RETURN(kept_engine_, main_.open_engine());
      engine_ = kept_engine_.get();
    }
    ABSL_ASSIGN_OR_RETURN(issuer_, identity::DevIssuer::Open(main_.shared_folder, SystemFiles(),
                                                             SystemClock(), SystemRandom()));
    std::vector<Service> services;
    for (ServedService& served : main_.services) {
      ABSL_ASSIGN_OR_RETURN(eventsourcing::ServiceNode * node, OpenNode(served));
      ABSL_ASSIGN_OR_RETURN(std::vector<eventsourcing::LogSource> sources, SourcesOf(served));
      absl::StatusOr<WiredService> wired = served.wire(*node, sources);
      if (!wired.ok()) return About(served.service, wired.status());
      for (const eventsourcing::ProjectionRunner* runner : node->read_models()) {
        if (runner->discarded().empty()) continue;
        LogWarning("read_model_discarded",
                   {{"of", absl::StrCat(served.service, "/", runner->spec().name)},
                    {"reason", runner->discarded()}});
      }
      for (const eventsourcing::ProcessRunner* runner : node->processes()) {
        if (runner->discarded().empty()) continue;
        LogWarning("process_discarded",
                   {{"of", absl::StrCat(served.service, "/", std::string(runner->name()))},
                    {"reason", runner->discarded()}});
      }
      kept_.push_back(std::move(wired->kept));
      services.push_back(std::move(wired->service));
    }
    // First, so that the address by which other replicas will know this one is a real one.
    ABSL_RETURN_IF_ERROR(StartHost(std::move(services)));
    const std::string owner = main_.advertised_address.empty()
                                  ? WithPort(main_.address, host_->port())
                                  : main_.advertised_address;
    for (const auto& node : nodes_) {
      node->SetOwner(owner);
      ABSL_RETURN_IF_ERROR(node->Start());
    }
    readiness_ = std::make_unique<ReadinessWatch>(
        nodes_, *host_, *scheduler_, [this, serving = std::move(serving)]() mutable {
          if (serving)
            serving({WithPort(main_.address, host_->port()),
                     WithPort(main_.metrics_address, host_->metrics_port())});
        });
    LogInfo("started", {{"port", std::to_string(host_->port())}});
    return absl::OkStatus();
  }

  void Stop() {
    readiness_.reset();
    host_->SetReady(false);
    HandOver();
    host_->Drain();
    StopNodes();
    LogInfo("stopped");
  }

 private:
  // Callers go on to be answered while other replicas take the partitions over.
  void HandOver() {
    for (const auto& node : nodes_) node->Leave();
    const absl::Time until = absl::Now() + kHandOverMax;
    const auto handed_over = [](const auto& node) { return node->handed_over(); };
    while (!std::all_of(nodes_.begin(), nodes_.end(), handed_over) && absl::Now() < until) {
      absl::SleepFor(kHandOverPause);
    }
  }

  // All of them before the first goes: followers read the logs of other nodes.
  void StopNodes() {
    for (const auto& node : nodes_) node->Stop();
  }

  // The address with the port it really has.
  static std::string WithPort(const std::string& address, int port) {
    if (address.empty()) return "";
    return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
  }

  absl::StatusOr<eventsourcing::ServiceNode*> OpenNode(const ServedService& served) {
    eventsourcing::NodeOptions options;
    options.service = served.service;
    options.data_folder = main_.data_folder;
    options.engine = engine_;
    forwarders_.push_back(
        std::make_unique<ReplicaForwarder>(served.service, [this] { return ServiceToken(); }));
    options.forwarder = forwarders_.back().get();
    ABSL_ASSIGN_OR_RETURN(options.executor.write_release, eventsourcing::LoadOrMakeWriteRelease(
                                                              main_.shared_folder, SystemFiles()));
    ABSL_ASSIGN_OR_RETURN(options.command_hash_key, eventsourcing::LoadOrMakeCommandHashKey(
                                                        main_.shared_folder, main_.data_folder,
                                                        SystemFiles(), SystemRandom()));
    auto opened = eventsourcing::ServiceNode::Open(
        std::move(options), {SystemClock(), SystemRandom(), SystemFiles(), *scheduler_, metrics_},
        served.aggregates);
    if (!opened.ok()) return About(served.service, opened.status());
    std::unique_ptr<eventsourcing::ServiceNode> node = *std::move(opened);
    if (!node->log_discarded().empty()) {
      LogWarning("log_copy_discarded", {{"of", served.service}, {"reason", node->log_discarded()}});
    }
    if (!node->store_discarded().empty()) {
      LogWarning("state_store_discarded",
                 {{"of", served.service}, {"reason", node->store_discarded()}});
    }
    nodes_.push_back(std::move(node));
    return nodes_.back().get();
  }

  // The log of another service: in this process, or at its address.
  absl::StatusOr<std::vector<eventsourcing::LogSource>> SourcesOf(const ServedService& served) {
    std::vector<eventsourcing::LogSource> sources;
    for (const FollowedService& followed : served.follows) {
      auto here = std::find_if(nodes_.begin(), nodes_.end(), [&](const auto& node) {
        return node->service() == followed.service;
      });
      if (here != nodes_.end()) {
        sources.push_back((*here)->source());
      } else {
        ABSL_ASSIGN_OR_RETURN(
            std::unique_ptr<eventlog::LogReader> log,
            engine_->shared() ? OpenFollowed(served.service, followed) : Connect(followed));
        auto codec = std::make_unique<eventsourcing::EventCodec>(followed.service);
        followed.register_events(*codec);
        followed_logs_.push_back(std::move(log));
        followed_codecs_.push_back(std::move(codec));
        const eventsourcing::LogSource source = {followed_logs_.back().get(),
                                                 followed_codecs_.back().get()};
        sources.push_back(source);
      }
    }
    return sources;
  }

  absl::StatusOr<std::unique_ptr<eventlog::LogReader>> Connect(const FollowedService& followed) {
    LogInfo("connecting", {{"to", followed.service}, {"address", followed.address}});
    return ConnectRemoteLog(
        grpc::CreateChannel(followed.address, grpc::InsecureChannelCredentials()), followed.service,
        [this] { return ServiceToken(); }, *scheduler_, kFollowedServiceWaitMax);
  }

  // Its log, with what is kept of it in the follower's folder; waits until the other service has
  // made it.
  absl::StatusOr<std::unique_ptr<eventlog::LogReader>> OpenFollowed(
      const std::string& follower, const FollowedService& followed) {
    const std::string folder =
        absl::StrCat(main_.data_folder, "/", follower, "/followed/", followed.service);
    ABSL_RETURN_IF_ERROR(SystemFiles().MakeFolder(folder));
    const absl::Time until = absl::Now() + kFollowedServiceWaitMax;
    while (true) {
      auto opened = engine_->Open(followed.service, folder, /*may_make=*/false,
                                  {SystemClock(), SystemRandom(), SystemFiles(), *scheduler_});
      if (opened.ok()) return std::move(opened->log);
      if (!absl::IsNotFound(opened.status()) || absl::Now() >= until) {
        return About(absl::StrCat("log of ", followed.service), opened.status());
      }
      absl::SleepFor(kFollowedServicePause);
    }
  }

  absl::Status StartHost(std::vector<Service> services) {
    HostOptions options;
    options.address = main_.address;
    options.metrics_address = main_.metrics_address;
    options.team_calls_per_second = main_.team_calls_per_second;
    options.insecure_dev = main_.insecure_dev;
    std::vector<LogToServe> logs;
    std::vector<eventsourcing::ServiceNode*> nodes;
    for (const auto& node : nodes_) {
      logs.push_back({&node->log(), &node->store()});
      nodes.push_back(node.get());
    }
    services.push_back(MakeLogService(logs, *scheduler_));
    services.push_back(MakeReplicaService(nodes));
    services.push_back(MakeOperationsService(std::move(nodes)));
    ABSL_ASSIGN_OR_RETURN(std::vector<identity::Person> people, PeopleWhoMaySignIn());
    services.push_back(MakeSignInService(*issuer_, std::move(people)));
    ABSL_ASSIGN_OR_RETURN(host_,
                          ServiceHost::Start(std::move(options), std::move(services),
                                             {*issuer_, SystemClock(), SystemRandom(), metrics_}));
    return absl::OkStatus();
  }

  // Nobody, as long as no region has been made in this folder.
  absl::StatusOr<std::vector<identity::Person>> PeopleWhoMaySignIn() {
    auto people = identity::LoadPeople(main_.shared_folder, SystemFiles());
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
  std::shared_ptr<eventlog::LogEngine> kept_engine_;
  eventlog::LogEngine* engine_ = &eventlog::SqliteEngine();
  std::unique_ptr<identity::DevIssuer> issuer_;
  std::vector<std::unique_ptr<eventlog::LogReader>> followed_logs_;
  std::vector<std::unique_ptr<eventsourcing::EventCodec>> followed_codecs_;
  std::vector<std::unique_ptr<ReplicaForwarder>> forwarders_;
  Nodes nodes_;
  std::vector<std::shared_ptr<void>> kept_;
  std::unique_ptr<ServiceHost> host_;
  std::unique_ptr<ReadinessWatch> readiness_;
};

}  // namespace

absl::Status Serve(ServiceMain main, absl::AnyInvocable<void(const Serving&)> serving) {
  BlockTerminationSignals();
  InitLogging(main.name, main.verbose);
  RunningProcess running(std::move(main));
  ABSL_RETURN_IF_ERROR(running.Start(std::move(serving)));
  WaitForTermination();
  running.Stop();
  return absl::OkStatus();
}

int RunService(ServiceMain main) {
  // Records are for whoever runs the service, and for nobody else of the machine.
  umask(077);
  const absl::Status ended = Serve(std::move(main), [](const Serving& serving) {
    std::cout << nlohmann::json{{"event", "serving"},
                                {"address", serving.address},
                                {"metrics_address", serving.metrics_address}}
                     .dump()
              << std::endl;
  });
  if (ended.ok()) return 0;
  LogError("not_started", {{"code", absl::StatusCodeToString(ended.code())},
                           {"reason", StatusReason(ended).value_or("")},
                           {"message", std::string(ended.message())}});
  return 1;
}

}  // namespace buurtlog::rpc
