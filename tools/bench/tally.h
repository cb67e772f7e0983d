// The smallest service that does all a real one does, as a service is hosted: bearer token, access
// rule, form of requests, executor, log, state store. What the benchmarks call.
#pragma once

#include "libs/eventsourcing/decider.h"
#include "libs/rpc/service_main.h"

namespace buurtlog::bench {

inline constexpr char kTallyService[] = "tally";
inline constexpr char kTallyCategory[] = "tally";

const eventsourcing::AggregateType& TallyAggregate();

// How a process serves it.
rpc::ServedService ServedTally();

}  // namespace buurtlog::bench
