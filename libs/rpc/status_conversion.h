// absl::Status to grpc::Status and back, without loss: reasons as google.rpc.ErrorInfo (domain
// "buurtlog"), fields as google.rpc.BadRequest.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace buurtlog::rpc {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace buurtlog::rpc
