// Days of care: calendar days in Europe/Amsterdam. The log keeps moments in UTC; sheets, hours and
// letters speak of days.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace buurtlog {

// Summer time is worked out from the rule of the European Union (last Sunday of March to last
// Sunday of October, 01:00 UTC; in force since 1996), not from the machine's time zone files: a
// rule of care gives the same day on every machine, for ever.
absl::CivilSecond AmsterdamTime(absl::Time time);
absl::CivilDay CareDay(absl::Time time);
// The moment at which the day begins; the next day's beginning is its end. A day has 23, 24 or 25
// hours.
absl::Time StartOfCareDay(absl::CivilDay day);

// YYYY-MM-DD.
std::string CareDayText(absl::CivilDay day);
// Reads YYYY-MM-DD, years 1800 to 9999. INVALID_ARGUMENT for anything else, a 30th of February too;
// repeats nothing of the text.
absl::StatusOr<absl::CivilDay> ParseCareDay(std::string_view text);

}  // namespace buurtlog
