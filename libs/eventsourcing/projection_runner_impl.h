// The inside of ProjectionRunner: projection_runner.cc follows the logs, projection_rebuild.cc
// rebuilds beside the live file. Private to libs/eventsourcing.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "libs/eventsourcing/log_lanes.h"
#include "libs/eventsourcing/position_waiters.h"
#include "libs/eventsourcing/projection_fold.h"
#include "libs/eventsourcing/projection_runner.h"
#include "libs/eventsourcing/read_pool.h"
#include "libs/eventsourcing/reply.h"

namespace buurtlog::eventsourcing {

// Entries from which on the first fold of a read model goes into a new file.
inline constexpr uint64_t kFirstFoldMin = 10'000;

// Of a rebuilt file that is whole, and of one that is being made, which is of no use to anybody
// else.
std::string RebuildPath(const std::string& path);
std::string UnfinishedPath(const std::string& path);

class ProjectionRunner::Impl {
 public:
  Impl(std::string folder, std::unique_ptr<ReadModel> model, std::vector<LogSource> sources,
       Parts parts, std::unique_ptr<ProjectionFold> fold);
  ~Impl();

  void Start();
  void RetryParked(absl::AnyInvocable<void(absl::StatusOr<size_t>)> done);
  void Rebuild(absl::AnyInvocable<void(absl::StatusOr<RebuildProgress>)> progress);
  absl::StatusOr<std::vector<ParkedStream>> Parked();
  absl::Status health() const ABSL_LOCKS_EXCLUDED(mutex_);

  const ReadModelSpec& spec() const { return model_->spec(); }
  const std::string& discarded() const { return discarded_; }
  bool caught_up() const { return caught_up_; }
  uint64_t lag() const { return lag_; }
  PositionWaiters& positions() { return positions_; }
  absl::Status Read(absl::FunctionRef<absl::Status(sqlite::Connection& rows)> read);

 private:
  struct Retry {
    std::vector<ParkedStream> streams;
    size_t next = 0;
    size_t going_on = 0;
    Reply<absl::StatusOr<size_t>> done;
  };
  // Called many times, the last time with an error or with `done`; dropped before that, it tells
  // so. Made with null, nobody is told.
  class RebuildTold {
   public:
    explicit RebuildTold(absl::AnyInvocable<void(absl::StatusOr<RebuildProgress>)> told)
        : told_(std::move(told)) {}
    RebuildTold(RebuildTold&& other) noexcept : told_(std::exchange(other.told_, nullptr)) {}
    RebuildTold& operator=(RebuildTold&&) = delete;
    ~RebuildTold() { Last(absl::UnavailableError("shutting down")); }
    void Tell(const RebuildProgress& progress) {
      if (told_) told_(progress);
    }
    void Last(absl::StatusOr<RebuildProgress> result) {
      auto told = std::exchange(told_, nullptr);
      if (told) told(std::move(result));
    }

   private:
    absl::AnyInvocable<void(absl::StatusOr<RebuildProgress>)> told_;
  };
  struct Rebuilding {
    std::unique_ptr<ProjectionFold> fold;
    ProgressMeter meter;
    uint64_t entries = 0;
    int failures = 0;
    bool looked_everywhere = false;  // every partition was asked again since something was found
    RebuildTold told;
  };

  void Wake();

  // ---- on the queue
  void TakeGrowth();
  void LearnHeads();
  void SchedulePump(absl::Duration delay = absl::ZeroDuration());
  void Pump();
  void AskAgainLater();
  void ShowLag(const std::vector<Lane>& lanes);
  void Publish(const FoldStep& step);
  void NoteCaughtUp();
  void RemoveOtherVersions();
  void FoldAnew();
  void TryToFoldAnew();
  void FoldAnewLater(const absl::Status& why);
  void RefreshHeads();
  void SetHealth(absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_);
  void RetryNext(Retry retry);
  bool BeginFirstFold();
  void BeginRebuild(RebuildTold told);
  void RebuildStep();
  bool RebuildHasCaughtUp();
  void FinishRebuild();
  absl::Status SwitchFiles();
  void EndRebuild(absl::Status status);

  const std::string folder_;
  const std::string path_;
  const std::unique_ptr<ReadModel> model_;
  const std::string discarded_;
  const std::vector<LogSource> sources_;
  const Parts parts_;
  prometheus::Gauge& lag_metric_;
  prometheus::Counter& events_metric_;
  prometheus::Gauge& parked_metric_;

  // Only the queue's tasks touch these.
  std::unique_ptr<ProjectionFold> fold_;
  std::vector<eventlog::Sequence>
      targets_;  // heads when Start was called, by lane; empty until they are known
  std::optional<Rebuilding> rebuilding_;
  absl::Duration heads_refreshed_ = -absl::InfiniteDuration();
  bool pump_scheduled_ = false;
  bool ask_scheduled_ = false;
  bool stopped_ = false;
  bool first_fold_ = false;   // a new file is being made, and the live one waits for it
  bool folded_anew_ = false;  // because of damage, which is done once
  int failures_ = 0;

  FollowRest rest_{parts_.scheduler};
  std::atomic<bool> started_ = false;
  std::atomic<bool> caught_up_ = false;
  std::atomic<uint64_t> lag_ = 0;
  ReadPool readers_;
  mutable absl::Mutex mutex_;
  absl::Status health_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;  // nothing more is posted by readers

  std::unique_ptr<TaskQueue> answers_;
  std::unique_ptr<TaskQueue> queue_owner_;
  TaskQueue* const queue_;  // for tasks, also for one that runs while the owner lets the queue go
  PositionWaiters positions_;
  GrowthSignal growth_;
  std::vector<std::unique_ptr<eventlog::Subscription>> subscriptions_;
};

}  // namespace buurtlog::eventsourcing
