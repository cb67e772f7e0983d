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

// Thread-safe. One flusher takes all that wait, writes them, syncs once, answers them.
class BareLog {
 public:
  // Both outlive it.
  BareLog(PreallocatedFile& file, Scheduler& scheduler);
  // `done` is called when the bytes are durable, from the flusher. A disk that fails ends the
  // process.
  void Append(std::string_view bytes, absl::AnyInvocable<void()> done);

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
