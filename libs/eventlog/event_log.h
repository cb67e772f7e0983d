// The event log: one contract, several engines (memory, sqlite, kafka). event_log_contract_test
// holds what is promised; what is not in that test does not exist.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "libs/eventlog/fold.h"
#include "libs/eventlog/record.h"

namespace buurtlog::eventlog {

// How a writer names itself, in bytes.
inline constexpr size_t kOwnerBytesMax = 256;

struct ReadLimits {
  size_t entries_max = 1024;
  size_t bytes_max = 4 << 20;
};

// Counts what is read against its limits.
class ReadRoom {
 public:
  explicit ReadRoom(const ReadLimits& limits) : limits_(limits) {}
  // Takes room for one more entry; false when there is none. The first one has room in any case.
  bool Take(size_t bytes) {
    full_ = full_ || (entries_ > 0 &&
                      (entries_ >= limits_.entries_max || bytes_ + bytes > limits_.bytes_max));
    if (full_) return false;
    ++entries_;
    bytes_ += bytes;
    return true;
  }
  // An entry had no room.
  bool full() const { return full_; }

 private:
  const ReadLimits limits_;
  size_t entries_ = 0;
  size_t bytes_ = 0;
  bool full_ = false;
};

// What an engine did since it told last, for metrics.
struct LogProgress {
  // Of a call: until it was durable and could be answered. The longest of those that ended
  // together; zero when none did.
  absl::Duration took;
  size_t calls = 0;
  size_t entries = 0;       // that became durable or were read, and count
  size_t bytes = 0;         // of these
  size_t epochs = 0;        // epoch records among them
  size_t void_entries = 0;  // read, and never to count: a fenced writer's, a doubled send, a hole
};

// Ends the watch when destroyed; afterwards the callback does not run any more.
class Subscription {
 public:
  virtual ~Subscription() = default;
};

// The reading half. Thread-safe.
class LogReader {
 public:
  virtual ~LogReader() = default;
  virtual const LogIdentity& identity() const = 0;

  // Gives `visit` the counting entries after `at`, in order, up to the limits (at least one if
  // there is one), and moves `at` behind the last one visited. Returns OK with nothing visited at
  // the end. Every entry's form, CRC, sequence, epoch and chain are verified before it is visited.
  // An error from `visit` ends the read and is returned; `at` then stands behind the last entry for
  // which `visit` returned OK. DATA_LOSS names partition and sequence: an entry is damaged or
  // missing, `at` is not on this log's chain (another hash at its place), or the log ends before
  // `at`. UNAVAILABLE: out of reach, go on later from `at`. Views are valid only during the visit.
  virtual absl::Status Read(Partition partition, FoldState& at, const ReadLimits& limits,
                            absl::FunctionRef<absl::Status(const EntryView&)> visit) = 0;

  // A place from which to read entry `from` and on without reading what is before: its previous
  // hash is taken from the entry itself, so the chain is verified from there on only. OUT_OF_RANGE
  // when the partition ends before `from`.
  virtual absl::StatusOr<FoldState> Seek(Partition partition, Sequence from) = 0;

  // Calls `grew` with a partition soon after entries were added to it; once or more for each
  // change, from any thread, holding no locks. Calls may be merged; a reader reads until nothing is
  // left.
  virtual std::unique_ptr<Subscription> Watch(absl::AnyInvocable<void(Partition)> grew) = 0;

  // How far the partition is now known to go.
  virtual absl::StatusOr<FoldState> Head(Partition partition) = 0;
};

// The whole log. Thread-safe. Callbacks run on a thread of the engine's and must not block; they
// post to a TaskQueue.
class EventLog : public LogReader {
 public:
  // Makes the caller the only writer of the partition: earlier writers' appends do not count any
  // more. `owner` names the caller for people (an address; nothing about a person), in
  // kOwnerBytesMax bytes; INVALID_ARGUMENT for more. The result is the partition as it stands
  // behind the epoch record.
  virtual void BeginEpoch(Partition partition, std::string owner,
                          absl::AnyInvocable<void(absl::StatusOr<FoldState>)> done) = 0;

  // Appends `entries`, each made by EncodeEntry with the epoch, sequence and previous hash of this
  // partition's chain. All or none of a call. Calls for a partition land in the order they were
  // made; several may be under way. One without entries stores nothing: OK says that the caller is
  // still the owner.
  //   OK                  durable and counting
  //   ABORTED             nothing of this call counts: another owner wrote, or an earlier append of
  //                       this chain failed
  //   RESOURCE_EXHAUSTED  nothing of this call counts: the disk is full; later calls work when
  //                       there is room
  //   UNAVAILABLE         unknown; begin an epoch and read to know
  virtual void Append(Partition partition, Epoch epoch, std::vector<std::string> entries,
                      absl::AnyInvocable<void(absl::Status)> done) = 0;

  // Why the log cannot do all it promises at the moment, or for good (DATA_LOSS, UNIMPLEMENTED); OK
  // when it can.
  virtual absl::Status health() { return absl::OkStatus(); }

  // Called by the engine every now and then, on a thread of its own. Set before the first append.
  virtual void OnProgress(absl::AnyInvocable<void(const LogProgress&)> /*observer*/) {}

  // Gives `visit` the entries with these sequences, which ascend, in order and up to the limits (at
  // least one if there is one). Form, CRC and place of each are verified; the chain is not, since
  // what stands between them is not read, so the views have no hash. DATA_LOSS naming the place:
  // an entry is damaged or missing, or the partition ends before it. UNAVAILABLE and errors of
  // `visit` as for Read. `visit` is short and does not read this log.
  virtual absl::Status ReadEntries(Partition partition, absl::Span<const Sequence> sequences,
                                   const ReadLimits& limits,
                                   absl::FunctionRef<absl::Status(const EntryView&)> visit) = 0;
};

}  // namespace buurtlog::eventlog
