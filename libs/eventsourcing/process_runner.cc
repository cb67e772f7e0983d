#include "libs/eventsourcing/process_runner.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/follower_file.h"
#include "libs/eventsourcing/log_lanes.h"
#include "libs/eventsourcing/process_run.h"
#include "libs/eventsourcing/reply.h"

namespace buurtlog::eventsourcing {
namespace {

// Read from a partition at once; the checkpoint is stored behind each such batch.
constexpr size_t kEntriesPerBatchMax = 256;

struct Metrics {
  prometheus::Gauge& lag;
  prometheus::Gauge& parked;
};

Metrics MetricsOf(prometheus::Registry& registry, const std::string& process) {
  const auto gauge = [&](const char* name, const char* text) -> prometheus::Gauge& {
    return prometheus::BuildGauge().Name(name).Help(text).Register(registry).Add(
        {{"process", process}});
  };
  return {gauge("buurtlog_process_lag_records", "Records whose commands are not all answered."),
          gauge("buurtlog_process_parked_streams", "Streams that wait for a mend.")};
}

}  // namespace

class ProcessRunner::Impl {
 public:
  Impl(std::unique_ptr<Process> process, Parts parts, std::string path, std::string discarded,
       sqlite::Connection file, std::vector<Lane> lanes, const std::vector<ParkedStream>& parked);
  ~Impl();

  std::string_view name() const { return process_->name(); }
  const std::string& discarded() const { return discarded_; }

  void Start();
  void RetryParked(absl::AnyInvocable<void(absl::StatusOr<size_t>)> done);
  absl::StatusOr<std::vector<ParkedStream>> Parked();
  absl::Status health() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return health_;
  }
  bool caught_up() const { return caught_up_; }

 private:
  using StreamKey = std::pair<std::string, StreamId>;
  // What is under way in one partition.
  struct Work {
    EntryBatch batch;
    size_t next = 0;  // entry of the batch that is not begun yet
    std::shared_ptr<RecordRun> run;
    bool waits = false;  // for the next try, after trouble with the log or the file
    int failures = 0;
  };
  struct Retry {
    std::vector<ParkedStream> streams;
    size_t next = 0;
    size_t going_on = 0;
    EntryBatch entry;
    std::shared_ptr<RecordRun> run;
    Reply<absl::StatusOr<size_t>> done;
  };

  // ---- on the queue
  void TakeGrowth();
  void LearnHeads();
  void Advance(size_t lane);
  bool FinishRun(size_t lane);
  bool BeginEntry(size_t lane);
  bool NextBatch(size_t lane);
  absl::Status Park(size_t lane, const EventEnvelope& first, std::string reason);
  absl::Status StoreInPark(size_t lane, const EventEnvelope& first, std::string reason);
  absl::Status Noticed(absl::Status status);
  absl::Status StoreProgress(size_t lane);
  void Trouble(size_t lane, const absl::Status& status);
  void NoteProgress();
  void AdvanceRetry();
  absl::StatusOr<bool> RetryStep(Retry& retry);
  absl::StatusOr<bool> FinishRetried(Retry& retry);
  absl::StatusOr<bool> BeginRetried(Retry& retry);
  absl::StatusOr<std::vector<DecodedEvent>> Decode(const Lane& lane,
                                                   const eventlog::EntryView& entry,
                                                   log::v1::Record& record);
  std::shared_ptr<RecordRun> NewRun(std::unique_ptr<log::v1::Record> record,
                                    std::vector<DecodedEvent> events, std::function<void()> resume);
  void Mark();
  void SetHealth(absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    health_ = std::move(status);
  }

  const std::unique_ptr<Process> process_;
  const Parts parts_;
  const std::string path_;
  const std::string discarded_;
  const Metrics metrics_;
  RunParts run_parts_;

  // Only the queue's tasks touch these.
  sqlite::Connection file_;
  std::vector<Lane> lanes_;
  std::vector<Work> work_;
  std::vector<eventlog::Sequence> targets_;
  absl::flat_hash_set<StreamKey> parked_;
  std::optional<Retry> retry_;
  bool stopped_ = false;
  int failures_ = 0;

  std::atomic<bool> caught_up_ = false;
  mutable absl::Mutex mutex_;
  absl::Status health_ ABSL_GUARDED_BY(mutex_);

  std::unique_ptr<TaskQueue> queue_owner_;
  TaskQueue* const queue_;  // for tasks, also for one that runs while the owner lets the queue go
  FollowRest rest_;
  GrowthSignal growth_;
  std::vector<std::unique_ptr<eventlog::Subscription>> subscriptions_;
};

ProcessRunner::Impl::Impl(std::unique_ptr<Process> process, Parts parts, std::string path,
                          std::string discarded, sqlite::Connection file, std::vector<Lane> lanes,
                          const std::vector<ParkedStream>& parked)
    : process_(std::move(process)),
      parts_(parts),
      path_(std::move(path)),
      discarded_(std::move(discarded)),
      metrics_(MetricsOf(parts.metrics, std::string(process_->name()))),
      file_(std::move(file)),
      lanes_(std::move(lanes)),
      work_(lanes_.size()),
      queue_owner_(parts.scheduler.NewQueue(absl::StrCat(std::string(process_->name()), " process"),
                                            QueueKind::kBlocking)),
      queue_(queue_owner_.get()),
      rest_(parts.scheduler),
      growth_([this] { queue_->PostAfter(rest_.left(), [this] { TakeGrowth(); }); }) {
  for (const ParkedStream& stream : parked)
    parked_.insert({stream.position.service, stream.stream});
  run_parts_ = {process_.get(), &parts_.executor, queue_, std::make_shared<Gate>(),
                &RefusalCounter(parts_.metrics, std::string(process_->name()))};
}

ProcessRunner::Impl::~Impl() {
  subscriptions_.clear();
  run_parts_.gate->Close();
  queue_owner_.reset();
}

void ProcessRunner::Impl::Start() {
  subscriptions_ = WatchLanes(lanes_, growth_);
  queue_->Post([this] { LearnHeads(); });
}

void ProcessRunner::Impl::TakeGrowth() {
  const absl::Duration begin = parts_.scheduler.Now();
  for (const size_t lane : growth_.Take()) {
    lanes_[lane].more = true;
    Advance(lane);
  }
  rest_.Worked(begin);
}

void ProcessRunner::Impl::LearnHeads() {
  std::vector<eventlog::Sequence> targets;
  for (Lane& lane : lanes_) {
    auto head = lane.source.log->Head(lane.partition);
    if (!head.ok()) {
      SetHealth(head.status());
      if (!absl::IsUnavailable(head.status())) return;
      queue_->PostAfter(FollowAgainAfter(++failures_), [this] { LearnHeads(); });
      return;
    }
    targets.push_back(head->next);
    lane.known = std::max(lane.known, head->next - 1);
    lane.more = true;
  }
  targets_ = std::move(targets);
  for (size_t lane = 0; lane < lanes_.size(); ++lane) Advance(lane);
}

// Goes on in one partition until it waits for an answer or for more entries.
void ProcessRunner::Impl::Advance(size_t lane) {
  if (targets_.empty()) return;
  Work& work = work_[lane];
  while (!stopped_ && !work.waits) {
    if (work.run != nullptr) {
      if (!FinishRun(lane)) return;
    } else if (work.next < work.batch.size()) {
      if (!BeginEntry(lane)) return;
    } else if (!NextBatch(lane)) {
      return;
    }
  }
}

// False when the run still waits for an answer, or the file made trouble.
bool ProcessRunner::Impl::FinishRun(size_t lane) {
  Work& work = work_[lane];
  const RunState state = Continue(work.run, run_parts_);
  if (state == RunState::kWaits) return false;
  const RecordRun& run = *work.run;
  absl::Status stored;
  if (state == RunState::kFailed)
    stored = Park(lane, run.events.front().envelope, ParkedReason(run.failure));
  work.run.reset();
  if (stored.ok()) return true;
  Trouble(lane, stored);
  return false;
}

// False when the entry cannot be read, or the file made trouble.
bool ProcessRunner::Impl::BeginEntry(size_t lane) {
  YieldProcessor();
  Work& work = work_[lane];
  auto record = std::make_unique<log::v1::Record>();
  auto events = Decode(lanes_[lane], work.batch.view(work.next), *record);
  if (!events.ok()) {
    // What stands before it is done; it is stored, and the reader stops here.
    StoreProgress(lane).IgnoreError();
    Trouble(lane, events.status());
    return false;
  }
  ++work.next;
  if (events->empty()) return true;
  const EventEnvelope& first = events->front().envelope;
  if (!parked_.empty() && parked_.contains({first.position.service, first.stream})) {
    const absl::Status stored = Park(lane, first, "");
    if (!stored.ok()) Trouble(lane, stored);
    return stored.ok();
  }
  work.run = NewRun(std::move(record), *std::move(events), [this, lane] { Advance(lane); });
  return true;
}

// False when there is nothing more to read now.
bool ProcessRunner::Impl::NextBatch(size_t lane) {
  Work& work = work_[lane];
  const absl::Status stored = StoreProgress(lane);
  if (!stored.ok()) {
    Trouble(lane, stored);
    return false;
  }
  work.batch.Clear();
  work.next = 0;
  LaneRead read;
  if (lanes_[lane].more) {
    eventlog::FoldState from = lanes_[lane].at;
    eventlog::ReadLimits limits;
    limits.entries_max = kEntriesPerBatchMax;
    read = ReadLane(lanes_[lane], lane, from, limits, work.batch);
  }
  NoteProgress();
  if (!read.status.ok() && read.entries == 0) {
    Trouble(lane, read.status);
    return false;
  }
  if (read.status.ok()) {
    work.failures = 0;
    // Not while another partition waits for its next try.
    if (std::none_of(work_.begin(), work_.end(), [](const Work& one) { return one.waits; }))
      SetHealth(absl::OkStatus());
  }
  return read.entries > 0;
}

// In one transaction with the checkpoint, so that a record is neither parked twice nor lost.
absl::Status ProcessRunner::Impl::Park(size_t lane, const EventEnvelope& first,
                                       std::string reason) {
  return Noticed(StoreInPark(lane, first, std::move(reason)));
}

absl::Status ProcessRunner::Impl::StoreInPark(size_t lane, const EventEnvelope& first,
                                              std::string reason) {
  ABSL_ASSIGN_OR_RETURN(sqlite::Transaction transaction,
                        sqlite::Transaction::Begin(file_, sqlite::Transaction::Mode::kWrite));
  ABSL_RETURN_IF_ERROR(
      StoreParked(file_, {first.stream, first.position, std::move(reason), first.recorded_at}));
  const eventlog::FoldState behind = work_[lane].batch.After(work_[lane].next - 1);
  ABSL_RETURN_IF_ERROR(
      StoreCheckpoint(file_, lanes_[lane].service, lanes_[lane].partition, behind));
  ABSL_RETURN_IF_ERROR(transaction.Commit());
  lanes_[lane].at = behind;
  parked_.insert({first.position.service, first.stream});
  return absl::OkStatus();
}

// Everything before `next` is answered.
absl::Status ProcessRunner::Impl::StoreProgress(size_t lane) {
  Work& work = work_[lane];
  if (work.next == 0) return absl::OkStatus();
  const eventlog::FoldState behind = work.batch.After(work.next - 1);
  if (behind.next == lanes_[lane].at.next) return absl::OkStatus();
  ABSL_RETURN_IF_ERROR(
      Noticed(StoreCheckpoint(file_, lanes_[lane].service, lanes_[lane].partition, behind)));
  lanes_[lane].at = behind;
  return absl::OkStatus();
}

// A file that turns out damaged is thrown away at the next start.
absl::Status ProcessRunner::Impl::Noticed(absl::Status status) {
  if (absl::IsDataLoss(status)) Mark();
  return status;
}

// Tried until it is written down.
void ProcessRunner::Impl::Mark() {
  if (MarkDamaged(parts_.files, path_).ok()) return;
  queue_->PostAfter(FollowAgainAfter(++failures_), [this] {
    if (!IsMarkedDamaged(parts_.files, path_)) Mark();
  });
}

// The partition begins again at its checkpoint, later; what was answered is repeated under the same
// keys.
void ProcessRunner::Impl::Trouble(size_t lane, const absl::Status& status) {
  Work& work = work_[lane];
  work.batch.Clear();
  work.next = 0;
  work.run.reset();
  lanes_[lane].more = true;
  SetHealth(status);
  if (!absl::IsUnavailable(status) && !absl::IsResourceExhausted(status)) {
    stopped_ = true;
    return;
  }
  work.waits = true;
  queue_->PostAfter(FollowAgainAfter(++work.failures), [this, lane] {
    work_[lane].waits = false;
    Advance(lane);
  });
}

void ProcessRunner::Impl::NoteProgress() {
  uint64_t lag = 0;
  bool all = true;
  for (size_t i = 0; i < lanes_.size(); ++i) {
    lag += lanes_[i].lag();
    all = all && lanes_[i].at.next >= targets_[i] && (!lanes_[i].more || caught_up_);
  }
  metrics_.lag.Set(static_cast<double>(lag));
  metrics_.parked.Set(static_cast<double>(parked_.size()));
  if (all) caught_up_ = true;
}

absl::StatusOr<std::vector<DecodedEvent>> ProcessRunner::Impl::Decode(
    const Lane& lane, const eventlog::EntryView& entry, log::v1::Record& record) {
  if (entry.header.kind != eventlog::EntryKind::kRecord) return std::vector<DecodedEvent>();
  ABSL_ASSIGN_OR_RETURN(record, EventCodec::ParseRecord(entry));
  auto events = lane.source.codec->Decode(record, lane.partition, entry.header.sequence);
  if (events.ok()) return events;
  return absl::Status(events.status().code(),
                      absl::StrCat(lane.service, " ", events.status().message()));
}

std::shared_ptr<RecordRun> ProcessRunner::Impl::NewRun(std::unique_ptr<log::v1::Record> record,
                                                       std::vector<DecodedEvent> events,
                                                       std::function<void()> resume) {
  auto run = std::make_shared<RecordRun>();
  run->record = std::move(record);
  run->events = std::move(events);
  run->resume = std::move(resume);
  return run;
}

absl::StatusOr<std::vector<ParkedStream>> ProcessRunner::Impl::Parked() {
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection file, OpenForReading(parts_.files, path_));
  return LoadParked(file, std::string(process_->name()));
}

void ProcessRunner::Impl::RetryParked(absl::AnyInvocable<void(absl::StatusOr<size_t>)> done) {
  queue_->Post([this, reply = Reply<absl::StatusOr<size_t>>(std::move(done))]() mutable {
    if (retry_.has_value())
      return reply(absl::UnavailableError("the parked streams are being tried already"));
    auto streams = LoadParked(file_, std::string(process_->name()));
    if (!streams.ok()) return reply(streams.status());
    retry_.emplace(Retry{*std::move(streams), 0, 0, EntryBatch(), nullptr, std::move(reply)});
    AdvanceRetry();
  });
}

void ProcessRunner::Impl::AdvanceRetry() {
  if (!retry_.has_value()) return;
  absl::StatusOr<bool> going_on = true;
  while (going_on.ok() && *going_on) {
    if (retry_->next == retry_->streams.size()) break;
    going_on = RetryStep(*retry_);
  }
  if (going_on.ok() && !*going_on) return;
  metrics_.parked.Set(static_cast<double>(parked_.size()));
  Retry retry = *std::move(retry_);
  retry_.reset();
  retry.done(going_on.ok() ? absl::StatusOr<size_t>(retry.going_on) : going_on.status());
}

// False when it waits for an answer.
absl::StatusOr<bool> ProcessRunner::Impl::RetryStep(Retry& retry) {
  return retry.run != nullptr ? FinishRetried(retry) : BeginRetried(retry);
}

absl::StatusOr<bool> ProcessRunner::Impl::FinishRetried(Retry& retry) {
  const RunState state = Continue(retry.run, run_parts_);
  if (state == RunState::kWaits) return false;
  const std::shared_ptr<RecordRun> run = std::exchange(retry.run, nullptr);
  const EventEnvelope& first = run->events.front().envelope;
  if (state == RunState::kDone) {
    ABSL_RETURN_IF_ERROR(RemoveParked(file_, first.position, first.stream));
    return true;
  }
  ABSL_RETURN_IF_ERROR(StoreParked(
      file_, {first.stream, first.position, ParkedReason(run->failure), first.recorded_at}));
  ++retry.next;
  return true;
}

absl::StatusOr<bool> ProcessRunner::Impl::BeginRetried(Retry& retry) {
  const ParkedStream& stream = retry.streams[retry.next];
  ABSL_ASSIGN_OR_RETURN(const std::vector<Position> records,
                        ParkedRecordsOf(file_, stream.position.service, stream.stream));
  if (records.empty()) {
    // Also what was parked meanwhile is done, so the stream goes on with its partition.
    parked_.erase({stream.position.service, stream.stream});
    ++retry.going_on;
    ++retry.next;
    return true;
  }
  const auto lane = std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& l) {
    return l.service == records.front().service && l.partition == records.front().partition;
  });
  if (lane == lanes_.end())
    return absl::InternalError("a parked record of a partition that is not followed");
  ABSL_RETURN_IF_ERROR(ReadOne(*lane, records.front().sequence, retry.entry));
  auto record = std::make_unique<log::v1::Record>();
  ABSL_ASSIGN_OR_RETURN(std::vector<DecodedEvent> events,
                        Decode(*lane, retry.entry.view(0), *record));
  if (events.empty()) return absl::InternalError("a parked record without events");
  retry.run = NewRun(std::move(record), std::move(events), [this] { AdvanceRetry(); });
  return true;
}

// ---- the public face

absl::StatusOr<std::unique_ptr<ProcessRunner>> ProcessRunner::Open(const std::string& folder,
                                                                   std::unique_ptr<Process> process,
                                                                   std::vector<LogSource> sources,
                                                                   Parts parts) {
  ABSL_RETURN_IF_ERROR(parts.files.MakeFolder(folder));
  const std::string name(process->name());
  const std::string path = absl::StrCat(folder, "/", name, ".db");
  std::string discarded;
  // One that is made anew gives the same commands, under the same keys.
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection file, OpenOrMakeAnew(parts.files, path, discarded));
  ABSL_ASSIGN_OR_RETURN(const CheckpointVector checkpoints, LoadCheckpoints(file));
  ABSL_ASSIGN_OR_RETURN(std::vector<Lane> lanes,
                        MakeLanes(sources, process->services(), checkpoints));
  ABSL_ASSIGN_OR_RETURN(const std::vector<ParkedStream> parked, LoadParked(file, name));
  return std::unique_ptr<ProcessRunner>(new ProcessRunner(
      std::make_unique<Impl>(std::move(process), parts, path, std::move(discarded), std::move(file),
                             std::move(lanes), parked)));
}

ProcessRunner::ProcessRunner(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ProcessRunner::~ProcessRunner() = default;

std::string_view ProcessRunner::name() const { return impl_->name(); }
const std::string& ProcessRunner::discarded() const { return impl_->discarded(); }
void ProcessRunner::Start() { impl_->Start(); }
absl::Status ProcessRunner::health() const { return impl_->health(); }
bool ProcessRunner::caught_up() const { return impl_->caught_up(); }
absl::StatusOr<std::vector<ParkedStream>> ProcessRunner::Parked() { return impl_->Parked(); }
void ProcessRunner::RetryParked(absl::AnyInvocable<void(absl::StatusOr<size_t>)> done) {
  impl_->RetryParked(std::move(done));
}

}  // namespace buurtlog::eventsourcing
