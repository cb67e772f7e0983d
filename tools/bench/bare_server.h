// The limits that a durable command is measured against: gRPC servers with the contract of the
// tally that do nothing, or nothing but make the request's bytes durable. Callback API, as libs/rpc
// uses it.
#pragma once

#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "tools/bench/bare_log.h"

namespace buurtlog::bench {

// Serves until SIGTERM. `serving` is called once with the address it really has. A call is answered
// when `log` has its bytes; without a log at once, with an answer of the usual size.
absl::Status ServeBare(const std::string& address, AppendingLog* log,
                       absl::AnyInvocable<void(const std::string&)> serving);

}  // namespace buurtlog::bench
