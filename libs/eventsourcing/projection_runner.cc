#include "libs/eventsourcing/projection_runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/follower_file.h"
#include "libs/eventsourcing/projection_runner_impl.h"

namespace buurtlog::eventsourcing {
namespace {

// How often the heads are asked for while the runner is behind; they are only for the lag that is
// shown.
constexpr absl::Duration kHeadsRefreshPeriod = absl::Seconds(1);

prometheus::Gauge& GaugeOf(prometheus::Registry& registry, const std::string& name,
                           const std::string& text, const std::string& read_model) {
  return prometheus::BuildGauge().Name(name).Help(text).Register(registry).Add(
      {{"read_model", read_model}});
}

prometheus::Counter& CounterOf(prometheus::Registry& registry, const std::string& name,
                               const std::string& text, const std::string& read_model) {
  return prometheus::BuildCounter().Name(name).Help(text).Register(registry).Add(
      {{"read_model", read_model}});
}

// A rebuilt file whose switch was cut short takes the place that is empty; one that was cut short
// before is of no use.
absl::Status SettleInterruptedRebuild(Files& files, const std::string& path) {
  ABSL_RETURN_IF_ERROR(RemoveDatabase(files, UnfinishedPath(path)));
  const std::string rebuilt = RebuildPath(path);
  if (files.Exists(path) || !files.Exists(rebuilt)) return RemoveDatabase(files, rebuilt);
  ABSL_RETURN_IF_ERROR(RemoveDatabase(files, path));
  // Closing takes its write-ahead log in.
  const absl::Status opened = OpenForWriting(files, rebuilt).status();
  // A power cut has left half of it: it is folded anew, as a live file would be.
  if (absl::IsDataLoss(opened)) return RemoveDatabase(files, rebuilt);
  ABSL_RETURN_IF_ERROR(opened);
  return files.Rename(rebuilt, path);
}

}  // namespace

std::string RebuildPath(const std::string& path) { return absl::StrCat(path, ".rebuild"); }

std::string UnfinishedPath(const std::string& path) {
  return absl::StrCat(RebuildPath(path), "-unfinished");
}

ProjectionRunner::Impl::Impl(std::string folder, std::unique_ptr<ReadModel> model,
                             std::vector<LogSource> sources, Parts parts,
                             std::unique_ptr<ProjectionFold> fold)
    : folder_(std::move(folder)),
      path_(ReadModelPath(folder_, model->spec())),
      model_(std::move(model)),
      discarded_(fold->discarded()),
      sources_(std::move(sources)),
      parts_(parts),
      lag_metric_(GaugeOf(parts.metrics, "buurtlog_projection_lag_records",
                          "Records behind the heads of the logs.", model_->spec().name)),
      events_metric_(CounterOf(parts.metrics, "buurtlog_projection_events_total",
                               "Events applied or parked.", model_->spec().name)),
      parked_metric_(GaugeOf(parts.metrics, "buurtlog_projection_parked_streams",
                             "Streams that wait for a mend.", model_->spec().name)),
      fold_(std::move(fold)),
      readers_(parts.files, path_),
      answers_(parts.scheduler.NewQueue(absl::StrCat(model_->spec().name, " answers"),
                                        QueueKind::kBlocking)),
      queue_owner_(parts.scheduler.NewQueue(absl::StrCat(model_->spec().name, " projection"),
                                            QueueKind::kBlocking)),
      queue_(queue_owner_.get()),
      positions_(*queue_, *answers_, parts.clock,
                 [this] { queue_->Post([this] { TakeGrowth(); }); }),
      growth_([this] { Wake(); }) {
  positions_.Publish(fold_->lanes());
  parked_metric_.Set(static_cast<double>(fold_->parked()));
}

ProjectionRunner::Impl::~Impl() {
  {
    absl::MutexLock lock(&mutex_);
    closing_ = true;
  }
  subscriptions_.clear();
  positions_.Close();
  queue_owner_.reset();
  answers_.reset();
}

void ProjectionRunner::Impl::Start() {
  CHECK(!started_.exchange(true));
  subscriptions_ = WatchLanes(fold_->lanes(), growth_);
  queue_->Post([this] { LearnHeads(); });
}

void ProjectionRunner::Impl::Wake() {
  const absl::Duration rest = positions_.waited_for() ? absl::ZeroDuration() : rest_.left();
  queue_->PostAfter(rest, [this] { TakeGrowth(); });
}

void ProjectionRunner::Impl::TakeGrowth() {
  for (const size_t index : growth_.Take()) {
    Lane& lane = fold_->lanes()[index];
    lane.more = true;
    lane.rests = false;  // a log that tells of entries is in reach
  }
  SchedulePump();
}

absl::Status ProjectionRunner::Impl::health() const {
  absl::MutexLock lock(&mutex_);
  return health_;
}

void ProjectionRunner::Impl::SetHealth(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  health_ = std::move(status);
}

void ProjectionRunner::Impl::LearnHeads() {
  std::vector<eventlog::Sequence> targets;
  for (Lane& lane : fold_->lanes()) {
    auto head = lane.source.log->Head(lane.partition);
    if (absl::IsUnavailable(head.status())) {
      SetHealth(head.status());
      queue_->PostAfter(FollowAgainAfter(++failures_), [this] { LearnHeads(); });
      return;
    }
    if (!head.ok()) {
      stopped_ = true;
      SetHealth(head.status());
      return;
    }
    targets.push_back(head->next);
    lane.known = std::max(lane.known, head->next - 1);
    lane.more = true;  // also when nothing is new: reading finds out whether the checkpoint is on
                       // the log's chain
  }
  targets_ = std::move(targets);
  if (!BeginFirstFold()) SchedulePump();
}

void ProjectionRunner::Impl::SchedulePump(absl::Duration delay) {
  if (pump_scheduled_ || stopped_ || first_fold_ || targets_.empty()) return;
  pump_scheduled_ = true;
  const auto pump = [this] {
    pump_scheduled_ = false;
    Pump();
  };
  if (delay > absl::ZeroDuration()) {
    queue_->PostAfter(delay, pump);
  } else {
    queue_->Post(pump);
  }
}

void ProjectionRunner::Impl::Pump() {
  if (stopped_ || first_fold_) return;
  const absl::Duration begin = parts_.scheduler.Now();
  const FoldStep step = fold_->Step();
  rest_.Worked(begin);
  Publish(step);
  SetHealth(step.status.ok() ? step.out_of_reach : step.status);
  if (step.status.ok()) {
    if (step.out_of_reach.ok()) {
      failures_ = 0;
    } else {
      AskAgainLater();
    }
    if (step.more) SchedulePump();
    NoteCaughtUp();
    return;
  }
  if (absl::IsUnavailable(step.status) || absl::IsResourceExhausted(step.status)) {
    SchedulePump(FollowAgainAfter(++failures_));
    return;
  }
  stopped_ = true;
  if (step.file_is_damaged) FoldAnew();
}

// The log has all that a damaged file held. What is damaged is shown to nobody meanwhile.
void ProjectionRunner::Impl::FoldAnew() {
  if (std::exchange(folded_anew_, true)) return;
  stopped_ = true;
  TryToFoldAnew();
}

void ProjectionRunner::Impl::TryToFoldAnew() {
  if (!stopped_) return;  // a rebuild has mended it
  SetHealth(absl::DataLossError("the file is damaged, and is being folded anew"));
  // Without the mark, a start that comes before the end would find the damage anew.
  const absl::Status marked = MarkDamaged(parts_.files, path_);
  if (!marked.ok()) return FoldAnewLater(marked);
  if (rebuilding_.has_value()) return;
  BeginRebuild(RebuildTold(nullptr));
  if (!rebuilding_.has_value()) FoldAnewLater(absl::UnavailableError("it could not be begun"));
}

void ProjectionRunner::Impl::FoldAnewLater(const absl::Status& why) {
  SetHealth(absl::DataLossError(
      absl::StrCat("the file is damaged, and will be folded anew: ", why.message())));
  queue_->PostAfter(FollowAgainAfter(++failures_), [this] { TryToFoldAnew(); });
}

absl::Status ProjectionRunner::Impl::Read(
    absl::FunctionRef<absl::Status(sqlite::Connection& rows)> read) {
  absl::Status status = readers_.Read(read);
  if (!absl::IsDataLoss(status)) return status;
  absl::MutexLock lock(&mutex_);
  if (!closing_) queue_->Post([this] { FoldAnew(); });
  return status;
}

void ProjectionRunner::Impl::AskAgainLater() {
  if (std::exchange(ask_scheduled_, true)) return;
  queue_->PostAfter(FollowAgainAfter(++failures_), [this] {
    ask_scheduled_ = false;
    fold_->AskAgain();
    SchedulePump();
  });
}

void ProjectionRunner::Impl::ShowLag(const std::vector<Lane>& lanes) {
  uint64_t lag = 0;
  for (const Lane& lane : lanes) lag += lane.lag();
  lag_ = lag;
  lag_metric_.Set(static_cast<double>(lag));
}

void ProjectionRunner::Impl::Publish(const FoldStep& step) {
  if (step.more) RefreshHeads();
  ShowLag(fold_->lanes());
  events_metric_.Increment(static_cast<double>(step.events));
  parked_metric_.Set(static_cast<double>(fold_->parked()));
  if (step.entries > 0) positions_.Publish(fold_->lanes());
}

void ProjectionRunner::Impl::RefreshHeads() {
  const absl::Duration now = parts_.scheduler.Now();
  if (now - heads_refreshed_ < kHeadsRefreshPeriod) return;
  heads_refreshed_ = now;
  for (Lane& lane : fold_->lanes()) {
    if (lane.rests) continue;  // asking would only wait
    const auto head = lane.source.log->Head(lane.partition);
    if (head.ok()) lane.known = std::max(lane.known, head->next - 1);
  }
}

void ProjectionRunner::Impl::NoteCaughtUp() {
  if (caught_up_) return;
  for (size_t i = 0; i < targets_.size(); ++i) {
    if (fold_->lanes()[i].at.next < targets_[i]) return;
  }
  // A checkpoint that is ahead of its log is found by reading, so everything has been read once
  // before this counts.
  if (std::any_of(fold_->lanes().begin(), fold_->lanes().end(),
                  [](const Lane& lane) { return lane.more; }))
    return;
  caught_up_ = true;
  RemoveOtherVersions();
}

void ProjectionRunner::Impl::RemoveOtherVersions() {
  const std::string prefix = absl::StrCat(spec().name, "-");
  // What cannot be listed or removed now is removed at a later start.
  const absl::StatusOr<std::vector<std::string>> names = parts_.files.List(folder_);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    absl::string_view version = name;
    uint32_t number = 0;
    if (!absl::ConsumePrefix(&version, prefix) || !absl::ConsumeSuffix(&version, ".db")) continue;
    if (!absl::SimpleAtoi(version, &number) || number == spec().schema_version) continue;
    const std::string path = absl::StrCat(folder_, "/", name);
    RemoveDatabase(parts_.files, path).IgnoreError();
    RemoveDatabase(parts_.files, RebuildPath(path)).IgnoreError();
    RemoveDatabase(parts_.files, UnfinishedPath(path)).IgnoreError();
  }
}

absl::StatusOr<std::vector<ParkedStream>> ProjectionRunner::Impl::Parked() {
  absl::StatusOr<std::vector<ParkedStream>> parked = absl::InternalError("not read");
  const absl::Status read = readers_.Read([&](sqlite::Connection& rows) {
    parked = LoadParked(rows, spec().name);
    return parked.status();
  });
  ABSL_RETURN_IF_ERROR(read);
  return parked;
}

void ProjectionRunner::Impl::RetryParked(absl::AnyInvocable<void(absl::StatusOr<size_t>)> done) {
  queue_->Post([this, reply = Reply<absl::StatusOr<size_t>>(std::move(done))]() mutable {
    auto streams = LoadParked(fold_->file(), spec().name);
    if (!streams.ok()) return reply(streams.status());
    RetryNext({*std::move(streams), 0, 0, std::move(reply)});
  });
}

void ProjectionRunner::Impl::RetryNext(Retry retry) {
  parked_metric_.Set(static_cast<double>(fold_->parked()));
  if (retry.next == retry.streams.size()) return retry.done(retry.going_on);
  const ParkedStream& stream = retry.streams[retry.next++];
  const absl::StatusOr<bool> going_on = fold_->RetryParked(stream.position.service, stream.stream);
  if (!going_on.ok()) return retry.done(going_on.status());
  if (*going_on) ++retry.going_on;
  // One stream a task, so that following goes on in between.
  queue_->Post([this, retry = std::move(retry)]() mutable { RetryNext(std::move(retry)); });
}

// ---- the public face

absl::StatusOr<std::unique_ptr<ProjectionRunner>> ProjectionRunner::Open(
    const std::string& folder, std::unique_ptr<ReadModel> model, std::vector<LogSource> sources,
    Parts parts) {
  ABSL_RETURN_IF_ERROR(parts.files.MakeFolder(folder));
  const std::string path = ReadModelPath(folder, model->spec());
  ABSL_RETURN_IF_ERROR(SettleInterruptedRebuild(parts.files, path));
  ABSL_ASSIGN_OR_RETURN(
      std::unique_ptr<ProjectionFold> fold,
      ProjectionFold::Open(path, FoldInto::kLiveFile, *model, sources, parts.files));
  return std::unique_ptr<ProjectionRunner>(new ProjectionRunner(std::make_unique<Impl>(
      folder, std::move(model), std::move(sources), parts, std::move(fold))));
}

ProjectionRunner::ProjectionRunner(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ProjectionRunner::~ProjectionRunner() = default;

const ReadModelSpec& ProjectionRunner::spec() const { return impl_->spec(); }
const std::string& ProjectionRunner::discarded() const { return impl_->discarded(); }
void ProjectionRunner::Start() { impl_->Start(); }
absl::Status ProjectionRunner::health() const { return impl_->health(); }
bool ProjectionRunner::caught_up() const { return impl_->caught_up(); }
uint64_t ProjectionRunner::lag() const { return impl_->lag(); }

void ProjectionRunner::WhenReached(std::vector<Position> min, absl::Time deadline,
                                   absl::AnyInvocable<void(absl::Status)> ready) {
  impl_->positions().Wait(std::move(min), deadline, std::move(ready));
}

absl::Status ProjectionRunner::Read(
    absl::FunctionRef<absl::Status(sqlite::Connection& rows)> read) {
  return impl_->Read(read);
}

absl::StatusOr<CheckpointVector> ProjectionRunner::Checkpoints() {
  return impl_->positions().Reached();
}
absl::StatusOr<std::vector<ParkedStream>> ProjectionRunner::Parked() { return impl_->Parked(); }

void ProjectionRunner::RetryParked(absl::AnyInvocable<void(absl::StatusOr<size_t>)> done) {
  impl_->RetryParked(std::move(done));
}

void ProjectionRunner::Rebuild(absl::AnyInvocable<void(absl::StatusOr<RebuildProgress>)> progress) {
  impl_->Rebuild(std::move(progress));
}

}  // namespace buurtlog::eventsourcing
