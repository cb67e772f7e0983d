// Digests of rows, and the comparison of a live read model with a fresh fold of the same positions.
#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libs/base/check.h"
#include "libs/base/clock.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/follower_file.h"
#include "libs/eventsourcing/projection_fold.h"
#include "libs/eventsourcing/projection_runner.h"

namespace buurtlog::eventsourcing {
namespace {

// Hashed at once.
constexpr size_t kHashBufferBytes = 64 << 10;

// SHA-256 over a canonical form that depends on values only: each value is a tag and eight bytes,
// most significant first (an integer, the bits of a real, or the length of the bytes that follow).
class RowHasher {
 public:
  RowHasher() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }

  void AddNumber(char tag, uint64_t number) {
    buffer_.push_back(tag);
    for (int shift = 56; shift >= 0; shift -= 8)
      buffer_.push_back(static_cast<char>(number >> shift & 0xff));
    if (buffer_.size() >= kHashBufferBytes) Flush();
  }
  void AddBytes(char tag, std::string_view bytes) {
    AddNumber(tag, bytes.size());
    buffer_.append(bytes);
  }
  void AddValue(const sqlite::Statement& row, int column) {
    switch (row.ColumnType(column)) {
      case SQLITE_INTEGER: return AddNumber('I', static_cast<uint64_t>(row.Int(column)));
      case SQLITE_FLOAT: {
        const double real = row.Double(column);
        uint64_t bits = 0;
        static_assert(sizeof(bits) == sizeof(real));
        std::copy_n(reinterpret_cast<const char*>(&real), sizeof(real),
                    reinterpret_cast<char*>(&bits));
        return AddNumber('F', bits);
      }
      case SQLITE_TEXT: return AddBytes('T', row.Text(column));
      case SQLITE_BLOB: return AddBytes('B', row.Blob(column));
      default: return AddNumber('N', 0);
    }
  }
  std::string Hex() {
    Flush();
    std::string digest(32, '\0');
    CHECK(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()),
                             nullptr) == 1);
    return absl::BytesToHexString(digest);
  }

 private:
  void Flush() {
    CHECK(EVP_DigestUpdate(context_.get(), buffer_.data(), buffer_.size()) == 1);
    buffer_.clear();
  }

  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
  std::string buffer_;
};

absl::Status AddTable(sqlite::Connection& rows, const ReadModelTable& table, RowHasher& structure,
                      RowHasher& content, uint64_t& count) {
  std::vector<std::string> columns = table.columns;
  columns.insert(columns.end(), table.personal_columns.begin(), table.personal_columns.end());
  const int plain = static_cast<int>(table.columns.size());
  for (RowHasher* hasher : {&structure, &content}) {
    hasher->AddBytes('t', table.name);
    hasher->AddBytes('c', absl::StrJoin(hasher == &structure ? table.columns : columns, ","));
  }
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement select,
                        rows.Prepare(absl::StrCat("SELECT ", absl::StrJoin(columns, ", "), " FROM ",
                                                  table.name, " ORDER BY ", table.key)));
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return absl::OkStatus();
    ++count;
    for (int i = 0; i < static_cast<int>(columns.size()); ++i) {
      if (i < plain) structure.AddValue(select, i);
      content.AddValue(select, i);
    }
  }
}

// DATA_LOSS when one of the model's tables is not there: a write-ahead log that has lost its end
// may have held what made them.
absl::Status CheckTables(sqlite::Connection& rows, const ReadModelSpec& spec) {
  for (const ReadModelTable& table : spec.tables) {
    ABSL_ASSIGN_OR_RETURN(const bool there, HasTable(rows, table.name));
    if (!there)
      return absl::DataLossError(absl::StrCat("the file has lost its table ", table.name));
  }
  return absl::OkStatus();
}

struct LiveFile {
  Digests digests;
  CheckpointVector checkpoints;
};

// In one read transaction, so that digests and checkpoints belong together.
absl::StatusOr<LiveFile> ReadLive(const std::string& path, const ReadModelSpec& spec,
                                  Files& files) {
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection rows, OpenForReading(files, path));
  ABSL_ASSIGN_OR_RETURN(sqlite::Transaction transaction,
                        sqlite::Transaction::Begin(rows, sqlite::Transaction::Mode::kRead));
  ABSL_RETURN_IF_ERROR(CheckTables(rows, spec));
  LiveFile live;
  ABSL_ASSIGN_OR_RETURN(live.checkpoints, LoadCheckpoints(rows));
  ABSL_ASSIGN_OR_RETURN(live.digests, DigestOf(rows, spec));
  return live;
}

absl::Duration Elapsed() { return SystemClock().Now() - absl::UnixEpoch(); }

// Folds exactly up to the checkpoints; DATA_LOSS when the logs do not lead there.
absl::Status FoldUpTo(ProjectionFold& fold, const CheckpointVector& checkpoints, uint64_t& records,
                      absl::FunctionRef<void(const RebuildProgress&)> progress) {
  uint64_t total = 0;
  for (Lane& lane : fold.lanes()) {
    const auto target = checkpoints.find({lane.service, lane.partition});
    lane.stop = target == checkpoints.end() ? 0 : target->second.next - 1;
    total += lane.stop;
  }
  ProgressMeter meter(total, Elapsed());
  for (bool more = true; more;) {
    const FoldStep step = fold.Step();
    ABSL_RETURN_IF_ERROR(step.status);
    ABSL_RETURN_IF_ERROR(step.out_of_reach);
    records += step.entries;
    more = step.more;
    if (const absl::Duration now = Elapsed(); meter.Due(now))
      progress(meter.At(records, now, false));
  }
  progress(meter.At(records, Elapsed(), true));
  for (const Lane& lane : fold.lanes()) {
    const auto target = checkpoints.find({lane.service, lane.partition});
    if (target == checkpoints.end()) continue;
    if (lane.at.next == target->second.next && lane.at.head_hash == target->second.head_hash)
      continue;
    return absl::DataLossError(absl::StrCat("the checkpoint at ", lane.service, " partition ",
                                            lane.partition, " sequence ", lane.stop,
                                            " is not on the log's chain"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Digests> DigestOf(sqlite::Connection& rows, const ReadModelSpec& spec) {
  RowHasher structure;
  RowHasher content;
  Digests digests;
  for (const ReadModelTable& table : spec.tables) {
    ABSL_RETURN_IF_ERROR(AddTable(rows, table, structure, content, digests.rows));
  }
  digests.structure = structure.Hex();
  digests.content = content.Hex();
  return digests;
}

absl::StatusOr<VerifyResult> VerifyReadModel(
    const std::string& folder, const std::string& scratch_folder, ReadModel& fresh,
    const std::vector<LogSource>& sources, absl::FunctionRef<void(const RebuildProgress&)> progress,
    Files& files) {
  const ReadModelSpec& spec = fresh.spec();
  ABSL_ASSIGN_OR_RETURN(const LiveFile live, ReadLive(ReadModelPath(folder, spec), spec, files));
  ABSL_RETURN_IF_ERROR(files.MakeFolder(scratch_folder));
  const std::string scratch = absl::StrCat(scratch_folder, "/", spec.name, ".verify");
  VerifyResult result;
  result.read_model = spec.name;
  result.live = live.digests;
  absl::Status folded;
  {
    ABSL_ASSIGN_OR_RETURN(const std::unique_ptr<ProjectionFold> fold,
                          ProjectionFold::Open(scratch, FoldInto::kNewFile, fresh, sources, files));
    folded = FoldUpTo(*fold, live.checkpoints, result.records, progress);
    if (folded.ok()) {
      auto digests = DigestOf(fold->file(), spec);
      folded = digests.status();
      if (digests.ok()) result.replayed = *std::move(digests);
    }
  }
  ABSL_RETURN_IF_ERROR(RemoveDatabase(files, scratch));
  ABSL_RETURN_IF_ERROR(folded);
  return result;
}

absl::StatusOr<std::vector<ParkedStream>> ReadParked(const std::string& folder,
                                                     const ReadModelSpec& spec, Files& files) {
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection rows,
                        OpenForReading(files, ReadModelPath(folder, spec)));
  return LoadParked(rows, spec.name);
}

}  // namespace buurtlog::eventsourcing
