#include "libs/eventsourcing/projection_fold.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libs/base/check.h"
#include "libs/base/scheduler.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/follower_file.h"

namespace buurtlog::eventsourcing {
namespace {

// Raised when the runner's own tables change; files of another one are folded anew.
constexpr int kFileFormat = 1;
constexpr size_t kNotReached = SIZE_MAX;

// A hash of all that decides which rows a file should hold.
std::string StampOf(const ReadModelSpec& spec) {
  std::string text = absl::StrCat(kFileFormat, "\n", spec.name, "\n", spec.schema_version, "\n",
                                  absl::StrJoin(spec.services, ","), "\n", spec.ddl, "\n",
                                  spec.query_indexes, "\n");
  for (const ReadModelTable& table : spec.tables) {
    absl::StrAppend(&text, table.name, "|", absl::StrJoin(table.columns, ","), "|",
                    absl::StrJoin(table.personal_columns, ","), "|", table.key, "\n");
  }
  std::array<uint8_t, 32> digest{};
  CHECK(EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

absl::StatusOr<bool> WasMadeFrom(sqlite::Connection& file, const std::string& stamp) {
  ABSL_ASSIGN_OR_RETURN(const bool there, HasTable(file, "made_from"));
  if (!there) return false;
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement select, file.Prepare("SELECT stamp FROM made_from"));
  ABSL_ASSIGN_OR_RETURN(const bool row, select.Step());
  return row && select.Text(0) == stamp;
}

// The file at `path`, when it was made from this stamp. DATA_LOSS when it is no database any more.
absl::StatusOr<std::optional<sqlite::Connection>> OpenOurs(Files& files, const std::string& path,
                                                           const std::string& stamp) {
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection file, OpenForWriting(files, path));
  ABSL_ASSIGN_OR_RETURN(const bool ours, WasMadeFrom(file, stamp));
  if (!ours) return std::nullopt;
  // Without these nothing can begin.
  ABSL_RETURN_IF_ERROR(LoadCheckpoints(file).status());
  ABSL_RETURN_IF_ERROR(LoadParked(file, "").status());
  return std::optional<sqlite::Connection>(std::move(file));
}

absl::Status MakeTables(sqlite::Connection& file, const ReadModelSpec& spec) {
  ABSL_RETURN_IF_ERROR(file.Execute("CREATE TABLE made_from(stamp TEXT NOT NULL)"));
  ABSL_RETURN_IF_ERROR(file.Execute(spec.ddl));
  return file.Cached("INSERT INTO made_from(stamp) VALUES(?1)")
      .Bind(1, std::string_view(StampOf(spec)))
      .Run();
}

// `discarded` tells why what was there was thrown away; the log has it all.
absl::StatusOr<sqlite::Connection> OpenModelFile(const std::string& path, const ReadModelSpec& spec,
                                                 Files& files, std::string& discarded) {
  const std::string stamp = StampOf(spec);
  if (files.Exists(path)) {
    absl::StatusOr<std::optional<sqlite::Connection>> ours = OpenOurs(files, path, stamp);
    if (ours.ok() && ours->has_value()) return **std::move(ours);
    if (!ours.ok() && !absl::IsDataLoss(ours.status())) return ours.status();
    discarded = ours.ok() ? "it was made from other tables" : "the file is damaged";
  }
  // Also what is left beside a main file that is gone: it belongs to no database.
  ABSL_RETURN_IF_ERROR(RemoveDatabase(files, path));
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection file, OpenForWriting(files, path));
  ABSL_ASSIGN_OR_RETURN(sqlite::Transaction transaction,
                        sqlite::Transaction::Begin(file, sqlite::Transaction::Mode::kWrite));
  ABSL_RETURN_IF_ERROR(MakeTables(file, spec));
  ABSL_RETURN_IF_ERROR(file.Execute(spec.query_indexes));
  ABSL_RETURN_IF_ERROR(transaction.Commit());
  return file;
}

absl::StatusOr<sqlite::Connection> MakeModelFile(const std::string& path, const ReadModelSpec& spec,
                                                 Files& files) {
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection file, OpenNew(files, path));
  ABSL_RETURN_IF_ERROR(MakeTables(file, spec));
  return file;
}

// The rows of one step, all or none: a transaction of a live file; a part of the one that is open
// in a new file.
class StepRows {
 public:
  static absl::StatusOr<StepRows> Begin(sqlite::Connection& file, FoldInto into) {
    StepRows rows(file);
    if (into == FoldInto::kLiveFile) {
      ABSL_ASSIGN_OR_RETURN(sqlite::Transaction transaction,
                            sqlite::Transaction::Begin(file, sqlite::Transaction::Mode::kWrite));
      rows.transaction_.emplace(std::move(transaction));
    } else {
      ABSL_RETURN_IF_ERROR(file.Cached("SAVEPOINT step").Run());
      rows.part_ = true;
    }
    return rows;
  }
  StepRows(StepRows&& other) noexcept
      : file_(other.file_),
        transaction_(std::move(other.transaction_)),
        part_(std::exchange(other.part_, false)) {}
  StepRows& operator=(StepRows&&) = delete;
  ~StepRows() {
    if (!part_) return;
    file_.Cached("ROLLBACK TO step").Run().IgnoreError();
    file_.Cached("RELEASE step").Run().IgnoreError();
  }
  absl::Status Commit() {
    if (transaction_.has_value()) return transaction_->Commit();
    ABSL_RETURN_IF_ERROR(file_.Cached("RELEASE step").Run());
    part_ = false;
    return absl::OkStatus();
  }

 private:
  explicit StepRows(sqlite::Connection& file) : file_(file) {}
  sqlite::Connection& file_;
  std::optional<sqlite::Transaction> transaction_;
  bool part_ = false;
};

// These are about the file or the machine, not about the event, so nothing is parked for them.
bool IsAboutTheFile(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsUnavailable(status) ||
         absl::IsDataLoss(status);
}

// The message names partition and sequence already.
absl::Status InLog(const absl::Status& status, const Lane& lane) {
  return absl::Status(status.code(), absl::StrCat(lane.service, " ", status.message()));
}

}  // namespace

std::string ReadModelPath(const std::string& folder, const ReadModelSpec& spec) {
  return absl::StrCat(folder, "/", spec.name, "-", spec.schema_version, ".db");
}

absl::StatusOr<std::unique_ptr<ProjectionFold>> ProjectionFold::Open(
    const std::string& path, FoldInto into, ReadModel& model, const std::vector<LogSource>& sources,
    Files& files) {
  std::string discarded;
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection file,
                        into == FoldInto::kLiveFile
                            ? OpenModelFile(path, model.spec(), files, discarded)
                            : MakeModelFile(path, model.spec(), files));
  ABSL_ASSIGN_OR_RETURN(const CheckpointVector checkpoints, LoadCheckpoints(file));
  ABSL_ASSIGN_OR_RETURN(std::vector<Lane> lanes,
                        MakeLanes(sources, model.spec().services, checkpoints));
  ABSL_ASSIGN_OR_RETURN(const std::vector<ParkedStream> parked,
                        LoadParked(file, model.spec().name));
  std::unique_ptr<ProjectionFold> fold(
      new ProjectionFold(std::move(file), into, model, std::move(lanes)));
  fold->discarded_ = std::move(discarded);
  for (const ParkedStream& stream : parked)
    fold->parked_.insert({stream.position.service, stream.stream});
  return fold;
}

FoldStep ProjectionFold::Step() {
  FoldStep step;
  const absl::Status read = ReadBatch();
  if (!batch_.empty() && !ApplyBatch(Pass::kQuick, step)) {
    step = FoldStep();
    CHECK(ApplyBatch(Pass::kCareful, step));
  }
  if (step.status.ok()) step.status = read;
  if (!step.status.ok()) {
    // What was read and not stored is read again.
    for (Lane& lane : lanes_) lane.more = true;
  }
  step.more = std::any_of(lanes_.begin(), lanes_.end(),
                          [](const Lane& lane) { return lane.more && !lane.rests; });
  if (std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.rests; }))
    step.out_of_reach = out_of_reach_;
  return step;
}

void ProjectionFold::AskAgain() {
  for (Lane& lane : lanes_) lane.rests = false;
}

void ProjectionFold::LetRest(const eventlog::LogReader& log) {
  for (Lane& lane : lanes_) lane.rests = lane.rests || lane.source.log == &log;
}

bool ProjectionFold::BatchIsFull() const {
  return batch_.size() >= kEntriesPerStepMax || batch_.bytes() >= kBytesPerStepMax;
}

// The number of entries that came.
absl::StatusOr<size_t> ProjectionFold::ReadOn(size_t lane, eventlog::FoldState& from) {
  eventlog::ReadLimits limits;
  limits.entries_max = kEntriesPerReadMax;
  const LaneRead read = ReadLane(lanes_[lane], lane, from, limits, batch_);
  if (absl::IsUnavailable(read.status)) {
    // A service that is down must not keep the events of the others from being seen.
    out_of_reach_ = read.status;
    LetRest(*lanes_[lane].source.log);
  } else if (!read.status.ok()) {
    return read.status;
  }
  return read.entries;
}

absl::Status ProjectionFold::ReadBatch() {
  batch_.Clear();
  std::vector<eventlog::FoldState> from(lanes_.size());
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (lanes_[i].more) from[i] = lanes_[i].at;
  }
  bool any = true;
  while (any && !BatchIsFull()) {
    any = false;
    for (size_t turn = 0; turn < lanes_.size() && !BatchIsFull(); ++turn) {
      const size_t index = (first_lane_ + turn) % lanes_.size();
      while (lanes_[index].more && !lanes_[index].rests && !BatchIsFull()) {
        ABSL_ASSIGN_OR_RETURN(const size_t entries, ReadOn(index, from[index]));
        any = any || entries > 0;
        if (into_ == FoldInto::kLiveFile) break;
      }
      if (into_ == FoldInto::kLiveFile && BatchIsFull()) first_lane_ = index + 1;
    }
  }
  return absl::OkStatus();
}

// SQLite may have rolled back all of a new file, and not this step alone.
void ProjectionFold::FailAtFile(absl::Status status, FoldStep& step) const {
  step.file_is_damaged = absl::IsDataLoss(status);
  step.file_is_lost = into_ == FoldInto::kNewFile;
  step.status = std::move(status);
}

bool ProjectionFold::ApplyBatch(Pass pass, FoldStep& step) {
  absl::StatusOr<StepRows> rows = StepRows::Begin(file_, into_);
  if (!rows.ok()) {
    FailAtFile(rows.status(), step);
    return true;
  }
  newly_parked_.clear();
  absl::Status stopped;  // by an entry that cannot be read; what stands before it is stored
  absl::Status failed;   // nothing is stored
  std::vector<size_t> reached(lanes_.size(), kNotReached);
  size_t events = 0;
  size_t entries = 0;
  bool redo = false;
  for (size_t i = 0; i < batch_.size() && !redo; ++i) {
    if (into_ == FoldInto::kLiveFile) YieldProcessor();
    const Lane& lane = lanes_[batch_.lane(i)];
    const eventlog::EntryView entry = batch_.view(i);
    stopped = Decode(lane, entry);
    if (!stopped.ok()) break;
    if (!events_.empty()) failed = ApplyOrPark(lane, pass, redo);
    if (!failed.ok()) break;
    events += events_.size();
    ++entries;
    reached[batch_.lane(i)] = i;
  }
  if (failed.ok() && !redo && into_ == FoldInto::kLiveFile) failed = StoreCheckpoints(reached);
  if (failed.ok() && !redo) failed = rows->Commit();
  if (!failed.ok() || redo) {
    for (const StreamKey& key : newly_parked_) parked_.erase(key);
    if (!failed.ok()) FailAtFile(failed, step);
    return !redo;
  }
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (reached[i] != kNotReached) lanes_[i].at = batch_.After(reached[i]);
  }
  step.status = stopped;
  step.entries = entries;
  step.events = events;
  return true;
}

absl::Status ProjectionFold::StoreCheckpoints(const std::vector<size_t>& reached) {
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (reached[i] == kNotReached) continue;
    ABSL_RETURN_IF_ERROR(
        StoreCheckpoint(file_, lanes_[i].service, lanes_[i].partition, batch_.After(reached[i])));
  }
  return absl::OkStatus();
}

absl::Status ProjectionFold::Decode(const Lane& lane, const eventlog::EntryView& entry) {
  if (entry.header.kind != eventlog::EntryKind::kRecord) {
    events_.clear();
    return absl::OkStatus();
  }
  absl::Status decoded = EventCodec::ParseRecord(entry, record_);
  if (decoded.ok()) {
    decoded = lane.source.codec->Decode(record_, lane.partition, entry.header.sequence, events_);
  }
  return decoded.ok() ? decoded : InLog(decoded, lane);
}

absl::Status ProjectionFold::ApplyDecoded() {
  for (const DecodedEvent& event : events_) {
    ABSL_RETURN_IF_ERROR(model_.Apply(event.envelope, *event.event, file_));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ProjectionFold::ApplyOrRollBack(std::string& reason) {
  ABSL_RETURN_IF_ERROR(file_.Cached("SAVEPOINT record").Run());
  const absl::Status applied = ApplyDecoded();
  if (!applied.ok()) {
    if (IsAboutTheFile(applied)) return applied;
    reason = ParkedReason(applied);
    ABSL_RETURN_IF_ERROR(file_.Cached("ROLLBACK TO record").Run());
  }
  ABSL_RETURN_IF_ERROR(file_.Cached("RELEASE record").Run());
  return applied.ok();
}

absl::Status ProjectionFold::ApplyOrPark(const Lane& lane, Pass pass, bool& redo) {
  if (!parked_.empty() && parked_.contains({lane.service, events_.front().envelope.stream}))
    return Park(lane, "");
  if (pass == Pass::kQuick) {
    const absl::Status applied = ApplyDecoded();
    if (applied.ok() || IsAboutTheFile(applied)) return applied;
    redo = true;
    return absl::OkStatus();
  }
  std::string reason;
  ABSL_ASSIGN_OR_RETURN(const bool applied, ApplyOrRollBack(reason));
  return applied ? absl::OkStatus() : Park(lane, std::move(reason));
}

absl::Status ProjectionFold::Park(const Lane& lane, std::string reason) {
  const EventEnvelope& first = events_.front().envelope;
  StreamKey key(lane.service, first.stream);
  if (parked_.insert(key).second) newly_parked_.push_back(std::move(key));
  return StoreParked(file_, {first.stream, first.position, std::move(reason), first.recorded_at});
}

absl::StatusOr<bool> ProjectionFold::RetryParked(const std::string& service,
                                                 const StreamId& stream) {
  ABSL_ASSIGN_OR_RETURN(sqlite::Transaction transaction,
                        sqlite::Transaction::Begin(file_, sqlite::Transaction::Mode::kWrite));
  ABSL_ASSIGN_OR_RETURN(const std::vector<Position> records,
                        ParkedRecordsOf(file_, service, stream));
  bool going_on = true;
  for (const Position& position : records) {
    const auto lane = std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& l) {
      return l.service == position.service && l.partition == position.partition;
    });
    if (lane == lanes_.end())
      return absl::InternalError("a parked record of a partition that is not followed");
    ABSL_RETURN_IF_ERROR(ReadOne(*lane, position.sequence, batch_));
    ABSL_RETURN_IF_ERROR(Decode(*lane, batch_.view(0)));
    std::string reason;
    ABSL_ASSIGN_OR_RETURN(going_on, ApplyOrRollBack(reason));
    if (!going_on) {
      ABSL_RETURN_IF_ERROR(Park(*lane, std::move(reason)));
      break;
    }
    ABSL_RETURN_IF_ERROR(RemoveParked(file_, position, stream));
  }
  ABSL_RETURN_IF_ERROR(transaction.Commit());
  if (going_on) parked_.erase({service, stream});
  return going_on;
}

absl::Status ProjectionFold::Settle() {
  CHECK(into_ == FoldInto::kNewFile);
  ABSL_RETURN_IF_ERROR(file_.Execute(model_.spec().query_indexes));
  for (const Lane& lane : lanes_) {
    if (lane.at.next == 1) continue;
    ABSL_RETURN_IF_ERROR(StoreCheckpoint(file_, lane.service, lane.partition, lane.at));
  }
  return FinishNew(file_);
}

bool ProgressMeter::Due(absl::Duration now) {
  if (now - told_ < absl::Seconds(1)) return false;
  told_ = now;
  return true;
}

RebuildProgress ProgressMeter::At(uint64_t events, absl::Duration now, bool done) const {
  RebuildProgress progress;
  progress.events = events;
  progress.events_total = total_;
  progress.done = done;
  const double seconds = absl::ToDoubleSeconds(now - began_);
  if (seconds > 0) progress.events_per_second = static_cast<double>(events) / seconds;
  if (done || events >= total_) return progress;
  progress.time_left =
      progress.events_per_second > 0
          ? absl::Seconds(static_cast<double>(total_ - events) / progress.events_per_second)
          : absl::InfiniteDuration();
  return progress;
}

}  // namespace buurtlog::eventsourcing
