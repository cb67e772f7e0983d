#include "libs/base/care_day.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"

namespace buurtlog {
namespace {

constexpr int kYearMin = 1800;

absl::Time LastSunday(absl::civil_year_t year, int month) {
  const absl::CivilDay last = absl::CivilDay(year, month + 1, 1) - 1;
  const absl::CivilDay sunday = absl::GetWeekday(last) == absl::Weekday::sunday
                                    ? last
                                    : absl::PrevWeekday(last, absl::Weekday::sunday);
  return absl::FromCivil(sunday, absl::UTCTimeZone()) + absl::Hours(1);
}

int Number(std::string_view digits) {
  int number = 0;
  for (char digit : digits) number = number * 10 + (digit - '0');
  return number;
}

absl::Duration Offset(absl::Time time) {
  constexpr int kMarch = 3;
  constexpr int kOctober = 10;
  const absl::civil_year_t year = absl::ToCivilYear(time, absl::UTCTimeZone()).year();
  const bool summer = time >= LastSunday(year, kMarch) && time < LastSunday(year, kOctober);
  return absl::Hours(summer ? 2 : 1);
}

}  // namespace

absl::CivilSecond AmsterdamTime(absl::Time time) {
  return absl::ToCivilSecond(time + Offset(time), absl::UTCTimeZone());
}

absl::CivilDay CareDay(absl::Time time) { return absl::CivilDay(AmsterdamTime(time)); }

absl::Time StartOfCareDay(absl::CivilDay day) {
  // The clock is never moved between 22:00 and 00:59 UTC, so both candidates have the same offset.
  const absl::Time winter = absl::FromCivil(day, absl::UTCTimeZone()) - absl::Hours(1);
  return winter + absl::Hours(1) - Offset(winter);
}

std::string CareDayText(absl::CivilDay day) {
  return absl::StrFormat("%04d-%02d-%02d", day.year(), day.month(), day.day());
}

absl::StatusOr<absl::CivilDay> ParseCareDay(std::string_view text) {
  const absl::Status malformed = absl::InvalidArgumentError("is not a date YYYY-MM-DD");
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return malformed;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i != 4 && i != 7 && !absl::ascii_isdigit(static_cast<unsigned char>(text[i]))) {
      return malformed;
    }
  }
  const int year = Number(text.substr(0, 4));
  const int month = Number(text.substr(5, 2));
  const int day = Number(text.substr(8, 2));
  const absl::CivilDay parsed(year, month, day);
  // A day that does not exist was moved to one that does.
  if (year < kYearMin || parsed.month() != month || parsed.day() != day) return malformed;
  return parsed;
}

}  // namespace buurtlog
