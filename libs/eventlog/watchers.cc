#include "libs/eventlog/watchers.h"

#include <utility>

namespace buurtlog::eventlog {
namespace {

// Another for each thread.
const void* ThisThread() {
  thread_local char here = 0;
  return &here;
}

}  // namespace

class Watchers::Watcher {
 public:
  explicit Watcher(absl::AnyInvocable<void(Partition)> grew) : grew_(std::move(grew)) {}

  void Call(const std::vector<Partition>& grown) {
    for (const Partition partition : grown) {
      if (!Enter()) return;
      grew_(partition);
      Leave();
    }
  }

  void End() {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    if (calling_ && caller_ == ThisThread()) return;
    mutex_.Await(absl::Condition(
        +[](bool* calling) { return !*calling; }, &calling_));
  }

 private:
  bool Enter() {
    absl::MutexLock lock(&mutex_);
    // Two threads may notify at once; the callback still runs in one of them at a time.
    mutex_.Await(absl::Condition(
        +[](bool* calling) { return !*calling; }, &calling_));
    if (ended_) return false;
    calling_ = true;
    caller_ = ThisThread();
    return true;
  }

  void Leave() {
    absl::MutexLock lock(&mutex_);
    calling_ = false;
  }

  absl::AnyInvocable<void(Partition)> grew_;
  absl::Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool calling_ ABSL_GUARDED_BY(mutex_) = false;
  const void* caller_ ABSL_GUARDED_BY(mutex_) = nullptr;  // the thread
};

namespace {

class WatcherSubscription final : public Subscription {
 public:
  explicit WatcherSubscription(std::shared_ptr<Watchers::Watcher> watcher)
      : watcher_(std::move(watcher)) {}
  ~WatcherSubscription() override { watcher_->End(); }

 private:
  std::shared_ptr<Watchers::Watcher> watcher_;
};

}  // namespace

std::unique_ptr<Subscription> Watchers::Add(absl::AnyInvocable<void(Partition)> grew) {
  auto watcher = std::make_shared<Watcher>(std::move(grew));
  {
    absl::MutexLock lock(&mutex_);
    watchers_.push_back(watcher);
  }
  return std::make_unique<WatcherSubscription>(std::move(watcher));
}

void Watchers::Notify(const std::vector<Partition>& grown) {
  if (grown.empty()) return;
  for (const std::shared_ptr<Watcher>& watcher : Living()) watcher->Call(grown);
}

bool Watchers::empty() { return Living().empty(); }

std::vector<std::shared_ptr<Watchers::Watcher>> Watchers::Living() {
  std::vector<std::shared_ptr<Watcher>> living;
  absl::MutexLock lock(&mutex_);
  living.reserve(watchers_.size());
  for (const std::weak_ptr<Watcher>& watcher : watchers_) {
    if (std::shared_ptr<Watcher> alive = watcher.lock()) living.push_back(std::move(alive));
  }
  if (living.size() < watchers_.size()) watchers_.assign(living.begin(), living.end());
  return living;
}

}  // namespace buurtlog::eventlog
