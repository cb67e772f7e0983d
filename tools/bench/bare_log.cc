#include "tools/bench/bare_log.h"

#include <utility>

#include "libs/base/check.h"

namespace buurtlog::bench {

BareLog::BareLog(PreallocatedFile& file, Scheduler& scheduler)
    : file_(file), flusher_(scheduler.NewQueue("flusher", QueueKind::kBlocking)) {}

void BareLog::Append(std::string_view bytes, absl::AnyInvocable<void()> done) {
  {
    absl::MutexLock lock(&mutex_);
    bytes_.append(bytes);
    waiting_.push_back(std::move(done));
    if (std::exchange(flushing_, true)) return;
  }
  flusher_->Post([this] { Flush(); });
}

void BareLog::Flush() {
  std::string bytes;
  std::vector<absl::AnyInvocable<void()>> answered;
  while (true) {
    bytes.clear();
    answered.clear();
    {
      absl::MutexLock lock(&mutex_);
      if (waiting_.empty()) {
        flushing_ = false;
        return;
      }
      bytes.swap(bytes_);
      answered.swap(waiting_);
    }
    CHECK(file_.Append(bytes).ok());
    CHECK(file_.Sync().ok());
    for (absl::AnyInvocable<void()>& done : answered) done();
  }
}

}  // namespace buurtlog::bench
