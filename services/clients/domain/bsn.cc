#include "services/clients/domain/bsn.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "libs/base/refusal.h"

namespace buurtlog::clients {
namespace {

constexpr size_t kDigits = 9;
constexpr std::string_view kTestFirst = "999900006";
constexpr std::string_view kTestLast = "999999990";

absl::Status Invalid(std::string_view reason, std::string_view message) {
  return WithReason(InvalidField("bsn", message), reason);
}

bool PassesElevenTest(std::string_view digits) {
  int sum = 0;
  for (size_t i = 0; i < kDigits; ++i) {
    const int weight = i + 1 == kDigits ? -1 : static_cast<int>(kDigits - i);
    sum += weight * (digits[i] - '0');
  }
  return sum % 11 == 0;
}

}  // namespace

absl::StatusOr<std::string> ParseBsn(std::string_view text, BsnRange range) {
  const bool all_digits =
      std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isdigit(c); });
  if (!all_digits || text.size() < kDigits - 1 || text.size() > kDigits) {
    return Invalid("BSN_FORM", "is not a number of 9 digits");
  }
  std::string digits(kDigits - text.size(), '0');
  digits += text;
  if (digits.find_first_not_of('0') == std::string::npos) {
    return Invalid("BSN_ZERO", "is all zeros, which is nobody's number");
  }
  if (!PassesElevenTest(digits)) {
    return Invalid("BSN_ELEVEN_TEST", "does not pass the 11-test: a digit was mistyped");
  }
  // Text of one length compares like the numbers.
  if (range == BsnRange::kTestOnly && (digits < kTestFirst || digits > kTestLast)) {
    return Invalid("BSN_NOT_IN_TEST_RANGE",
                   "is outside 999900006 to 999999990: this log takes invented people only");
  }
  return digits;
}

}  // namespace buurtlog::clients
