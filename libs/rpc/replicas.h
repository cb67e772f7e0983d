// How the replicas of a service hand commands to each other by gRPC
// (proto/buurtlog/log/v1/replica_service.proto).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "libs/eventsourcing/command_forwarder.h"
#include "libs/eventsourcing/service_node.h"
#include "libs/rpc/service.h"

namespace buurtlog::rpc {

// The ReplicaService of a process. `nodes` outlive it.
Service MakeReplicaService(std::vector<eventsourcing::ServiceNode*> nodes);

// Calls other replicas at the addresses that their epoch records name; keeps a connection to each.
class ReplicaForwarder final : public eventsourcing::CommandForwarder {
 public:
  // `token` gives a token of ROLE_SERVICE that is valid for some minutes, from any thread.
  ReplicaForwarder(std::string service, std::function<std::string()> token);
  // Ends the calls that are under way, as UNAVAILABLE.
  ~ReplicaForwarder() override;

  void Forward(const std::string& owner, log::v1::HandedCommand command, absl::Time deadline,
               eventsourcing::CommandDone done) override;

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace buurtlog::rpc
