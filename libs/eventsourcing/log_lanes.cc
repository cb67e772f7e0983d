#include "libs/eventsourcing/log_lanes.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"

namespace buurtlog::eventsourcing {

absl::Duration FollowAgainAfter(int failures) {
  absl::Duration delay = kFollowAgainFirst;
  for (int i = 1; i < failures && delay < kFollowAgainLast; ++i) delay *= 2;
  return std::min(delay, kFollowAgainLast);
}

void FollowRest::Worked(absl::Duration begin) {
  const absl::Duration end = scheduler_.Now();
  const absl::Duration rest = std::min(kRestMax, kRestPerWork * (end - begin));
  until_nanos_ = absl::ToInt64Nanoseconds(end + rest);
}

absl::Duration FollowRest::left() const {
  return std::max(absl::ZeroDuration(), absl::Nanoseconds(until_nanos_.load()) - scheduler_.Now());
}

absl::StatusOr<std::vector<Lane>> MakeLanes(const std::vector<LogSource>& sources,
                                            const std::vector<std::string>& services,
                                            const CheckpointVector& checkpoints) {
  std::vector<Lane> lanes;
  for (const std::string& service : services) {
    const auto source = std::find_if(sources.begin(), sources.end(), [&](const LogSource& s) {
      return s.log->identity().service == service;
    });
    if (source == sources.end())
      return absl::InvalidArgumentError(absl::StrCat("no log of service ", service));
    const eventlog::LogIdentity& identity = source->log->identity();
    for (eventlog::Partition partition = 0; partition < identity.partitions; ++partition) {
      Lane lane;
      lane.source = *source;
      lane.service = service;
      lane.partition = partition;
      const auto checkpoint = checkpoints.find({service, partition});
      lane.at = checkpoint == checkpoints.end() ? eventlog::InitialFoldState(identity, partition)
                                                : checkpoint->second;
      lane.known = lane.at.next - 1;
      lanes.push_back(std::move(lane));
    }
  }
  return lanes;
}

void EntryBatch::Clear() {
  entries_.clear();
  bytes_.clear();
}

void EntryBatch::Add(size_t lane, const eventlog::EntryView& entry) {
  entries_.push_back({lane, entry.header, entry.hash, bytes_.size(), entry.body.size()});
  bytes_.append(entry.body);
}

eventlog::EntryView EntryBatch::view(size_t i) const {
  const Entry& entry = entries_[i];
  eventlog::EntryView view;
  view.header = entry.header;
  view.hash = entry.hash;
  view.body = std::string_view(bytes_).substr(entry.offset, entry.size);
  return view;
}

eventlog::FoldState EntryBatch::After(size_t i) const {
  const Entry& entry = entries_[i];
  eventlog::FoldState state;
  state.epoch = entry.header.epoch;
  state.next = entry.header.sequence + 1;
  state.head_hash = entry.hash;
  return state;
}

LaneRead ReadLane(Lane& lane, size_t index, eventlog::FoldState& from,
                  const eventlog::ReadLimits& limits, EntryBatch& batch) {
  LaneRead read;
  eventlog::ReadLimits clipped = limits;
  const uint64_t left = lane.stop >= from.next ? lane.stop - from.next + 1 : 0;
  if (left < clipped.entries_max) clipped.entries_max = static_cast<size_t>(left);
  if (clipped.entries_max > 0) {
    read.status =
        lane.source.log->Read(lane.partition, from, clipped, [&](const eventlog::EntryView& entry) {
          batch.Add(index, entry);
          ++read.entries;
          return absl::OkStatus();
        });
  }
  // The log's message names partition and sequence, but not whose log it is.
  if (!read.status.ok()) {
    read.status =
        absl::Status(read.status.code(), absl::StrCat(lane.service, " ", read.status.message()));
  }
  if (read.status.ok() && read.entries == 0) lane.more = false;
  lane.known = std::max(lane.known, from.next - 1);
  return read;
}

absl::Status ReadOne(const Lane& lane, eventlog::Sequence sequence, EntryBatch& batch) {
  batch.Clear();
  ABSL_ASSIGN_OR_RETURN(eventlog::FoldState at, lane.source.log->Seek(lane.partition, sequence));
  eventlog::ReadLimits one;
  one.entries_max = 1;
  ABSL_RETURN_IF_ERROR(
      lane.source.log->Read(lane.partition, at, one, [&](const eventlog::EntryView& entry) {
        batch.Add(0, entry);
        return absl::OkStatus();
      }));
  if (batch.size() == 1 && batch.view(0).header.sequence == sequence) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(lane.service, " partition ", lane.partition, " has no entry ", sequence));
}

void GrowthSignal::Raise(size_t lane) {
  {
    absl::MutexLock lock(&mutex_);
    const bool first = grown_.empty();
    if (std::find(grown_.begin(), grown_.end(), lane) == grown_.end()) grown_.push_back(lane);
    if (!first) return;
  }
  wake_();
}

std::vector<size_t> GrowthSignal::Take() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(grown_, {});
}

std::vector<std::unique_ptr<eventlog::Subscription>> WatchLanes(const std::vector<Lane>& lanes,
                                                                GrowthSignal& signal) {
  std::vector<std::unique_ptr<eventlog::Subscription>> subscriptions;
  for (size_t first = 0; first < lanes.size();) {
    // The lanes of one log stand together, in order of partition.
    const size_t partitions = lanes[first].source.log->identity().partitions;
    subscriptions.push_back(
        lanes[first].source.log->Watch([&signal, first, partitions](eventlog::Partition partition) {
          if (partition < partitions) signal.Raise(first + partition);
        }));
    first += partitions;
  }
  return subscriptions;
}

}  // namespace buurtlog::eventsourcing
