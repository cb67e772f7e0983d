#include "libs/rpc/request_validator.h"

#include "libs/rpc/form_rules.h"

namespace buurtlog::rpc {

absl::Status ValidateForm(const google::protobuf::Message& request) {
  return FormRules::Of(*request.GetDescriptor()).Check(request);
}

}  // namespace buurtlog::rpc
