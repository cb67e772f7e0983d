// Who wants to know that a partition grew. The engines share it.
#pragma once

#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "libs/eventlog/event_log.h"

namespace buurtlog::eventlog {

// Thread-safe. Subscriptions may outlive it.
class Watchers {
 public:
  // Destroying the subscription waits for a call that is running on another thread; within the call
  // itself it does not wait.
  std::unique_ptr<Subscription> Add(absl::AnyInvocable<void(Partition)> grew);
  // Calls every watcher with each of the partitions. Holds no lock while a watcher runs.
  void Notify(const std::vector<Partition>& grown);
  bool empty();

  class Watcher;

 private:
  std::vector<std::shared_ptr<Watcher>> Living();

  absl::Mutex mutex_;
  std::vector<std::weak_ptr<Watcher>> watchers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace buurtlog::eventlog
