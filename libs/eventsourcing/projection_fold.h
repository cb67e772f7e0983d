// One file of a read model being folded: the live one, one that is rebuilt beside it, or a fresh
// copy for a comparison. Private to libs/eventsourcing.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/eventsourcing/log_lanes.h"
#include "libs/eventsourcing/projection.h"
#include "libs/eventsourcing/projection_runner.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::eventsourcing {

// One transaction takes at most this much; near the heads it takes what there is.
inline constexpr size_t kEntriesPerStepMax = 8'192;
inline constexpr size_t kBytesPerStepMax = 16 << 20;
inline constexpr size_t kEntriesPerReadMax = 1'024;

std::string ReadModelPath(const std::string& folder, const ReadModelSpec& spec);

enum class FoldInto {
  kLiveFile,  // opened or made; every step is safe
  kNewFile,   // made anew, and safe from Settle on; until then, others see nothing of it
};

struct FoldStep {
  // Why the step ended early; what was folded before is stored. UNAVAILABLE and RESOURCE_EXHAUSTED:
  // try again later.
  absl::Status status;
  bool file_is_damaged = false;  // that is what the status is about, and not a log
  bool file_is_lost = false;     // a new file that could not be written; it is of no use any more
  // UNAVAILABLE while a log is out of reach. Its lanes rest until AskAgain; the others go on.
  absl::Status out_of_reach;
  size_t entries = 0;
  size_t events = 0;
  bool more = false;
};

// Not thread-safe.
class ProjectionFold {
 public:
  // Opens or makes the file. A live file that was made from another spec of the same schema
  // version, or is no database any more, is thrown away. `model` and the logs outlive the fold.
  static absl::StatusOr<std::unique_ptr<ProjectionFold>> Open(const std::string& path,
                                                              FoldInto into, ReadModel& model,
                                                              const std::vector<LogSource>& sources,
                                                              Files& files);

  std::vector<Lane>& lanes() { return lanes_; }
  sqlite::Connection& file() { return file_; }
  size_t parked() const { return parked_.size(); }
  // Why the file that was there was thrown away; empty when it was not.
  const std::string& discarded() const { return discarded_; }

  // Reads what the lanes have and applies it, in a live file in one transaction together with the
  // checkpoints. Lanes take turns; into a new file one is folded to its end before the next, since
  // a partition's rows are near each other.
  FoldStep Step();
  // Reads again what rests.
  void AskAgain();
  // Applies the records of a parked stream that wait, in order, until one fails again; true when
  // none is left.
  absl::StatusOr<bool> RetryParked(const std::string& service, const StreamId& stream);
  // Of a new file: everything is in the main file, with its checkpoints and indexes, and safe from
  // a power cut, so that the file can be moved. Nothing is folded after it.
  absl::Status Settle();

 private:
  enum class Pass {
    kQuick,    // no savepoints; the first record that cannot be applied ends the pass
    kCareful,  // a savepoint for each record; those that cannot be applied are parked
  };
  using StreamKey = std::pair<std::string, StreamId>;

  ProjectionFold(sqlite::Connection file, FoldInto into, ReadModel& model, std::vector<Lane> lanes)
      : file_(std::move(file)), into_(into), model_(model), lanes_(std::move(lanes)) {}

  absl::Status ReadBatch();
  absl::StatusOr<size_t> ReadOn(size_t lane, eventlog::FoldState& from);
  bool BatchIsFull() const;
  void LetRest(const eventlog::LogReader& log);
  // False: the pass was rolled back because a record must be parked.
  bool ApplyBatch(Pass pass, FoldStep& step);
  void FailAtFile(absl::Status status, FoldStep& step) const;
  absl::Status StoreCheckpoints(const std::vector<size_t>& reached);
  // An error of this function stops the reader: the entry cannot be read here.
  absl::Status Decode(const Lane& lane, const eventlog::EntryView& entry);
  absl::Status ApplyDecoded();
  // Applies under a savepoint; false when the record was rolled back, and why.
  absl::StatusOr<bool> ApplyOrRollBack(std::string& reason);
  absl::Status ApplyOrPark(const Lane& lane, Pass pass, bool& redo);
  absl::Status Park(const Lane& lane, std::string reason);

  std::string discarded_;
  sqlite::Connection file_;
  const FoldInto into_;
  ReadModel& model_;
  std::vector<Lane> lanes_;
  size_t first_lane_ = 0;
  EntryBatch batch_;
  absl::Status out_of_reach_;  // of the lanes that rest
  // The record that is being applied.
  log::v1::Record record_;
  std::vector<DecodedEvent> events_;
  absl::flat_hash_set<StreamKey> parked_;
  std::vector<StreamKey> newly_parked_;  // in the transaction that is open
};

// Turns counts into figures for people.
class ProgressMeter {
 public:
  ProgressMeter(uint64_t total, absl::Duration now) : total_(total), began_(now), told_(now) {}
  // True about once a second.
  bool Due(absl::Duration now);
  RebuildProgress At(uint64_t events, absl::Duration now, bool done) const;

 private:
  uint64_t total_;
  absl::Duration began_;
  absl::Duration told_;
};

}  // namespace buurtlog::eventsourcing
