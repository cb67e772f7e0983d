// A log as followers of another service see it: out of reach when the test says so. Header only;
// for tests.
#pragma once

#include <memory>
#include <set>
#include <utility>

#include "libs/eventlog/event_log.h"

namespace buurtlog::eventsourcing::testing {

// `log` outlives it. Not thread-safe.
class DistantLog final : public eventlog::LogReader {
 public:
  explicit DistantLog(eventlog::LogReader& log) : log_(log) {}
  void SetOutOfReach(std::set<eventlog::Partition> partitions) {
    out_of_reach_ = std::move(partitions);
  }

  const eventlog::LogIdentity& identity() const override { return log_.identity(); }
  absl::Status Read(eventlog::Partition partition, eventlog::FoldState& at,
                    const eventlog::ReadLimits& limits,
                    absl::FunctionRef<absl::Status(const eventlog::EntryView&)> visit) override {
    if (out_of_reach_.contains(partition)) return absl::UnavailableError("out of reach");
    return log_.Read(partition, at, limits, visit);
  }
  absl::StatusOr<eventlog::FoldState> Seek(eventlog::Partition partition,
                                           eventlog::Sequence from) override {
    return log_.Seek(partition, from);
  }
  std::unique_ptr<eventlog::Subscription> Watch(
      absl::AnyInvocable<void(eventlog::Partition)> grew) override {
    return log_.Watch(std::move(grew));
  }
  absl::StatusOr<eventlog::FoldState> Head(eventlog::Partition partition) override {
    return log_.Head(partition);
  }

 private:
  eventlog::LogReader& log_;
  std::set<eventlog::Partition> out_of_reach_;
};

}  // namespace buurtlog::eventsourcing::testing
