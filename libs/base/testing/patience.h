// How long a test waits for what must happen. Under a sanitizer everything is slower, and this is
// the one place that gives it more time: a test says what it would wait ordinarily.
#pragma once

#include "absl/time/time.h"

namespace buurtlog {

// cmake/BuurtlogTargets.cmake says how much more.
#ifdef BUURTLOG_PATIENCE
inline constexpr int kPatience = BUURTLOG_PATIENCE;
#else
inline constexpr int kPatience = 1;
#endif

inline absl::Duration Patience(absl::Duration ordinarily) { return kPatience * ordinarily; }

}  // namespace buurtlog
