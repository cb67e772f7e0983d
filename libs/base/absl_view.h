// Debian builds Abseil for C++14, where absl::string_view is a class of its own: neither view
// converts to the other. Our interfaces take std::string_view; these two cross over where Abseil
// (StrCat, Status, Cord, lookups in maps) stands on the other side.
#pragma once

#include <string_view>

#include "absl/strings/string_view.h"

namespace buurtlog {

inline absl::string_view AbslView(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view StdView(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace buurtlog
