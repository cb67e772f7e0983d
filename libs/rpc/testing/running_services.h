// Services of one region in this process, on sqlite logs in a temporary folder, called through gRPC
// without a port: the form of every test of a service. Header only; for tests.
//
//   RunningServices region;
//   auto teams = TeamsService::Create(region.AddNode("teams", TeamsService::Aggregates()));
//   region.Serve(std::move(*teams));
//   region.Start();
//   auto stub = v1::TeamsService::NewStub(region.channel());
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/random.h"
#include "libs/base/scheduler.h"
#include "libs/base/testing/patience.h"
#include "libs/eventsourcing/service_node.h"
#include "libs/identity/tokens.h"
#include "libs/rpc/service_host.h"
#include "libs/rpc/status_conversion.h"

namespace buurtlog::rpc::testing {

class RunningServices {
 public:
  // The clock stands still until a test moves it.
  static constexpr absl::Time kNow = absl::FromUnixSeconds(1'760'000'000);
  static inline const absl::Duration kCallMax = Patience(absl::Seconds(20));

  RunningServices()
      : folder_(absl::StrCat(::testing::TempDir(), "buurtlog-",
                             NewUuid(SystemClock().Now(), SystemRandom()).ToString())) {
    EXPECT_TRUE(std::filesystem::create_directories(folder_));
    auto issuer = identity::DevIssuer::Open(folder_, SystemFiles(), clock_, SystemRandom());
    EXPECT_TRUE(issuer.ok()) << issuer.status();
    issuer_ = *std::move(issuer);
  }
  RunningServices(const RunningServices&) = delete;
  RunningServices& operator=(const RunningServices&) = delete;
  ~RunningServices() {
    host_.reset();
    kept_.clear();
    // They follow each other's logs.
    for (auto& node : nodes_) node->Stop();
    nodes_.clear();
    std::filesystem::remove_all(folder_);
  }

  eventsourcing::ServiceNode& AddNode(const std::string& service,
                                      std::vector<const eventsourcing::AggregateType*> types) {
    eventsourcing::NodeOptions options;
    options.service = service;
    options.data_folder = folder_;
    options.owner = "test";
    options.command_hash_key = std::string(32, 'k');
    auto node = eventsourcing::ServiceNode::Open(
        std::move(options), {clock_, SystemRandom(), SystemFiles(), *scheduler_, metrics_},
        std::move(types));
    EXPECT_TRUE(node.ok()) << node.status();
    nodes_.push_back(*std::move(node));
    return *nodes_.back();
  }

  // Keeps `service` (a class with MakeService) as long as calls may come.
  template <typename Service>
  Service& Serve(std::unique_ptr<Service> service) {
    services_.push_back(service->MakeService());
    std::shared_ptr<Service> kept = std::move(service);
    kept_.push_back(kept);
    return *kept;
  }

  // Starts nodes and host; after this, calls may come.
  void Start() {
    for (auto& node : nodes_) ASSERT_TRUE(node->Start().ok());
    auto host =
        ServiceHost::Start({}, std::move(services_), {*issuer_, clock_, SystemRandom(), metrics_});
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
    host_->SetReady(true);
  }

  std::shared_ptr<grpc::Channel> channel() { return host_->InProcessChannel(); }
  ManualClock& clock() { return clock_; }
  // A new id of the region's time, fit for a key.
  Uuid NewId() { return NewUuid(clock_.Now(), SystemRandom()); }
  std::string NewKey() { return NewId().ToString(); }

  // Calls `method` of `stub` as somebody with this role.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(
      Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
      const std::decay_t<Request>& request, access::v1::Role role = access::v1::ROLE_NURSE,
      absl::Duration within = kCallMax) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(SystemClock().Now() + within));
    if (role != access::v1::ROLE_UNSPECIFIED) {
      context.AddMetadata("authorization", absl::StrCat("Bearer ", Token(role)));
    }
    Response response;
    const absl::Status status = FromGrpc((stub.*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

 private:
  std::string Token(access::v1::Role role) {
    identity::Caller caller;
    caller.person_id = caller_id_;
    caller.role = role;
    return issuer_->Issue(caller);
  }

  const std::string folder_;
  const Uuid caller_id_ = NewUuid(kNow, SystemRandom());
  ManualClock clock_{kNow};
  prometheus::Registry metrics_;
  std::unique_ptr<Scheduler> scheduler_ = NewThreadPoolScheduler(2);
  std::unique_ptr<identity::DevIssuer> issuer_;
  std::vector<std::unique_ptr<eventsourcing::ServiceNode>> nodes_;
  std::vector<std::shared_ptr<void>> kept_;
  std::vector<Service> services_;
  std::unique_ptr<ServiceHost> host_;
};

}  // namespace buurtlog::rpc::testing
