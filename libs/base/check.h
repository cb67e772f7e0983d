// CHECK and DCHECK: what must be true for our own code to be right. A failed check ends the process
// at once, because a process that continues on a false assumption may write a wrong fact;
// restarted, it replays the log. What the world may get wrong is an absl::Status instead.
#pragma once

namespace buurtlog {

// Prints `file:line: CHECK failed: condition` to stderr and aborts. Never called directly.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace buurtlog

#define CHECK(condition)                               \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::buurtlog::CheckFailed(__FILE__, __LINE__, #condition))

#ifdef NDEBUG
#define DCHECK(condition) (static_cast<void>(sizeof(static_cast<bool>(condition))))
#else
#define DCHECK(condition) CHECK(condition)
#endif
