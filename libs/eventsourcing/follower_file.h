// What a follower of the logs keeps in a SQLite file of its own beside what it makes: how far it
// got in each partition, and the records that wait because they could not be applied. Read models
// and processes share it. Private to libs/eventsourcing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/files.h"
#include "libs/eventlog/fold.h"
#include "libs/eventsourcing/event_codec.h"
#include "libs/eventsourcing/projection_runner.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::eventsourcing {

// A reason is cut to this length.
inline constexpr size_t kParkedReasonBytesMax = 500;

// One record that waits.
struct ParkedRecord {
  StreamId stream;
  Position position;
  std::string reason;  // empty when it waits for an earlier record of its stream
  absl::Time since;    // recorded_at
};

// WAL, synchronous=NORMAL: neither kill -9 nor a power cut tears rows from checkpoint. Makes the
// file and the tables `checkpoint` and `parked` when they are missing.
absl::StatusOr<sqlite::Connection> OpenForWriting(Files& files, const std::string& path);
// Throws a damaged file away and makes it anew, and `discarded` then says why.
absl::StatusOr<sqlite::Connection> OpenOrMakeAnew(Files& files, const std::string& path,
                                                  std::string& discarded);
// A new file, in the place of whatever stood there, for somebody who makes all of it and throws it
// away when that does not come to its end: nothing is safe, from a crash neither, and one
// transaction is open, before FinishNew.
absl::StatusOr<sqlite::Connection> OpenNew(Files& files, const std::string& path);
// Ends that transaction, and makes all of it safe from a power cut; the file is then as those of
// OpenForWriting.
absl::Status FinishNew(sqlite::Connection& file);
// Read-only, also while another connection replaces the file. NOT_FOUND when there is none.
absl::StatusOr<sqlite::Connection> OpenForReading(Files& files, const std::string& path);
// A file that was found damaged, for whoever opens it next: OpenForWriting gives DATA_LOSS until it
// is removed. When that could not be written down, it is for the caller to try again.
absl::Status MarkDamaged(Files& files, const std::string& path);
bool IsMarkedDamaged(Files& files, const std::string& path);
// The options of everybody who opens such a file: its pages have checksums.
sqlite::OpenOptions FollowerOptions();
// DATA_LOSS when the file, or its write-ahead log, shows damage before anything of it is read.
absl::Status CheckBeforeOpening(Files& files, const std::string& path);
// The file and what stands beside it, main file first: what is left of an interrupted removal is no
// database.
absl::Status RemoveDatabase(Files& files, const std::string& path);

absl::StatusOr<bool> HasTable(sqlite::Connection& file, std::string_view name);

absl::StatusOr<CheckpointVector> LoadCheckpoints(sqlite::Connection& file);
absl::Status StoreCheckpoint(sqlite::Connection& file, std::string_view service,
                             eventlog::Partition partition, const eventlog::FoldState& state);

// Keeps a record; a second time with the same place changes its reason only.
absl::Status StoreParked(sqlite::Connection& file, const ParkedRecord& record);
absl::Status RemoveParked(sqlite::Connection& file, const Position& position,
                          const StreamId& stream);
// The records of one stream that wait, in order.
absl::StatusOr<std::vector<Position>> ParkedRecordsOf(sqlite::Connection& file,
                                                      std::string_view service,
                                                      const StreamId& stream);
// One entry a stream, in the order of their first record's time.
absl::StatusOr<std::vector<ParkedStream>> LoadParked(sqlite::Connection& file,
                                                     std::string_view name);

// What is kept and shown of an error.
std::string ParkedReason(const absl::Status& status);

}  // namespace buurtlog::eventsourcing
