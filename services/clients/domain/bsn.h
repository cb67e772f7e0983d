// The citizen service number (burgerservicenummer): its form and its sum. Nothing here repeats a
// number in a message.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace buurtlog::clients {

// Which numbers may stand in this log.
enum class BsnRange {
  kAny,
  kTestOnly,  // of a synthetic log: 999900006 to 999999990, which are given to nobody
};

// The number as 9 digits; 8 digits get a leading zero. INVALID_ARGUMENT for the field `bsn` with
// the reason
//   BSN_FORM               not 8 or 9 digits
//   BSN_ZERO               000000000, which passes the sum and is nobody's
//   BSN_ELEVEN_TEST        9a+8b+7c+6d+5e+4f+3g+2h-1i is not divisible by 11
//   BSN_NOT_IN_TEST_RANGE  could be somebody's, in a log of invented people
absl::StatusOr<std::string> ParseBsn(std::string_view text, BsnRange range);

}  // namespace buurtlog::clients
