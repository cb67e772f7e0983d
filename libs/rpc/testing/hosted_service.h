// A host with one service under test, for tests of what stands between a caller and its handler.
#pragma once

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <grpcpp/support/sync_stream.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "buurtlog/log/v1/log_service.grpc.pb.h"
#include "libs/base/refusal.h"
#include "libs/rpc/access.h"
#include "libs/rpc/service_host.h"
#include "libs/rpc/status_conversion.h"

namespace buurtlog::rpc {

using log::v1::GetHeadsRequest;
using log::v1::GetHeadsResponse;
using log::v1::GetIdentityRequest;
using log::v1::GetIdentityResponse;
using log::v1::LogService;
using log::v1::ReadStreamRequest;
using log::v1::ReadStreamResponse;
using log::v1::WatchRequest;
using log::v1::WatchResponse;

inline std::string NewFolder() {
  static std::atomic<int> number = 0;
  return absl::StrCat(::testing::TempDir(), "/host-", getpid(), "-", number++);
}

// A host with a LogService whose handlers are the test's.
class ServiceHostTest : public ::testing::Test {
 protected:
  ServiceHostTest() {
    std::filesystem::create_directories(folder_);
    absl::StatusOr<std::unique_ptr<identity::DevIssuer>> issuer =
        identity::DevIssuer::Open(folder_, SystemFiles(), SystemClock(), SystemRandom());
    EXPECT_TRUE(issuer.ok()) << issuer.status();
    issuer_ = *std::move(issuer);
  }
  ~ServiceHostTest() override {
    host_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::vector<Service> Services() {
    Service service("buurtlog.log.v1.LogService");
    service.Unary<GetIdentityRequest, GetIdentityResponse>(
        "GetIdentity", [this](const CallContext& call, const GetIdentityRequest& request,
                              Reply<GetIdentityResponse> reply) {
          ++calls_;
          identity_(call, request, std::move(reply));
        });
    service.Unary<GetHeadsRequest, GetHeadsResponse>(
        "GetHeads", [](const CallContext&, const GetHeadsRequest&, Reply<GetHeadsResponse> reply) {
          reply(GetHeadsResponse());
        });
    service.ServerStream<WatchRequest, WatchResponse>(
        "Watch", [this](const CallContext& call, const WatchRequest& request,
                        std::shared_ptr<StreamWriter<WatchResponse>> writer) {
          watch_(call, request, std::move(writer));
        });
    service.Unary<ReadStreamRequest, ReadStreamResponse>(
        "ReadStream", [](const CallContext&, const ReadStreamRequest&,
                         Reply<ReadStreamResponse> reply) { reply(ReadStreamResponse()); });
    std::vector<Service> services;
    services.push_back(std::move(service));
    return services;
  }

  ServiceHost::Parts Parts() { return {*issuer_, SystemClock(), SystemRandom(), registry_}; }

  void Start(const HostOptions& options = {}) {
    absl::StatusOr<std::unique_ptr<ServiceHost>> host =
        ServiceHost::Start(options, Services(), Parts());
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
    channel_ = host_->InProcessChannel();
    stub_ = LogService::NewStub(channel_);
  }

  std::string TokenFor(access::v1::Role role) {
    identity::Caller caller;
    caller.role = role;
    return issuer_->Issue(caller);
  }

  void Authorize(grpc::ClientContext& context, access::v1::Role role = access::v1::ROLE_OPERATOR) {
    context.AddMetadata("authorization", "Bearer " + TokenFor(role));
  }

  absl::Status GetIdentity(grpc::ClientContext& context, const std::string& service = "visits") {
    GetIdentityRequest request;
    request.set_service(service);
    return FromGrpc(stub_->GetIdentity(&context, request, &response_));
  }
  absl::Status GetIdentity(access::v1::Role role = access::v1::ROLE_OPERATOR) {
    grpc::ClientContext context;
    Authorize(context, role);
    return GetIdentity(context);
  }

  // SERVING, NOT_SERVING, or what went wrong, as grpc.health.v1 says it. Its two messages have the
  // form of these wrappers.
  std::string Health(const std::string& service) {
    grpc::ClientContext context;
    google::protobuf::StringValue request;
    google::protobuf::Int32Value response;
    request.set_value(service);
    const grpc::internal::RpcMethod method("/grpc.health.v1.Health/Check",
                                           grpc::internal::RpcMethod::NORMAL_RPC);
    const grpc::Status status = grpc::internal::BlockingUnaryCall<
        google::protobuf::StringValue, google::protobuf::Int32Value, google::protobuf::MessageLite,
        google::protobuf::MessageLite>(channel_.get(), method, &context, request, &response);
    if (!status.ok()) return FromGrpc(status).ToString();
    return response.value() == 1 ? "SERVING" : response.value() == 2 ? "NOT_SERVING" : "UNKNOWN";
  }

  const std::string folder_ = NewFolder();
  prometheus::Registry registry_;
  std::unique_ptr<identity::DevIssuer> issuer_;
  std::function<void(const CallContext&, const GetIdentityRequest&, Reply<GetIdentityResponse>)>
      identity_ = [](const CallContext&, const GetIdentityRequest& request,
                     Reply<GetIdentityResponse> reply) {
        GetIdentityResponse response;
        response.mutable_identity()->set_service(request.service());
        reply(response);
      };
  std::function<void(const CallContext&, const WatchRequest&,
                     std::shared_ptr<StreamWriter<WatchResponse>>)>
      watch_;
  std::atomic<int> calls_ = 0;
  std::unique_ptr<ServiceHost> host_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<LogService::Stub> stub_;
  GetIdentityResponse response_;
};

}  // namespace buurtlog::rpc
