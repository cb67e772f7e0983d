// Another service's log, read through its LogService. The entries are verified here, not believed.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventsourcing/state_store.h"
#include "libs/rpc/service.h"

namespace buurtlog::rpc {

// A log to serve. Both outlive the service.
struct LogToServe {
  eventlog::EventLog* log = nullptr;
  eventsourcing::StateStore* streams = nullptr;  // its stream index; null: it has no streams
};

// The LogService of `logs`: GetIdentity, GetHeads, Watch, ReadStream.
Service MakeLogService(const std::vector<LogToServe>& logs, Scheduler& scheduler);

// A LogReader over a channel. Read serves what has come in and never waits for the network: OK with
// nothing visited means that nothing more has come yet, and Watch tells when it does; Head and Seek
// ask the other side (2 s at most). The log resumes at the last entry it has and must find that
// entry there, so another log or a shorter one is DATA_LOSS. Destroy it before the host of an
// in-process channel.
// Entries received ahead of the reader wait in a bounded buffer for each partition; when the
// connection or the other service goes, Read returns UNAVAILABLE and the reader reconnects with
// back-off and goes on from where it was. `token` gives a fresh bearer token with role SERVICE.
// Waits up to `wait` for the identity; UNAVAILABLE when it does not come.
absl::StatusOr<std::unique_ptr<eventlog::LogReader>> ConnectRemoteLog(
    std::shared_ptr<grpc::Channel> channel, std::string service,
    absl::AnyInvocable<std::string()> token, Scheduler& scheduler, absl::Duration wait);

}  // namespace buurtlog::rpc
