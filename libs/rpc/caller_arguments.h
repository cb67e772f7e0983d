// How a caller of the services should connect and try again (docs/operations.md). Every command has
// an idempotency key and every query only reads, so a call that came back UNAVAILABLE may be sent
// again as it is; with the addresses of several replicas it then goes to another one.
#pragma once

#include <grpcpp/support/channel_arguments.h>

namespace buurtlog::rpc {

// gRPC's service config.
inline constexpr char kServiceConfig[] = R"({
  "loadBalancingConfig": [{"round_robin": {}}],
  "methodConfig": [{
    "name": [{}],
    "retryPolicy": {
      "maxAttempts": 5,
      "initialBackoff": "0.1s",
      "maxBackoff": "2s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  }]
})";
// A server that answers no ping for so long is given up, and its calls are UNAVAILABLE: it hangs,
// or its machine is gone without a word.
inline constexpr int kCallerKeepaliveMs = 2'000;
inline constexpr int kCallerKeepaliveTimeoutMs = 1'000;

// With these, and a connection of the channel's own: one that is shared with an earlier channel
// could still be waiting to try again, and fail at once.
grpc::ChannelArguments CallerArguments();

}  // namespace buurtlog::rpc
