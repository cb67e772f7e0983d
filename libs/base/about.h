// An error that says what it is about.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace buurtlog {

// The same error with "<what>: " before its message; reason and field stay. Not for OK.
absl::Status About(std::string_view what, const absl::Status& status);

}  // namespace buurtlog
