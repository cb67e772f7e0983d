#include "libs/eventsourcing/follower_file.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/sqlite/wal_check.h"

namespace buurtlog::eventsourcing {
namespace {

constexpr int kOpenAttemptsMax = 5;
constexpr char kDamagedSuffix[] = ".damaged";

// `parked` holds every record of a parked stream, so that what waits can be read in order and
// counted.
constexpr char kTables[] = R"sql(
  CREATE TABLE IF NOT EXISTS checkpoint(
    service TEXT NOT NULL, partition INTEGER NOT NULL, state BLOB NOT NULL,
    PRIMARY KEY(service, partition)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS parked(
    service TEXT NOT NULL, stream TEXT NOT NULL, partition INTEGER NOT NULL, sequence INTEGER NOT NULL,
    reason TEXT NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY(service, stream, sequence)) WITHOUT ROWID;
)sql";

constexpr char kWriterSettings[] = R"sql(
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA cache_size = -32768;
  PRAGMA temp_store = MEMORY;
)sql";

// Pages are written when there are more of them than this cache takes, and at the end. Sorting for
// an index may take a file.
constexpr char kNewFileSettings[] = R"sql(
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = MEMORY;
  PRAGMA synchronous = OFF;
  PRAGMA cache_size = -65536;
  BEGIN;
)sql";

// Reads for the first time. DATA_LOSS when the tables of every such file are not there.
absl::Status CheckTables(sqlite::Connection& file) {
  for (const char* name : {"checkpoint", "parked"}) {
    ABSL_ASSIGN_OR_RETURN(const bool there, HasTable(file, name));
    if (!there) return absl::DataLossError("the file has lost its tables");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<bool> HasTable(sqlite::Connection& file, std::string_view name) {
  ABSL_ASSIGN_OR_RETURN(
      sqlite::Statement select,
      file.Prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1"));
  return select.Bind(1, name).Step();
}

absl::Status MarkDamaged(Files& files, const std::string& path) {
  return files.WriteAtomically(path + kDamagedSuffix, "1");
}

bool IsMarkedDamaged(Files& files, const std::string& path) {
  return files.Exists(path + kDamagedSuffix);
}

sqlite::OpenOptions FollowerOptions() {
  sqlite::OpenOptions options;
  options.page_checksums = true;
  return options;
}

absl::Status CheckBeforeOpening(Files& files, const std::string& path) {
  if (IsMarkedDamaged(files, path)) return absl::DataLossError("it was found damaged");
  const absl::StatusOr<std::string> wal = files.Read(path + "-wal");
  if (absl::IsNotFound(wal.status())) return absl::OkStatus();
  ABSL_RETURN_IF_ERROR(wal.status());
  return sqlite::CheckWal(*wal);
}

absl::StatusOr<sqlite::Connection> OpenForWriting(Files& files, const std::string& path) {
  ABSL_RETURN_IF_ERROR(CheckBeforeOpening(files, path));
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection file, sqlite::Connection::Open(path, FollowerOptions()));
  ABSL_RETURN_IF_ERROR(file.Execute(kWriterSettings));
  file.CheckpointWhole(sqlite::kWalPagesMax);
  ABSL_RETURN_IF_ERROR(file.Execute(kTables));
  return file;
}

absl::StatusOr<sqlite::Connection> OpenOrMakeAnew(Files& files, const std::string& path,
                                                  std::string& discarded) {
  const auto open = [&]() -> absl::StatusOr<sqlite::Connection> {
    ABSL_ASSIGN_OR_RETURN(sqlite::Connection file, OpenForWriting(files, path));
    ABSL_RETURN_IF_ERROR(LoadCheckpoints(file).status());
    ABSL_RETURN_IF_ERROR(LoadParked(file, "").status());
    return file;
  };
  // What is left beside a main file that is gone belongs to no database.
  if (!files.Exists(path)) ABSL_RETURN_IF_ERROR(RemoveDatabase(files, path));
  absl::StatusOr<sqlite::Connection> file = open();
  if (!absl::IsDataLoss(file.status())) return file;
  discarded = "the file is damaged";
  ABSL_RETURN_IF_ERROR(RemoveDatabase(files, path));
  return open();
}

absl::StatusOr<sqlite::Connection> OpenNew(Files& files, const std::string& path) {
  ABSL_RETURN_IF_ERROR(RemoveDatabase(files, path));
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection file, sqlite::Connection::Open(path, FollowerOptions()));
  ABSL_RETURN_IF_ERROR(file.Execute(kNewFileSettings));
  ABSL_RETURN_IF_ERROR(file.Execute(kTables));
  return file;
}

absl::Status FinishNew(sqlite::Connection& file) {
  ABSL_RETURN_IF_ERROR(file.Execute("COMMIT; PRAGMA synchronous = FULL"));
  // Changing the mode is a transaction of its own, whose sync takes in all that was written before.
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement mode, file.Prepare("PRAGMA journal_mode = WAL"));
  ABSL_ASSIGN_OR_RETURN(const bool row, mode.Step());
  if (!row || mode.Text(0) != "wal") {
    return absl::UnavailableError("the file does not change to a write-ahead log");
  }
  // Which commits, and tells whether that sync succeeded.
  return mode.Step().status();
}

absl::StatusOr<sqlite::Connection> OpenForReading(Files& files, const std::string& path) {
  // A connection opens the write-ahead log, by name, at its first read only. When the file was
  // replaced in between, that would be another file's, so the connection counts only when the same
  // file still stands there after the first read.
  absl::Status status = absl::NotFoundError(absl::StrCat("no database at ", path));
  for (int attempt = 0; attempt < kOpenAttemptsMax; ++attempt) {
    const absl::StatusOr<FileId> before = files.Identify(path);
    if (!before.ok()) continue;
    sqlite::OpenOptions options = FollowerOptions();
    options.read_only = true;
    options.create = false;
    auto file = sqlite::Connection::Open(path, options);
    status = file.status();
    if (!file.ok()) continue;
    status = CheckTables(*file);
    const absl::StatusOr<FileId> after = files.Identify(path);
    if (!after.ok() || *after != *before) {
      status = absl::UnavailableError(absl::StrCat(path, " was replaced while it was opened"));
      continue;
    }
    ABSL_RETURN_IF_ERROR(status);
    return file;
  }
  return status;
}

absl::Status RemoveDatabase(Files& files, const std::string& path) {
  for (const char* part : {"", "-wal", "-shm", "-journal", kDamagedSuffix}) {
    const absl::Status removed = files.Remove(absl::StrCat(path, part));
    if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
  }
  return absl::OkStatus();
}

absl::StatusOr<CheckpointVector> LoadCheckpoints(sqlite::Connection& file) {
  CheckpointVector checkpoints;
  auto& select = file.Cached("SELECT service, partition, state FROM checkpoint");
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) break;
    auto state = eventlog::ParseFoldState(select.Blob(2));
    if (!state.ok())
      return absl::DataLossError(absl::StrCat("checkpoint: ", state.status().message()));
    checkpoints[{std::string(select.Text(0)), static_cast<eventlog::Partition>(select.Int(1))}] =
        *std::move(state);
  }
  select.Reset();
  return checkpoints;
}

absl::Status StoreCheckpoint(sqlite::Connection& file, std::string_view service,
                             eventlog::Partition partition, const eventlog::FoldState& state) {
  auto& insert = file.Cached(
      "INSERT OR REPLACE INTO checkpoint(service, partition, state) VALUES(?1, ?2, ?3)");
  return insert.Bind(1, service)
      .Bind(2, int64_t{partition})
      .BindBlob(3, eventlog::SerializeFoldState(state))
      .Run();
}

absl::Status StoreParked(sqlite::Connection& file, const ParkedRecord& record) {
  auto& insert = file.Cached(
      "INSERT INTO parked(service, stream, partition, sequence, reason, since) VALUES(?1, ?2, ?3, "
      "?4, ?5, ?6) "
      "ON CONFLICT DO UPDATE SET reason = excluded.reason");
  return insert.Bind(1, std::string_view(record.position.service))
      .Bind(2, std::string_view(record.stream.ToString()))
      .Bind(3, int64_t{record.position.partition})
      .Bind(4, static_cast<int64_t>(record.position.sequence))
      .Bind(5, std::string_view(record.reason))
      .Bind(6, absl::ToUnixMicros(record.since))
      .Run();
}

absl::Status RemoveParked(sqlite::Connection& file, const Position& position,
                          const StreamId& stream) {
  auto& remove =
      file.Cached("DELETE FROM parked WHERE service = ?1 AND stream = ?2 AND sequence = ?3");
  return remove.Bind(1, std::string_view(position.service))
      .Bind(2, std::string_view(stream.ToString()))
      .Bind(3, static_cast<int64_t>(position.sequence))
      .Run();
}

absl::StatusOr<std::vector<Position>> ParkedRecordsOf(sqlite::Connection& file,
                                                      std::string_view service,
                                                      const StreamId& stream) {
  std::vector<Position> records;
  auto& select = file.Cached(
      "SELECT partition, sequence FROM parked WHERE service = ?1 AND stream = ?2 ORDER BY "
      "sequence");
  select.Bind(1, service).Bind(2, std::string_view(stream.ToString()));
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) break;
    records.push_back({std::string(service), static_cast<eventlog::Partition>(select.Int(0)),
                       static_cast<eventlog::Sequence>(select.Int(1))});
  }
  select.Reset();
  return records;
}

absl::StatusOr<std::vector<ParkedStream>> LoadParked(sqlite::Connection& file,
                                                     std::string_view name) {
  std::vector<ParkedStream> parked;
  // SQLite takes the other columns from the row that has the minimum.
  auto& select = file.Cached(
      "SELECT service, stream, partition, min(sequence), reason, since, count(*) FROM parked "
      "GROUP BY service, stream ORDER BY since, service, stream");
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) break;
    auto stream = ParseStreamId(select.Text(1));
    if (!stream.ok()) return absl::DataLossError("a parked stream's name cannot be read");
    ParkedStream one;
    one.read_model = std::string(name);
    one.stream = *std::move(stream);
    one.position = {std::string(select.Text(0)), static_cast<eventlog::Partition>(select.Int(2)),
                    static_cast<eventlog::Sequence>(select.Int(3))};
    one.reason = std::string(select.Text(4));
    one.since = absl::FromUnixMicros(select.Int(5));
    one.waiting = static_cast<uint64_t>(select.Int(6));
    parked.push_back(std::move(one));
  }
  select.Reset();
  return parked;
}

std::string ParkedReason(const absl::Status& status) {
  std::string reason =
      absl::StrCat(absl::StatusCodeToString(status.code()), ": ", status.message());
  if (reason.size() > kParkedReasonBytesMax) reason.resize(kParkedReasonBytesMax);
  return reason;
}

}  // namespace buurtlog::eventsourcing
