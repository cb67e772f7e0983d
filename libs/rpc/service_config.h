// How a caller of the services should try again (gRPC's service config, docs/operations.md). Every
// command has an idempotency key and every query only reads, so a call that came back UNAVAILABLE
// may be sent again as it is; with the addresses of several replicas it then goes to another one.
#pragma once

namespace buurtlog::rpc {

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

}  // namespace buurtlog::rpc
