#include "libs/rpc/access.h"

#include "buurtlog/access/v1/options.pb.h"
#include "libs/base/check.h"
#include "libs/base/refusal.h"

namespace buurtlog::rpc {
namespace {

uint32_t BitOf(access::v1::Role role) { return uint32_t{1} << role; }

}  // namespace

AccessRule::AccessRule(const google::protobuf::MethodDescriptor& method) {
  static_assert(access::v1::Role_MAX < 32);
  const access::v1::Rule& rule = method.options().GetExtension(access::v1::rule);
  anyone_ = rule.anyone();
  for (const int role : rule.roles()) {
    CHECK(access::v1::Role_IsValid(role) && role != access::v1::ROLE_UNSPECIFIED);
    roles_ |= BitOf(static_cast<access::v1::Role>(role));
  }
}

absl::Status AccessRule::Check(const identity::Caller& caller) const {
  if (anyone_ || (caller.role != access::v1::ROLE_UNSPECIFIED &&
                  access::v1::Role_IsValid(caller.role) && (roles_ & BitOf(caller.role)) != 0)) {
    return absl::OkStatus();
  }
  return WithReason(absl::PermissionDeniedError("the caller's role may not make this call"),
                    "ROLE_NOT_ALLOWED");
}

}  // namespace buurtlog::rpc
