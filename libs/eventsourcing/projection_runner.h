// Keeps a read model up to date: follows the logs it folds, applies events in transactions that
// hold the checkpoint too, answers queries from a given position on, parks streams whose event
// cannot be applied, and rebuilds beside the live rows. The first fold of many entries is made like
// a rebuild: until it is whole, there are no rows.
//
// File: <folder>/<name>-<schema_version>.db, with the model's tables and the runner's own:
// `checkpoint(service, partition, state)`, `parked(service, stream, partition, sequence, reason,
// since)`, one row for each record that waits, and `made_from(stamp)`, a hash of the spec: a file
// of another one is thrown away and folded anew.
#pragma once

#include <prometheus/registry.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"
#include "libs/eventsourcing/event_codec.h"
#include "libs/eventsourcing/projection.h"

namespace buurtlog::eventsourcing {

// A log to follow and how to read its events. Both outlive the runner.
struct LogSource {
  eventlog::LogReader* log = nullptr;
  const EventCodec* codec = nullptr;
};

// Place reached in each partition of each service.
using CheckpointVector =
    absl::btree_map<std::pair<std::string, eventlog::Partition>, eventlog::FoldState>;

struct Digests {
  std::string structure;  // hex SHA-256 over the canonical rows without personal columns
  std::string content;    // with them
  uint64_t rows = 0;
  friend bool operator==(const Digests&, const Digests&) = default;
};
// Over all tables of the spec, rows ordered by their key, values with their types. In the
// connection's read transaction.
absl::StatusOr<Digests> DigestOf(sqlite::Connection& rows, const ReadModelSpec& spec);

struct ParkedStream {
  std::string read_model;
  StreamId stream;
  Position position;     // of the first event that could not be applied
  std::string reason;    // nothing about anybody
  absl::Time since;      // recorded_at of that event
  uint64_t waiting = 0;  // records of the stream that wait, the first included
};

struct RebuildProgress {
  uint64_t events = 0;
  uint64_t events_total = 0;  // records known to lie ahead when it began
  double events_per_second = 0;
  absl::Duration time_left;
  bool done = false;
};

// Thread-safe.
class ProjectionRunner {
 public:
  struct Parts {
    Scheduler& scheduler;
    Clock& clock;
    prometheus::Registry& metrics;
    Files& files = SystemFiles();
  };
  // Opens or makes the file in `folder`; one of another schema version stays beside it until the
  // new one has caught up, then goes. A checkpoint that is not on a log's chain is DATA_LOSS when
  // the runner meets it, never a silent reset.
  static absl::StatusOr<std::unique_ptr<ProjectionRunner>> Open(const std::string& folder,
                                                                std::unique_ptr<ReadModel> model,
                                                                std::vector<LogSource> sources,
                                                                Parts parts);
  ~ProjectionRunner();

  const ReadModelSpec& spec() const;
  // Why the file that was there was thrown away at Open (made from other tables, damaged), to be
  // folded again; empty when it was not.
  const std::string& discarded() const;
  // Begins to follow.
  void Start();
  // OK while it follows; UNIMPLEMENTED (an event of a newer release) or DATA_LOSS when it has
  // stopped; RESOURCE_EXHAUSTED (disk full) or UNAVAILABLE (a log out of reach) while it tries
  // again.
  absl::Status health() const;
  // Has it reached the heads that the logs had when Start was called?
  bool caught_up() const;
  // Records behind the heads, as far as known.
  uint64_t lag() const;

  // Calls `ready` once every position of `min` has been folded: OK, or DEADLINE_EXCEEDED at
  // `deadline`. INVALID_ARGUMENT for a service or partition that this read model does not follow.
  void WhenReached(std::vector<Position> min, absl::Time deadline,
                   absl::AnyInvocable<void(absl::Status)> ready);

  // Runs `read` on a read-only connection inside one read transaction. Blocks only on the disk.
  absl::Status Read(absl::FunctionRef<absl::Status(sqlite::Connection& rows)> read);

  // WhenReached, then Read, then the reply. `read` gives absl::StatusOr<Response>.
  template <typename Response>
  void Query(std::vector<Position> min, absl::Time deadline,
             absl::AnyInvocable<absl::StatusOr<Response>(sqlite::Connection& rows)> read,
             absl::AnyInvocable<void(absl::StatusOr<Response>)> reply);

  absl::StatusOr<CheckpointVector> Checkpoints();
  absl::StatusOr<std::vector<ParkedStream>> Parked();
  // Tries the parked streams again, in order; the number that went on.
  void RetryParked(absl::AnyInvocable<void(absl::StatusOr<size_t>)> done);
  // Folds into a new file beside the live one and switches when it has caught up; `progress` is
  // called about once a second and at the end, from the rebuild's queue. UNAVAILABLE when one is
  // under way already.
  void Rebuild(absl::AnyInvocable<void(absl::StatusOr<RebuildProgress>)> progress);

  class Impl;

 private:
  explicit ProjectionRunner(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct VerifyResult {
  std::string read_model;
  Digests live;
  Digests replayed;
  uint64_t records = 0;
  bool equal() const { return live == replayed; }
};
// Folds the logs into a fresh file in `scratch_folder` exactly up to the checkpoint of the live
// file in `folder`, and compares digests. Reads the live file only (it may be in use). Blocks.
absl::StatusOr<VerifyResult> VerifyReadModel(
    const std::string& folder, const std::string& scratch_folder, ReadModel& fresh,
    const std::vector<LogSource>& sources, absl::FunctionRef<void(const RebuildProgress&)> progress,
    Files& files = SystemFiles());
// The parked streams of a live file, read only.
absl::StatusOr<std::vector<ParkedStream>> ReadParked(const std::string& folder,
                                                     const ReadModelSpec& spec,
                                                     Files& files = SystemFiles());

// ---- template

template <typename Response>
void ProjectionRunner::Query(
    std::vector<Position> min, absl::Time deadline,
    absl::AnyInvocable<absl::StatusOr<Response>(sqlite::Connection& rows)> read,
    absl::AnyInvocable<void(absl::StatusOr<Response>)> reply) {
  WhenReached(
      std::move(min), deadline,
      [this, read = std::move(read), reply = std::move(reply)](absl::Status reached) mutable {
        if (!reached.ok()) return reply(reached);
        absl::StatusOr<Response> response = absl::InternalError("query did not run");
        absl::Status status = Read([&](sqlite::Connection& rows) {
          response = read(rows);
          return response.status();
        });
        if (!status.ok()) return reply(status);
        reply(std::move(response));
      });
}

}  // namespace buurtlog::eventsourcing
