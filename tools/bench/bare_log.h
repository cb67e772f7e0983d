// As little as a durable log can be: bytes in a preallocated file, one sync a batch. The limit that
// ours is measured against.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/scheduler.h"
#include "tools/bench/preallocated_file.h"

namespace buurtlog::bench {

// Something that makes bytes durable. Thread-safe.
class AppendingLog {
 public:
  virtual ~AppendingLog() = default;
  // `done` is called when the bytes are durable. A log that fails ends the process.
  virtual void Append(std::string_view bytes, absl::AnyInvocable<void()> done) = 0;
};

// Thread-safe. One flusher takes all that wait, writes them, syncs once, answers them.
class BareLog final : public AppendingLog {
 public:
  // Both outlive it.
  BareLog(PreallocatedFile& file, Scheduler& scheduler);
  // `done` is called from the flusher.
  void Append(std::string_view bytes, absl::AnyInvocable<void()> done) override;

 private:
  void Flush();

  PreallocatedFile& file_;
  absl::Mutex mutex_;
  std::string bytes_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::AnyInvocable<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
  bool flushing_ ABSL_GUARDED_BY(mutex_) = false;
  const std::unique_ptr<TaskQueue> flusher_;
};

}  // namespace buurtlog::bench
