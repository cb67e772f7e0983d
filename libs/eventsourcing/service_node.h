// One service on one data folder: its log, state store, executor, read models and processes, put
// together, so that a service's main.cc and `buurtlog serve` wire the same parts in the same way.
//
// Folder: <data>/<service>/log (or what the engine keeps there), state.db, read_models/,
// processes/.
#pragma once

#include <prometheus/registry.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/random.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventlog/log_engine.h"
#include "libs/eventsourcing/command_executor.h"
#include "libs/eventsourcing/command_forwarder.h"
#include "libs/eventsourcing/process_runner.h"
#include "libs/eventsourcing/projection_runner.h"

namespace buurtlog::eventsourcing {

struct NodeOptions {
  std::string service;                                      // "visits"
  std::string data_folder;                                  // the parent of all services' folders
  std::string owner;                                        // see SetOwner
  std::string command_hash_key;                             // 32 bytes
  eventlog::LogEngine* engine = &eventlog::SqliteEngine();  // outlives the node
  // How commands come to other replicas, where the engine's logs are shared; outlives the node.
  CommandForwarder* forwarder = nullptr;
  ExecutorOptions executor;  // owner, command_hash_key and shared are filled in
};

// The seams, shared by all nodes of a process. All outlive the nodes.
struct NodeParts {
  Clock& clock;
  Random& random;
  Files& files;
  Scheduler& scheduler;
  prometheus::Registry& metrics;
};

// Not thread-safe while it is put together; executor(), log() and the runners are.
class ServiceNode {
 public:
  // Opens the log, making a synthetic one when the folder has none, and the state store; what the
  // store threw away is in store_discarded(), for the caller to log.
  static absl::StatusOr<std::unique_ptr<ServiceNode>> Open(NodeOptions options, NodeParts parts,
                                                           std::vector<const AggregateType*> types);
  ~ServiceNode();

  const std::string& service() const;
  eventlog::EventLog& log();
  const EventCodec& codec() const;
  LogSource source();
  CommandExecutor& executor();
  StateStore& store();
  // What was thrown away when they were opened, and why, for the operator; empty: nothing was.
  const std::string& log_discarded() const;
  const std::string& store_discarded() const;

  // Before Start. Sources are the services that the model or process names; `sources` must hold all
  // of them (own source included).
  absl::StatusOr<ProjectionRunner*> AddReadModel(std::unique_ptr<ReadModel> model,
                                                 const std::vector<LogSource>& sources);
  absl::StatusOr<ProcessRunner*> AddProcess(std::unique_ptr<Process> process,
                                            const std::vector<LogSource>& sources);

  // Before Start: how this process names itself in epoch records, the address at which other
  // replicas reach it.
  void SetOwner(std::string owner);
  // Starts executor, read models and processes; waits until the executor is ready, and joins the
  // replicas of the service where there may be several. Blocks.
  absl::Status Start();
  // Leaves the replicas of the service, so that others take its partitions over; commands go on
  // being taken, and are handed to those.
  void Leave();
  // Whether others have all partitions that were this one's, or there were no others.
  bool handed_over() const;
  // Ends read models and processes: they follow the logs of other nodes too, so all nodes of a
  // process are stopped before the first is destroyed. Their pointers are gone afterwards. Commands
  // still work.
  void Stop();
  // Executor ready, log, state store and processes well, read models caught up and well. Names what
  // is not. A process may be behind: a new one reads years, and nobody waits for it.
  absl::Status Ready() const;
  const std::vector<ProjectionRunner*>& read_models() const;
  const std::vector<ProcessRunner*>& processes() const;

 private:
  struct Impl;
  explicit ServiceNode(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The release of events that the region writes, from the file `write_release` of the shared folder:
// a number, which an operator raises when every replica can read the later release. A region that
// has no such file writes that of this executable, and has it from now on. FAILED_PRECONDITION with
// NEWER_RELEASE for one that this executable cannot read; DATA_LOSS for what is no number.
absl::StatusOr<uint32_t> LoadOrMakeWriteRelease(const std::string& shared_folder, Files& files);

// The key that command hashes are made with: <shared>/keys/command_hash, made at first use, mode
// 0600; DATA_LOSS when it is missing though the data folder has logs.
absl::StatusOr<std::string> LoadOrMakeCommandHashKey(const std::string& shared_folder,
                                                     const std::string& data_folder, Files& files,
                                                     Random& random);

}  // namespace buurtlog::eventsourcing
