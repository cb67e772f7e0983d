// The access rule of an rpc, compiled from its proto once. Private to libs/rpc.
#pragma once

#include <google/protobuf/descriptor.h>

#include <cstdint>

#include "absl/status/status.h"
#include "libs/identity/caller.h"

namespace buurtlog::rpc {

class AccessRule {
 public:
  // Without a rule in the proto, nobody may call.
  explicit AccessRule(const google::protobuf::MethodDescriptor& method);

  // Does the proto say who may call?
  bool declared() const { return anyone_ || roles_ != 0; }
  bool anyone() const { return anyone_; }
  // PERMISSION_DENIED with reason ROLE_NOT_ALLOWED.
  absl::Status Check(const identity::Caller& caller) const;

 private:
  bool anyone_ = false;
  uint32_t roles_ = 0;  // one bit for each role
};

}  // namespace buurtlog::rpc
