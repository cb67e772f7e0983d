// The entries of one stream, found by the stream index and read from the log. Private to libs/rpc.
#pragma once

#include "absl/status/statusor.h"
#include "buurtlog/log/v1/log_service.pb.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventsourcing/state_store.h"

namespace buurtlog::rpc {

// The most of one page; at least one entry comes, however large.
inline constexpr size_t kStreamEntriesMax = 1000;
inline constexpr size_t kStreamBytesMax = 1 << 20;

// A page of the stream that the request names. Blocks on the disk. `streams` may be null, for a log
// without streams. NOT_FOUND: no such stream in this partition. INVALID_ARGUMENT naming the field.
// DATA_LOSS and UNAVAILABLE of the log and the index.
absl::StatusOr<log::v1::ReadStreamResponse> ReadStream(eventlog::EventLog& log,
                                                       eventsourcing::StateStore* streams,
                                                       const log::v1::ReadStreamRequest& request);

}  // namespace buurtlog::rpc
