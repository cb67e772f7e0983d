#include "libs/rpc/service_host.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <prometheus/exposer.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/absl_view.h"
#include "libs/base/check.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/host_runtime.h"

namespace buurtlog::rpc {
namespace {

// One connection of a peer or a gateway carries all of its calls.
constexpr int kConcurrentCallsPerConnectionMax = 1000;
static_assert(kRefusalsHeldMax <= kConcurrentCallsPerConnectionMax / 4);
// Answers are ours and may be larger than what we take in.
constexpr int kResponseBytesMax = 16 << 20;
constexpr int kKeepaliveMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 10'000;
constexpr int kPingIntervalMinMs = 1'000;  // callers ping every two seconds (caller_arguments.h)

// A grpc::Service made at run time, of the same parts that generated code uses.
class GrpcService final : public grpc::Service {
 public:
  void Add(RegisteredMethod& method) {
    const bool streams = method.method.streams();
    AddMethod(new grpc::internal::RpcServiceMethod(method.path.c_str(),
                                                   streams
                                                       ? grpc::internal::RpcMethod::SERVER_STREAMING
                                                       : grpc::internal::RpcMethod::NORMAL_RPC,
                                                   nullptr));
    using Bytes = grpc::ByteBuffer;
    grpc::internal::MethodHandler* handler = nullptr;
    if (streams) {
      handler = new grpc::internal::CallbackServerStreamingHandler<Bytes, Bytes>(
          [&method](grpc::CallbackServerContext* context, const Bytes* request) {
            return StartStreamCall(method, *context, *request);
          });
    } else {
      handler = new grpc::internal::CallbackUnaryHandler<Bytes, Bytes>(
          [&method](grpc::CallbackServerContext* context, const Bytes* request, Bytes* response) {
            return StartUnaryCall(method, *context, *request, *response);
          });
    }
    MarkMethodRawCallback(methods_++, handler);
  }

 private:
  int methods_ = 0;
};

std::string_view HostOf(std::string_view address) {
  const size_t colon = address.rfind(':');
  std::string_view host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return host;
}

// Names are not looked up: what a name means is up to others.
bool IsLoopback(std::string_view address) {
  const std::string_view host = HostOf(address);
  if (host == "localhost" || host == "::1") return true;
  if (host.substr(0, 4) != "127.") return false;
  return std::all_of(host.begin(), host.end(),
                     [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

absl::Status CheckOptions(const HostOptions& options) {
  if (options.request_bytes_max == 0 ||
      options.request_bytes_max > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return absl::InvalidArgumentError("request_bytes_max is out of range");
  }
  if (!options.insecure_dev) return absl::OkStatus();
  for (const std::string& address : {options.address, options.metrics_address}) {
    if (!address.empty() && !IsLoopback(address)) {
      return WithReason(
          absl::FailedPreconditionError(absl::StrCat(
              "the trial mode gives tokens to anybody, so it listens on loopback only, not on ",
              address)),
          "INSECURE_DEV_NEEDS_LOOPBACK");
    }
  }
  return absl::OkStatus();
}

// Every rpc of the proto has a handler and says who may call it.
absl::Status CheckComplete(Service& service) {
  for (int i = 0; i < service.descriptor().method_count(); ++i) {
    const google::protobuf::MethodDescriptor& declared = *service.descriptor().method(i);
    const auto& methods = service.methods();
    if (std::none_of(methods.begin(), methods.end(), [&](const std::unique_ptr<Method>& method) {
          return method->name() == declared.name();
        })) {
      return absl::FailedPreconditionError(absl::StrCat(declared.full_name(), " has no handler"));
    }
    if (!AccessRule(declared).declared()) {
      return absl::FailedPreconditionError(
          absl::StrCat(declared.full_name(), " does not say who may call it"));
    }
  }
  return absl::OkStatus();
}

void SetLimits(grpc::ServerBuilder& builder, const HostOptions& options) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.request_bytes_max));
  builder.SetMaxSendMessageSize(kResponseBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kConcurrentCallsPerConnectionMax);
  // Two servers on one port would share its calls at random; the second is told that it is taken.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A peer that vanished without a word is noticed, and one that pings to notice us is let be.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kPingIntervalMinMs);
}

// gRPC asks for its plugins before the first server is built, once for the process.
void InitPlugins() {
  static const bool done = [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  CHECK(done);
}

// The exposer wants to own a part of what it shows; the registry is not ours.
class RegistryView final : public prometheus::Collectable {
 public:
  explicit RegistryView(prometheus::Registry& registry) : registry_(registry) {}
  std::vector<prometheus::MetricFamily> Collect() const override { return registry_.Collect(); }

 private:
  prometheus::Registry& registry_;
};

}  // namespace

class ServiceHost::Impl {
 public:
  Impl(const HostOptions& options, std::vector<Service> services, Parts parts)
      : runtime_(options, parts), services_(std::move(services)) {
    for (Service& service : services_) {
      auto grpc_service = std::make_unique<GrpcService>();
      for (std::unique_ptr<Method>& method : service.methods()) {
        methods_.push_back(std::make_unique<RegisteredMethod>(
            runtime_, *method, *service.descriptor().FindMethodByName(method->name())));
        grpc_service->Add(*methods_.back());
      }
      grpc_services_.push_back(std::move(grpc_service));
    }
  }

  ~Impl() {
    if (server_ == nullptr) return;
    Drain();
    // What is left has had its time.
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }

  absl::Status Start() {
    const HostOptions& options = runtime_.options;
    InitPlugins();
    grpc::ServerBuilder builder;
    SetLimits(builder, options);
    for (auto& service : grpc_services_) builder.RegisterService(service.get());
    int port = 0;
    if (!options.address.empty()) {
      builder.AddListeningPort(options.address, grpc::InsecureServerCredentials(), &port);
    }
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || (!options.address.empty() && port == 0)) {
      server_.reset();
      return absl::UnavailableError(absl::StrCat("cannot listen on ", options.address,
                                                 ": taken, or not an address of this machine"));
    }
    port_ = port;
    SetReady(false);
    return StartMetrics();
  }

  void SetReady(bool ready) {
    grpc::HealthCheckServiceInterface* const health = server_->GetHealthCheckService();
    CHECK(health != nullptr);
    absl::MutexLock lock(&runtime_.mutex);
    const bool serving = ready && !runtime_.gate->closed();
    health->SetServingStatus("", serving);
    for (Service& service : services_) health->SetServingStatus(service.full_name(), serving);
  }

  void Drain() {
    if (!runtime_.gate->Close()) return;
    SetReady(false);
    absl::flat_hash_set<std::shared_ptr<OpenStream>> streams;
    {
      absl::MutexLock lock(&runtime_.mutex);
      streams = runtime_.streams;
    }
    for (const std::shared_ptr<OpenStream>& stream : streams) stream->Drain();
    streams.clear();
    runtime_.gate->WaitUntilEmpty(runtime_.options.drain_max);
  }

  std::shared_ptr<grpc::Channel> InProcessChannel() {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kResponseBytesMax);
    return server_->InProcessChannel(arguments);
  }

  int port() const { return port_; }
  int metrics_port() const { return metrics_port_; }

 private:
  absl::Status StartMetrics() {
    const std::string& address = runtime_.options.metrics_address;
    if (address.empty()) return absl::OkStatus();
    // The exposer's server says what is wrong by throwing; nothing is thrown past here.
    try {
      exposer_ = std::make_unique<prometheus::Exposer>(address);
    } catch (const std::exception&) {
      return absl::UnavailableError(absl::StrCat("cannot serve metrics on ", address,
                                                 ": taken, or not an address of this machine"));
    }
    exposed_ = std::make_shared<RegistryView>(runtime_.parts.metrics);
    exposer_->RegisterCollectable(exposed_);
    const std::vector<int> ports = exposer_->GetListeningPorts();
    CHECK(!ports.empty());
    metrics_port_ = ports.front();
    return absl::OkStatus();
  }

  // In the order in which they refer to each other.
  HostRuntime runtime_;
  std::vector<Service> services_;
  std::vector<std::unique_ptr<RegisteredMethod>> methods_;
  std::vector<std::unique_ptr<GrpcService>> grpc_services_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<RegistryView> exposed_;
  std::unique_ptr<prometheus::Exposer> exposer_;
  int port_ = 0;
  int metrics_port_ = 0;
};

ServiceHost::ServiceHost(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ServiceHost::~ServiceHost() = default;

absl::StatusOr<std::unique_ptr<ServiceHost>> ServiceHost::Start(HostOptions options,
                                                                std::vector<Service> services,
                                                                Parts parts) {
  ABSL_RETURN_IF_ERROR(CheckOptions(options));
  for (Service& service : services) ABSL_RETURN_IF_ERROR(CheckComplete(service));
  auto impl = std::make_unique<Impl>(options, std::move(services), parts);
  ABSL_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<ServiceHost>(new ServiceHost(std::move(impl)));
}

int ServiceHost::port() const { return impl_->port(); }
int ServiceHost::metrics_port() const { return impl_->metrics_port(); }
std::shared_ptr<grpc::Channel> ServiceHost::InProcessChannel() { return impl_->InProcessChannel(); }
void ServiceHost::SetReady(bool ready) { impl_->SetReady(ready); }
void ServiceHost::Drain() { impl_->Drain(); }

}  // namespace buurtlog::rpc
