#include "libs/rpc/service.h"

#include "libs/base/check.h"

namespace buurtlog::rpc {

absl::Status DroppedStatus() {
  return absl::UnavailableError("the service stopped before it answered");
}

UnaryReply::~UnaryReply() {
  if (sink_ != nullptr) sink_->Answer(DroppedStatus(), nullptr);
}

Service::Service(std::string_view full_name)
    : full_name_(full_name),
      descriptor_(
          google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(full_name_)) {
  CHECK(descriptor_ != nullptr);
}

Service::~Service() = default;
Service::Service(Service&&) noexcept = default;

void Service::Add(std::unique_ptr<Method> method) {
  const google::protobuf::MethodDescriptor* const declared =
      descriptor_->FindMethodByName(method->name());
  CHECK(declared != nullptr);
  CHECK(declared->input_type() == method->request().GetDescriptor());
  CHECK(declared->output_type() == method->response().GetDescriptor());
  CHECK(!declared->client_streaming());
  CHECK(declared->server_streaming() == method->streams());
  for (const std::unique_ptr<Method>& other : methods_) CHECK(other->name() != method->name());
  methods_.push_back(std::move(method));
}

}  // namespace buurtlog::rpc
