#include "tools/bench/bare_server.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "buurtlog/bench/v1/tally_service.grpc.pb.h"
#include "libs/rpc/service_host.h"

namespace buurtlog::bench {
namespace {

// As many bytes as the receipt of a real command.
void FillReceipt(const v1::AddRequest& request, v1::AddResponse& response) {
  type::v1::Receipt& receipt = *response.mutable_receipt();
  receipt.mutable_position()->set_service("tally");
  receipt.mutable_position()->set_partition(3);
  receipt.mutable_position()->set_sequence(100'000);
  receipt.set_stream(absl::StrCat("tally-", request.tally_id()));
  receipt.set_version(100);
  receipt.add_event_ids(request.header().idempotency_key());
}

class EmptyService final : public v1::TallyService::CallbackService {
 public:
  grpc::ServerUnaryReactor* Add(grpc::CallbackServerContext* context, const v1::AddRequest* request,
                                v1::AddResponse* response) override {
    FillReceipt(*request, *response);
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

class BareLogService final : public v1::TallyService::CallbackService {
 public:
  explicit BareLogService(AppendingLog& log) : log_(log) {}

  grpc::ServerUnaryReactor* Add(grpc::CallbackServerContext* context, const v1::AddRequest* request,
                                v1::AddResponse* response) override {
    FillReceipt(*request, *response);
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    log_.Append(request->SerializeAsString(), [reactor] { reactor->Finish(grpc::Status::OK); });
    return reactor;
  }

 private:
  AppendingLog& log_;
};

}  // namespace

absl::Status ServeBare(const std::string& address, AppendingLog* log,
                       absl::AnyInvocable<void(const std::string&)> serving) {
  std::unique_ptr<grpc::Service> service;
  if (log == nullptr) {
    service = std::make_unique<EmptyService>();
  } else {
    service = std::make_unique<BareLogService>(*log);
  }
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(service.get());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", address));
  }
  serving(absl::StrCat(address.substr(0, address.rfind(':')), ":", port));
  rpc::WaitForTermination();
  server->Shutdown(std::chrono::system_clock::now());
  return absl::OkStatus();
}

}  // namespace buurtlog::bench
