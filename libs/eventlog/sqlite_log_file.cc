#include "libs/eventlog/sqlite_log_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/absl_view.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"

namespace buurtlog::eventlog {
namespace {

constexpr int kLooksMax = 5;

// What SQLite calls corrupt has no place of its own; the place where the reader met it is the best
// there is.
absl::Status WithPlace(const absl::Status& status, Partition partition, Sequence after) {
  if (!absl::IsDataLoss(status)) return status;
  return DataLossAt(
      partition, after + 1,
      absl::StrCat("the database is damaged behind sequence ", after, ": ", status.message()));
}

absl::StatusOr<sqlite::Connection> OpenReadOnly(const SqliteLogOptions& options) {
  sqlite::OpenOptions open;
  open.read_only = true;
  open.create = false;
  open.vfs = options.vfs;
  absl::StatusOr<sqlite::Connection> connection =
      sqlite::Connection::Open(LogFilePath(options.folder), open);
  // Too many open files, say: readers go on later. Whether the file exists was asked at the start.
  if (absl::IsNotFound(connection.status())) {
    return absl::UnavailableError(connection.status().message());
  }
  return connection;
}

// The row of an entry that is read by itself.
absl::StatusOr<EntryView> ParseAt(Partition partition, Sequence sequence, std::string_view bytes) {
  absl::StatusOr<EntryView> entry = ParseEntry(bytes);
  if (absl::IsUnimplemented(entry.status())) {
    return absl::UnimplementedError(absl::StrCat("partition ", partition, ", sequence ", sequence,
                                                 ": ", entry.status().message()));
  }
  if (!entry.ok()) return DataLossAt(partition, sequence, StdView(entry.status().message()));
  if (entry->header.partition != partition || entry->header.sequence != sequence) {
    return DataLossAt(partition, sequence, "another entry stands in its place");
  }
  return entry;
}

// Folds one stored row. Whatever is stored counts, so any other verdict is damage.
absl::StatusOr<FoldResult> FoldStored(FoldState& at, Partition partition, std::string_view bytes) {
  const Sequence sequence = at.next;
  absl::StatusOr<FoldResult> folded = Fold(at, partition, bytes);
  if (absl::IsUnimplemented(folded.status())) {
    return absl::UnimplementedError(absl::StrCat("partition ", partition, ", sequence ", sequence,
                                                 ": ", folded.status().message()));
  }
  if (!folded.ok()) return DataLossAt(partition, sequence, StdView(folded.status().message()));
  if (folded->verdict != Verdict::kCounts || !folded->filled.empty()) {
    return DataLossAt(partition, sequence,
                      "the entry does not follow from the one before it (sequence, epoch or hash)");
  }
  return folded;
}

}  // namespace

absl::Status DataLossAt(Partition partition, Sequence sequence, std::string_view what) {
  return absl::DataLossError(
      absl::StrCat("partition ", partition, ", sequence ", sequence, ": ", AbslView(what)));
}

FoldState PlaceBefore(const EntryView& entry) {
  FoldState state;
  state.next = entry.header.sequence;
  state.head_hash = entry.header.previous_hash;
  state.epoch = entry.header.epoch - (entry.header.kind == EntryKind::kEpoch ? 1 : 0);
  return state;
}

std::string TableOf(Partition partition) { return absl::StrCat("entry_", partition); }

std::string LogFilePath(const std::string& folder) { return absl::StrCat(folder, "/log.db"); }

// One connection for reading, with its statements.
class LogFileReader::Session {
 public:
  Session(sqlite::Connection connection, uint32_t partitions)
      : connection_(std::move(connection)),
        ranges_(partitions),
        lasts_(partitions),
        ones_(partitions) {}

  absl::StatusOr<sqlite::Statement*> Range(Partition partition) {
    return Prepared(ranges_[partition], partition, "SELECT sequence, bytes FROM ",
                    " WHERE sequence >= ?1 AND sequence < ?2 ORDER BY sequence");
  }
  absl::StatusOr<sqlite::Statement*> Last(Partition partition) {
    return Prepared(lasts_[partition], partition, "SELECT max(sequence) FROM ", "");
  }
  absl::StatusOr<sqlite::Statement*> One(Partition partition) {
    return Prepared(ones_[partition], partition, "SELECT bytes FROM ", " WHERE sequence = ?1");
  }
  absl::StatusOr<sqlite::Transaction> Begin() {
    return sqlite::Transaction::Begin(connection_, sqlite::Transaction::Mode::kRead);
  }

 private:
  absl::StatusOr<sqlite::Statement*> Prepared(std::optional<sqlite::Statement>& statement,
                                              Partition partition, const char* before,
                                              const char* behind) {
    if (!statement.has_value()) {
      absl::StatusOr<sqlite::Statement> prepared =
          connection_.Prepare(absl::StrCat(before, TableOf(partition), behind));
      // The tables are made with the log, so one that is not there was lost.
      if (absl::IsInternal(prepared.status())) {
        return DataLossAt(partition, 0, StdView(prepared.status().message()));
      }
      ABSL_RETURN_IF_ERROR(WithPlace(prepared.status(), partition, 0));
      statement = *std::move(prepared);
    }
    return &*statement;
  }

  sqlite::Connection connection_;
  std::vector<std::optional<sqlite::Statement>> ranges_;  // by partition
  std::vector<std::optional<sqlite::Statement>> lasts_;
  std::vector<std::optional<sqlite::Statement>> ones_;
};

// Rows copied out of the database, so that no transaction stays open while they are visited.
struct LogFileReader::Rows {
  struct Row {
    Sequence sequence = 0;
    size_t offset = 0;
    size_t size = 0;
  };
  std::string bytes;
  std::vector<Row> rows;
  bool ended = false;  // nothing more in the range

  // False, and nothing added, when that would be over the limits.
  bool Add(Sequence sequence, std::string_view entry, const ReadLimits& limits) {
    if (!rows.empty() &&
        (rows.size() >= limits.entries_max || bytes.size() + entry.size() > limits.bytes_max)) {
      return false;
    }
    rows.push_back({sequence, bytes.size(), entry.size()});
    bytes.append(entry);
    return true;
  }
};

LogFileReader::LogFileReader(LogIdentity identity, SqliteLogOptions options,
                             std::unique_ptr<JournalOverlay> overlay)
    : identity_(std::move(identity)), options_(std::move(options)), overlay_(std::move(overlay)) {}

LogFileReader::~LogFileReader() = default;

absl::StatusOr<std::unique_ptr<LogFileReader::Session>> LogFileReader::Take() {
  {
    absl::MutexLock lock(&mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Session> session = std::move(idle_.back());
      idle_.pop_back();
      return session;
    }
  }
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection connection, OpenReadOnly(options_));
  return std::make_unique<Session>(std::move(connection), identity_.partitions);
}

void LogFileReader::GiveBack(std::unique_ptr<Session> session) {
  absl::MutexLock lock(&mutex_);
  if (idle_.size() < kIdleReadersMax) idle_.push_back(std::move(session));
}

absl::Status LogFileReader::ReadRows(Partition partition, Sequence from, Sequence end,
                                     const ReadLimits& limits, Rows& rows) {
  if (overlay_ == nullptr) return ReadTable(partition, from, end, limits, rows);
  Sequence next = from;
  for (int look = 0; look < kLooksMax; ++look) {
    ABSL_RETURN_IF_ERROR(overlay_->Refresh());
    rows = {};
    ABSL_RETURN_IF_ERROR(ReadTable(partition, from, end, limits, rows));
    if (!rows.ended) return absl::OkStatus();
    next = rows.rows.empty() ? from : rows.rows.back().sequence + 1;
    const bool whole =
        overlay_->ForEach(partition, next, end, [&](Sequence sequence, std::string_view bytes) {
          rows.ended = rows.Add(sequence, bytes, limits);
          return rows.ended;
        });
    // Otherwise another reader has found a file of the journal used again since this one looked
    // into the table, which has by now what the journal had.
    if (whole) return absl::OkStatus();
  }
  return DataLossAt(partition, next, "missing; the journal goes on behind it");
}

absl::Status LogFileReader::ReadTable(Partition partition, Sequence from, Sequence end,
                                      const ReadLimits& limits, Rows& rows) {
  // A connection that met an error is not used again.
  ABSL_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Take());
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement* const range, session->Range(partition));
  range->Bind(1, static_cast<int64_t>(from)).Bind(2, static_cast<int64_t>(end));
  while (true) {
    absl::StatusOr<bool> row = range->Step();
    if (!row.ok()) {
      const Sequence after = rows.rows.empty() ? from - 1 : rows.rows.back().sequence;
      return WithPlace(row.status(), partition, after);
    }
    rows.ended = !*row;
    if (rows.ended) break;
    if (!rows.Add(static_cast<Sequence>(range->Int(0)), range->Blob(1), limits)) break;
  }
  range->Reset();
  GiveBack(std::move(session));
  return absl::OkStatus();
}

absl::Status LogFileReader::CheckAtEnd(Partition partition, const FoldState& at,
                                       std::optional<Sequence> end) {
  if (end.has_value() && at.next < *end) {
    return DataLossAt(partition, at.next, absl::StrCat("missing; the log goes to ", *end - 1));
  }
  if (at.next == 1) {
    if (at.head_hash == InitialHash(identity_, partition)) return absl::OkStatus();
    return DataLossAt(partition, 0, "the reader is not on the chain of this log");
  }
  Rows rows;
  ABSL_RETURN_IF_ERROR(ReadRows(partition, at.next - 1, at.next, {1, 1}, rows));
  if (rows.rows.empty()) {
    return DataLossAt(partition, at.next - 1, "the log ends before this entry");
  }
  absl::StatusOr<EntryView> entry = ParseEntry(rows.bytes);
  if (!entry.ok()) return DataLossAt(partition, at.next - 1, StdView(entry.status().message()));
  if (EntryHash(entry->header.previous_hash, rows.bytes) != at.head_hash) {
    return DataLossAt(partition, at.next - 1, "the reader is not on the chain of this log");
  }
  return absl::OkStatus();
}

absl::Status LogFileReader::Read(Partition partition, FoldState& at, std::optional<Sequence> end,
                                 const ReadLimits& limits,
                                 absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  if (at.next > kSequenceMax) return DataLossAt(partition, at.next, "there is no such sequence");
  Rows rows;
  ABSL_RETURN_IF_ERROR(ReadRows(partition, at.next, end.value_or(kSequenceMax), limits, rows));
  FoldState moved = at;
  for (const Rows::Row& row : rows.rows) {
    if (row.sequence != at.next) {
      return DataLossAt(partition, at.next,
                        absl::StrCat("missing; the next entry is ", row.sequence));
    }
    const std::string_view bytes = std::string_view(rows.bytes).substr(row.offset, row.size);
    ABSL_ASSIGN_OR_RETURN(const FoldResult folded, FoldStored(moved, partition, bytes));
    ABSL_RETURN_IF_ERROR(visit(folded.entry));
    at.epoch = moved.epoch;
    at.next = moved.next;
    at.head_hash = moved.head_hash;
    // The owner changes with an epoch record only, and is a string that is dear to copy.
    if (folded.entry.header.kind == EntryKind::kEpoch) at.owner = moved.owner;
  }
  const bool at_end = rows.ended && (rows.rows.empty() || (end.has_value() && at.next < *end));
  return at_end ? CheckAtEnd(partition, at, end) : absl::OkStatus();
}

absl::Status LogFileReader::ReadEntries(Partition partition, absl::Span<const Sequence> sequences,
                                        ReadRoom& room,
                                        absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  if (sequences.empty()) return absl::OkStatus();
  // A connection that met an error is not used again.
  ABSL_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Take());
  {
    // One for all of them: SQLite takes its locks and looks for what is new once.
    ABSL_ASSIGN_OR_RETURN(const sqlite::Transaction transaction, session->Begin());
    ABSL_ASSIGN_OR_RETURN(sqlite::Statement* const one, session->One(partition));
    for (const Sequence sequence : sequences) {
      one->Bind(1, static_cast<int64_t>(sequence));
      const absl::StatusOr<bool> row = one->Step();
      if (!row.ok()) return WithPlace(row.status(), partition, sequence - 1);
      if (!*row) return DataLossAt(partition, sequence, "missing; the log goes on behind it");
      const std::string_view bytes = one->Blob(0);
      if (!room.Take(bytes.size())) break;
      ABSL_ASSIGN_OR_RETURN(const EntryView entry, ParseAt(partition, sequence, bytes));
      ABSL_RETURN_IF_ERROR(visit(entry));
      one->Reset();
    }
    one->Reset();
  }
  GiveBack(std::move(session));
  return absl::OkStatus();
}

absl::StatusOr<FoldState> LogFileReader::Seek(Partition partition, Sequence from) {
  CHECK(from >= 1);
  if (from > kSequenceMax) return absl::OutOfRangeError("there is no such sequence");
  Rows rows;
  ABSL_RETURN_IF_ERROR(ReadRows(partition, from, from + 1, {1, 1}, rows));
  if (rows.rows.empty()) {
    return absl::OutOfRangeError(
        absl::StrCat("partition ", partition, " ends before sequence ", from));
  }
  absl::StatusOr<EntryView> entry = ParseEntry(rows.bytes);
  if (absl::IsDataLoss(entry.status())) {
    return DataLossAt(partition, from, StdView(entry.status().message()));
  }
  ABSL_RETURN_IF_ERROR(entry.status());
  return PlaceBefore(*entry);
}

absl::StatusOr<Sequence> LogFileReader::LastSequence(Partition partition) {
  Sequence in_journal = 0;
  if (overlay_ != nullptr) {
    ABSL_RETURN_IF_ERROR(overlay_->Refresh());
    // Now: what another reader makes it forget meanwhile is in the table.
    in_journal = overlay_->Last(partition);
  }
  ABSL_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Take());
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement* const last, session->Last(partition));
  absl::StatusOr<bool> row = last->Step();
  ABSL_RETURN_IF_ERROR(WithPlace(row.status(), partition, 0));
  const Sequence in_table = *row ? static_cast<Sequence>(last->Int(0)) : 0;
  last->Reset();
  GiveBack(std::move(session));
  return std::max(in_table, in_journal);
}

absl::StatusOr<FoldState> LogFileReader::VerifyTail(Partition partition, const KnownHead& known) {
  ABSL_ASSIGN_OR_RETURN(const Sequence last, LastSequence(partition));
  if (last < known.sequence) {
    return DataLossAt(partition, last + 1,
                      absl::StrCat("missing; the log was known to go to ", known.sequence));
  }
  Sequence first = last > kVerifiedAtOpenMin ? last - kVerifiedAtOpenMin + 1 : 1;
  if (known.sequence > 0) first = std::min(first, known.sequence);
  if (last >= first + kVerifiedAtOpenMax) first = last - kVerifiedAtOpenMax + 1;
  if (known.sequence > 0) {
    FoldState at;
    at.next = known.sequence + 1;
    at.head_hash = known.hash;
    ABSL_RETURN_IF_ERROR(CheckAtEnd(partition, at, std::nullopt));
  }
  FoldState state = InitialFoldState(identity_, partition);
  if (first > 1) {
    absl::StatusOr<FoldState> begun = Seek(partition, first);
    if (absl::IsOutOfRange(begun.status())) {
      return DataLossAt(partition, first, absl::StrCat("missing; the log goes to ", last));
    }
    ABSL_RETURN_IF_ERROR(begun.status());
    state = *std::move(begun);
  }
  while (state.next <= last) {
    ABSL_RETURN_IF_ERROR(
        Read(partition, state, last + 1, {}, [](const EntryView&) { return absl::OkStatus(); }));
  }
  return state;
}

absl::StatusOr<LogFileChanges> LogFileChanges::Open(const SqliteLogOptions& options,
                                                    JournalOverlay& overlay) {
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection connection, OpenReadOnly(options));
  return LogFileChanges(std::move(connection), overlay);
}

absl::StatusOr<bool> LogFileChanges::Changed() {
  ABSL_RETURN_IF_ERROR(overlay_->Refresh());
  sqlite::Statement& statement = connection_.Cached("PRAGMA data_version");
  ABSL_ASSIGN_OR_RETURN(const bool row, statement.Step());
  const int64_t version = row ? statement.Int(0) : -1;
  statement.Reset();
  const bool moved = std::exchange(version_, version) != version;
  const uint64_t batches = overlay_->batches();
  return (std::exchange(batches_, batches) != batches) || moved;
}

}  // namespace buurtlog::eventlog
