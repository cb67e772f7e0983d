// Rebuilding a read model beside the live one, on the same queue: a step of the one, a step of the
// other. A file that is far from its first end of the logs is made in the same way.
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/follower_file.h"
#include "libs/eventsourcing/projection_runner_impl.h"

namespace buurtlog::eventsourcing {
namespace {

absl::StatusOr<uint64_t> EntriesAhead(std::vector<Lane>& lanes) {
  uint64_t entries = 0;
  for (Lane& lane : lanes) {
    ABSL_ASSIGN_OR_RETURN(const eventlog::FoldState head, lane.source.log->Head(lane.partition));
    lane.known = head.next - 1;
    entries += lane.lag();
  }
  return entries;
}

bool Passes(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status);
}

}  // namespace

void ProjectionRunner::Impl::Rebuild(
    absl::AnyInvocable<void(absl::StatusOr<RebuildProgress>)> progress) {
  queue_->Post(
      [this, told = RebuildTold(std::move(progress))]() mutable { BeginRebuild(std::move(told)); });
}

// True when nothing has been folded yet and there is so much of it that a new file is faster. The
// live file, which is empty, waits.
bool ProjectionRunner::Impl::BeginFirstFold() {
  uint64_t ahead = 0;
  for (const Lane& lane : fold_->lanes()) {
    if (lane.at.next > 1) return false;
    ahead += lane.lag();
  }
  if (ahead < kFirstFoldMin) return false;
  first_fold_ = true;
  BeginRebuild(RebuildTold(nullptr));
  // Where it could not begin, the live file is folded after all.
  first_fold_ = rebuilding_.has_value();
  return first_fold_;
}

void ProjectionRunner::Impl::BeginRebuild(RebuildTold told) {
  if (rebuilding_.has_value())
    return told.Last(absl::UnavailableError("a rebuild is under way already"));
  auto fold = ProjectionFold::Open(UnfinishedPath(path_), FoldInto::kNewFile, *model_, sources_,
                                   parts_.files);
  if (!fold.ok()) return told.Last(fold.status());
  const absl::StatusOr<uint64_t> total = EntriesAhead((*fold)->lanes());
  if (!total.ok()) {
    fold->reset();
    RemoveDatabase(parts_.files, UnfinishedPath(path_)).IgnoreError();
    return told.Last(total.status());
  }
  const absl::Duration now = parts_.scheduler.Now();
  rebuilding_.emplace(
      Rebuilding{*std::move(fold), ProgressMeter(*total, now), 0, 0, false, std::move(told)});
  rebuilding_->told.Tell(rebuilding_->meter.At(0, now, false));
  queue_->Post([this] { RebuildStep(); });
}

void ProjectionRunner::Impl::RebuildStep() {
  Rebuilding& rebuilding = *rebuilding_;
  const FoldStep step = rebuilding.fold->Step();
  rebuilding.entries += step.entries;
  if (step.entries > 0) rebuilding.looked_everywhere = false;
  if (first_fold_) {
    SetHealth(step.status.ok() ? step.out_of_reach : step.status);
    ShowLag(rebuilding.fold->lanes());
    events_metric_.Increment(static_cast<double>(step.events));
  }
  if (step.file_is_lost) return EndRebuild(step.status);
  // A first fold waits for no log that is away: the live file follows it when it is back.
  const bool waits = !step.out_of_reach.ok() && !step.more && !first_fold_;
  if (absl::IsUnavailable(step.status) || (step.status.ok() && waits)) {
    rebuilding.fold->AskAgain();
    queue_->PostAfter(FollowAgainAfter(++rebuilding.failures), [this] { RebuildStep(); });
    return;
  }
  if (!step.status.ok()) return EndRebuild(step.status);
  rebuilding.failures = 0;
  const absl::Duration now = parts_.scheduler.Now();
  if (rebuilding.meter.Due(now))
    rebuilding.told.Tell(rebuilding.meter.At(rebuilding.entries, now, false));
  if (!step.more && RebuildHasCaughtUp()) return FinishRebuild();
  queue_->Post([this] { RebuildStep(); });
}

// True when it is as far as the live file, or at the end of the logs (the live file may be ahead of
// a log that was cut short). Otherwise all partitions are asked again.
bool ProjectionRunner::Impl::RebuildHasCaughtUp() {
  Rebuilding& rebuilding = *rebuilding_;
  if (rebuilding.looked_everywhere) return true;
  bool behind = false;
  for (size_t i = 0; i < fold_->lanes().size(); ++i) {
    behind = behind || rebuilding.fold->lanes()[i].at.next < fold_->lanes()[i].at.next;
  }
  if (!behind) return true;
  for (Lane& lane : rebuilding.fold->lanes()) lane.more = true;
  rebuilding.looked_everywhere = true;
  return false;
}

void ProjectionRunner::Impl::FinishRebuild() {
  const bool followed = !stopped_;
  const absl::Status switched = SwitchFiles();
  if (!switched.ok()) {
    EndRebuild(switched);
    // The old file is gone, and the new one could not be opened.
    if (Passes(switched) && followed && stopped_ && !folded_anew_) FoldAnewLater(switched);
    return;
  }
  // A damaged file or a foreign checkpoint is mended by this, so following begins anew.
  stopped_ = false;
  failures_ = 0;
  first_fold_ = false;
  SetHealth(absl::OkStatus());
  FoldStep all;
  all.entries = rebuilding_->entries;
  all.more = true;
  Publish(all);
  SchedulePump();
  EndRebuild(absl::OkStatus());
}

absl::Status ProjectionRunner::Impl::SwitchFiles() {
  ABSL_RETURN_IF_ERROR(rebuilding_->fold->Settle());
  rebuilding_->fold.reset();
  const std::string rebuilt = RebuildPath(path_);
  ABSL_RETURN_IF_ERROR(RemoveDatabase(parts_.files, rebuilt));
  ABSL_RETURN_IF_ERROR(parts_.files.Rename(UnfinishedPath(path_), rebuilt));
  std::vector<eventlog::Sequence> known;
  for (const Lane& lane : fold_->lanes()) known.push_back(lane.known);
  // Interrupted anywhere, the place is empty and the rebuilt file whole, and the next start goes on
  // from there.
  const absl::Status replaced = readers_.Replace([&]() -> absl::Status {
    ABSL_RETURN_IF_ERROR(RemoveDatabase(parts_.files, path_));
    return parts_.files.Rename(rebuilt, path_);
  });
  if (!replaced.ok()) {
    // Where the old file went and the new one did not come, following makes no sense; a restart
    // takes the rebuilt file.
    stopped_ = !parts_.files.Exists(path_);
    if (stopped_) SetHealth(replaced);
    return replaced;
  }
  auto fold = ProjectionFold::Open(path_, FoldInto::kLiveFile, *model_, sources_, parts_.files);
  if (!fold.ok()) {
    stopped_ = true;
    SetHealth(fold.status());
    return fold.status();
  }
  fold_ = *std::move(fold);
  for (size_t i = 0; i < known.size(); ++i)
    fold_->lanes()[i].known = std::max(fold_->lanes()[i].known, known[i]);
  return absl::OkStatus();
}

void ProjectionRunner::Impl::EndRebuild(absl::Status status) {
  Rebuilding rebuilding = *std::move(rebuilding_);
  rebuilding_.reset();
  rebuilding.fold.reset();
  if (status.ok()) {
    rebuilding.told.Last(rebuilding.meter.At(rebuilding.entries, parts_.scheduler.Now(), true));
    return;
  }
  // The live file goes on as it was.
  RemoveDatabase(parts_.files, UnfinishedPath(path_)).IgnoreError();
  if (parts_.files.Exists(path_)) RemoveDatabase(parts_.files, RebuildPath(path_)).IgnoreError();
  if (std::exchange(first_fold_, false)) SchedulePump();
  // Unless it is damaged.
  if (Passes(status) && folded_anew_ && stopped_) FoldAnewLater(status);
  rebuilding.told.Last(status);
}

}  // namespace buurtlog::eventsourcing
