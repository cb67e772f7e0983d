// Nurses at work on a system that may die at any moment: each repeats her command under its key
// until she has an answer for good, and what was answered is remembered, to be asked again.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/scheduler.h"
#include "tests/faults/wishes.h"

namespace buurtlog::faults {

struct Done {
  WishPtr wish;
  size_t caller = 0;
  Answer answer;
  absl::Time begun;  // sent for the first time
  absl::Time ended;  // answered
};

// What the nurses call.
class CareTarget {
 public:
  virtual ~CareTarget() = default;
  // Where it reads who may sign in.
  virtual const std::string& people_folder() const = 0;
  // Where a service is to be called; the same over all starts. Thread-safe.
  virtual std::string AddressOf(const std::string& service) const = 0;
};

// Thread-safe, but for its making.
class CareLoad {
 public:
  // Writes the people, so before the system starts.
  CareLoad(const CareTarget& system, uint64_t seed, size_t callers,
           size_t report_characters_max = 300);
  ~CareLoad();

  // Signs everybody in, forms the team and takes a client of each nurse in. Once, while the system
  // is well.
  absl::Status Begin();
  // The callers work until Pause, which waits until none of them is calling.
  void Resume();
  void Pause();
  // Lets the callers go on for so long; back at once when something was wrong.
  void WorkFor(absl::Duration time);
  // The processes are others now: nobody waits on an old connection.
  void Reconnect() { ++generation_; }

  // Repeats, over all callers, while paused; whoever gets another answer is a violation. Each is
  // tried until it is answered or `at_most` has passed.
  void Repeat(std::vector<Done> done, absl::Duration at_most);
  // One more wish, answered within `at_most`.
  absl::Status OneMore(absl::Duration at_most);

  std::vector<Done> done() const;
  // May have happened or not.
  std::vector<WishPtr> under_way() const;
  size_t answered() const { return answered_; }
  size_t refused() const { return refused_; }
  size_t repeated() const { return repeated_; }
  size_t tried_again() const { return tried_again_; }
  absl::Status last_failure() const {
    absl::MutexLock lock(&mutex_);
    return last_failure_;
  }
  // What must never be, a sentence each.
  std::vector<std::string> violations() const;

  // A session of a nurse with the process that serves `service`.
  command::Session SessionOf(size_t caller, const std::string& service) const;
  const std::vector<std::string>& nurse_ids() const { return team_.nurse_ids; }
  const std::string& team_id() const { return team_.team_id; }

 private:
  struct CallerState;

  void Work(CallerState& caller);
  // False when the load was paused before there was an answer.
  bool SendUntilAnswered(CallerState& caller, const WishPtr& wish);
  absl::StatusOr<Answer> Send(CallerState& caller, const Wish& wish);
  void Remember(CallerState& caller, const WishPtr& wish, Answer answer, absl::Time begun);
  void RepeatOne(CallerState& caller, const Done& done, absl::Time give_up);
  // Waits a moment before another try; ends at once when there are other processes.
  void Breathe(uint64_t generation);
  void Violation(std::string sentence);

  const CareTarget& system_;
  WishMaker::Team team_;
  std::vector<std::string> tokens_;

  mutable absl::Mutex mutex_;
  bool paused_ ABSL_GUARDED_BY(mutex_) = true;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  size_t calling_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Done> done_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> violations_ ABSL_GUARDED_BY(mutex_);
  absl::Status last_failure_ ABSL_GUARDED_BY(mutex_);

  std::atomic<uint64_t> generation_ = 0;
  std::atomic<size_t> answered_ = 0;
  std::atomic<size_t> refused_ = 0;
  std::atomic<size_t> repeated_ = 0;
  std::atomic<size_t> tried_again_ = 0;

  std::unique_ptr<Scheduler> scheduler_;
  std::vector<std::unique_ptr<CallerState>> callers_;
};

}  // namespace buurtlog::faults
