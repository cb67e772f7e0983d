// The OperationsService of a process: status, parked streams and rebuilds of the services it runs.
#pragma once

#include <vector>

#include "libs/eventsourcing/service_node.h"
#include "libs/rpc/service.h"

namespace buurtlog::rpc {

// `nodes` outlive the service.
Service MakeOperationsService(std::vector<eventsourcing::ServiceNode*> nodes);

}  // namespace buurtlog::rpc
