// Tells ThreadSanitizer what absl::Mutex and its kin do. Only compiled into builds with
// -fsanitize=thread.
//
// Debian's Abseil is not instrumented, so ThreadSanitizer does not see its locks and takes every
// guarded field for a race. The functions below have the names of Abseil's own; a program's symbols
// come before those of its libraries, so calls from our code, from gRPC and from Abseil itself
// arrive here. Each one says what it does and calls Abseil's.
//
// Conditions run while ThreadSanitizer looks away, as other threads evaluate them too: with the
// lock in Abseil's hands. The ...WithTimeout functions are not here, as Abseil's call the
// ...WithDeadline functions.

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "libs/base/check.h"

// Where this program's own code begins and ends; the linker's names.
extern "C" const char __executable_start;
extern "C" const char etext;

// What libraries without instruments do to memory (they free, they copy) is theirs to keep in
// order; ThreadSanitizer sees too little of it to judge. On Linux this holds for every memcpy and
// free, ours too.
extern "C" const char* __tsan_default_options() { return "ignore_noninstrumented_modules=1"; }

namespace {

constexpr unsigned kWrite = 0;
constexpr unsigned kRead = __tsan_mutex_read_lock;
constexpr unsigned kTry = __tsan_mutex_try_lock;
constexpr unsigned kTryFailed = __tsan_mutex_try_lock_failed;

// Abseil's own function behind the one of this file with that mangled name, `_ZN4absl7debian3` and
// `scope` before it.
template <typename Function>
Function* Abseils(const char* name, const char* scope = "_ZN4absl7debian3") {
  void* const found = dlsym(RTLD_NEXT, (std::string(scope) + name).c_str());
  CHECK(found != nullptr);  // Another release of Abseil: its mangled names go into this file.
  return reinterpret_cast<Function*>(found);
}
constexpr const char* kConst = "_ZNK4absl7debian3";

template <typename Call>
void Locking(absl::Mutex* mutex, unsigned how, Call call) {
  __tsan_mutex_pre_lock(mutex, how);
  call();
  __tsan_mutex_post_lock(mutex, how, 0);
}

template <typename Call>
bool TryLocking(absl::Mutex* mutex, unsigned how, Call call) {
  __tsan_mutex_pre_lock(mutex, how | kTry);
  const bool locked = call();
  __tsan_mutex_post_lock(mutex, how | kTry | (locked ? 0 : kTryFailed), 0);
  return locked;
}

template <typename Call>
void Unlocking(absl::Mutex* mutex, unsigned how, Call call) {
  __tsan_mutex_pre_unlock(mutex, how);
  call();
  __tsan_mutex_post_unlock(mutex, how);
}

// The lock is given up while `call` waits and is held again when it returns.
template <typename Call>
void Waiting(absl::Mutex* mutex, unsigned how, Call call) {
  Unlocking(mutex, how, call);
  Locking(mutex, how, [] {});
}

// A condition that came true was seen while ThreadSanitizer looked away; what an atomic in it says
// is learnt by looking again.
bool Seen(const absl::Condition& condition, bool holds) { return holds && condition.Eval(); }

}  // namespace

absl::Mutex::~Mutex() {
  static auto* const next = Abseils<void(Mutex*)>("5MutexD1Ev");
  const auto* const caller = static_cast<const char*>(__builtin_return_address(0));
  next(this);
  // gRPC ends its own by reference counts, which ThreadSanitizer does not see.
  if (caller < &__executable_start || caller >= &etext) return;
  __tsan_mutex_destroy(this, 0);
}

void absl::Mutex::Lock() {
  static auto* const next = Abseils<void(Mutex*)>("5Mutex4LockEv");
  Locking(this, kWrite, [this] { next(this); });
}

void absl::Mutex::Unlock() {
  static auto* const next = Abseils<void(Mutex*)>("5Mutex6UnlockEv");
  Unlocking(this, kWrite, [this] { next(this); });
}

bool absl::Mutex::TryLock() {
  static auto* const next = Abseils<bool(Mutex*)>("5Mutex7TryLockEv");
  return TryLocking(this, kWrite, [this] { return next(this); });
}

void absl::Mutex::ReaderLock() {
  static auto* const next = Abseils<void(Mutex*)>("5Mutex10ReaderLockEv");
  Locking(this, kRead, [this] { next(this); });
}

void absl::Mutex::ReaderUnlock() {
  static auto* const next = Abseils<void(Mutex*)>("5Mutex12ReaderUnlockEv");
  Unlocking(this, kRead, [this] { next(this); });
}

bool absl::Mutex::ReaderTryLock() {
  static auto* const next = Abseils<bool(Mutex*)>("5Mutex13ReaderTryLockEv");
  return TryLocking(this, kRead, [this] { return next(this); });
}

void absl::Mutex::LockWhen(const Condition& condition) {
  static auto* const next =
      Abseils<void(Mutex*, const Condition&)>("5Mutex8LockWhenERKNS0_9ConditionE");
  Locking(this, kWrite, [&] { next(this, condition); });
  Seen(condition, true);
}

bool absl::Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  static auto* const next = Abseils<bool(Mutex*, const Condition&, Time)>(
      "5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE");
  bool holds = false;
  Locking(this, kWrite, [&] { holds = next(this, condition, deadline); });
  return Seen(condition, holds);
}

void absl::Mutex::ReaderLockWhen(const Condition& condition) {
  static auto* const next =
      Abseils<void(Mutex*, const Condition&)>("5Mutex14ReaderLockWhenERKNS0_9ConditionE");
  Locking(this, kRead, [&] { next(this, condition); });
  Seen(condition, true);
}

bool absl::Mutex::ReaderLockWhenWithDeadline(const Condition& condition, Time deadline) {
  static auto* const next = Abseils<bool(Mutex*, const Condition&, Time)>(
      "5Mutex26ReaderLockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE");
  bool holds = false;
  Locking(this, kRead, [&] { holds = next(this, condition, deadline); });
  return Seen(condition, holds);
}

// Awaiting with a reader's lock is not told apart: nobody does, and ThreadSanitizer would say so.
void absl::Mutex::Await(const Condition& condition) {
  static auto* const next =
      Abseils<void(Mutex*, const Condition&)>("5Mutex5AwaitERKNS0_9ConditionE");
  Waiting(this, kWrite, [&] { next(this, condition); });
  Seen(condition, true);
}

bool absl::Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  static auto* const next = Abseils<bool(Mutex*, const Condition&, Time)>(
      "5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE");
  bool holds = false;
  Waiting(this, kWrite, [&] { holds = next(this, condition, deadline); });
  return Seen(condition, holds);
}

void absl::CondVar::Wait(Mutex* mutex) {
  static auto* const next = Abseils<void(CondVar*, Mutex*)>("7CondVar4WaitEPNS0_5MutexE");
  Waiting(mutex, kWrite, [&] { next(this, mutex); });
}

bool absl::CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  static auto* const next =
      Abseils<bool(CondVar*, Mutex*, Time)>("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
  bool late = false;
  Waiting(mutex, kWrite, [&] { late = next(this, mutex, deadline); });
  return late;
}

// HasBeenNotified is inline and reads the flag, so the flag stands for what was done before Notify.
void absl::Notification::Notify() {
  static auto* const next = Abseils<void(Notification*)>("12Notification6NotifyEv");
  __tsan_release(&notified_yet_);
  next(this);
}

void absl::Notification::WaitForNotification() const {
  static auto* const next =
      Abseils<void(const Notification*)>("12Notification19WaitForNotificationEv", kConst);
  next(this);
  static_cast<void>(HasBeenNotified());
}

bool absl::Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  static auto* const next = Abseils<bool(const Notification*, Duration)>(
      "12Notification30WaitForNotificationWithTimeoutENS0_8DurationE", kConst);
  return next(this, timeout) && HasBeenNotified();
}

bool absl::Notification::WaitForNotificationWithDeadline(Time deadline) const {
  static auto* const next = Abseils<bool(const Notification*, Time)>(
      "12Notification31WaitForNotificationWithDeadlineENS0_4TimeE", kConst);
  return next(this, deadline) && HasBeenNotified();
}

bool absl::BlockingCounter::DecrementCount() {
  static auto* const next = Abseils<bool(BlockingCounter*)>("15BlockingCounter14DecrementCountEv");
  __tsan_release(&count_);
  const bool last = next(this);
  if (last) __tsan_acquire(&count_);
  return last;
}

void absl::BlockingCounter::Wait() {
  static auto* const next = Abseils<void(BlockingCounter*)>("15BlockingCounter4WaitEv");
  next(this);
  __tsan_acquire(&count_);
}

// Also counts references where ThreadSanitizer does not look; the last one frees what the others
// have read.
void absl::Status::UnrefNonInlined(uintptr_t rep) {
  static auto* const next = Abseils<void(uintptr_t)>("6Status15UnrefNonInlinedEm");
  __tsan_release(RepToPointer(rep));
  __tsan_acquire(RepToPointer(rep));
  next(rep);
}
