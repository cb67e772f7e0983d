// Whether a place that somebody kept (a checkpoint) lies on a log's chain.
#pragma once

#include "absl/status/status.h"
#include "libs/eventlog/event_log.h"

namespace buurtlog::eventlog {

// OK when the log goes at least to `place` and has the entry there that the place names. DATA_LOSS
// when it ends before, or has another entry: somebody has seen what the log does not hold any more.
// Other errors as the log's.
absl::Status CheckOnChain(LogReader& log, Partition partition, const FoldState& place);

}  // namespace buurtlog::eventlog
