#include "libs/base/care_day.h"

#include <gtest/gtest.h>

namespace buurtlog {
namespace {

absl::Time Utc(int year, int month, int day, int hour, int minute) {
  return absl::FromCivil(absl::CivilMinute(year, month, day, hour, minute), absl::UTCTimeZone());
}

TEST(CareDayTest, ADayBeginsAtMidnightInAmsterdam) {
  EXPECT_EQ(CareDay(Utc(2026, 1, 31, 22, 59)), absl::CivilDay(2026, 1, 31));
  EXPECT_EQ(CareDay(Utc(2026, 1, 31, 23, 0)), absl::CivilDay(2026, 2, 1));
  EXPECT_EQ(CareDay(Utc(2026, 7, 31, 21, 59)), absl::CivilDay(2026, 7, 31));
  EXPECT_EQ(CareDay(Utc(2026, 7, 31, 22, 0)), absl::CivilDay(2026, 8, 1));
}

TEST(CareDayTest, TheClockMovesOnTheLastSundaysOfMarchAndOctober) {
  EXPECT_EQ(AmsterdamTime(Utc(2026, 3, 29, 0, 59)), absl::CivilSecond(2026, 3, 29, 1, 59));
  EXPECT_EQ(AmsterdamTime(Utc(2026, 3, 29, 1, 0)), absl::CivilSecond(2026, 3, 29, 3, 0));
  EXPECT_EQ(AmsterdamTime(Utc(2026, 10, 25, 0, 59)), absl::CivilSecond(2026, 10, 25, 2, 59));
  EXPECT_EQ(AmsterdamTime(Utc(2026, 10, 25, 1, 0)), absl::CivilSecond(2026, 10, 25, 2, 0));
}

TEST(CareDayTest, ADayHas23Or25HoursWhenTheClockMoves) {
  const auto length = [](absl::CivilDay day) {
    return StartOfCareDay(day + 1) - StartOfCareDay(day);
  };
  EXPECT_EQ(length(absl::CivilDay(2026, 3, 29)), absl::Hours(23));
  EXPECT_EQ(length(absl::CivilDay(2026, 10, 25)), absl::Hours(25));
  EXPECT_EQ(length(absl::CivilDay(2026, 7, 1)), absl::Hours(24));
}

TEST(CareDayTest, AgreesWithTheTimeZoneFilesWhereThereAreAny) {
  absl::TimeZone amsterdam;
  if (!absl::LoadTimeZone("Europe/Amsterdam", &amsterdam)) return;
  for (absl::CivilDay day(1997, 1, 1); day < absl::CivilDay(2037, 1, 1); ++day) {
    ASSERT_EQ(StartOfCareDay(day), absl::FromCivil(day, amsterdam)) << day;
    ASSERT_EQ(CareDay(StartOfCareDay(day)), day);
    ASSERT_EQ(CareDay(StartOfCareDay(day) - absl::Seconds(1)), day - 1);
  }
}

TEST(CareDayTest, ReadsWhatItWrites) {
  EXPECT_EQ(CareDayText(absl::CivilDay(1943, 5, 7)), "1943-05-07");
  EXPECT_EQ(*ParseCareDay("1943-05-07"), absl::CivilDay(1943, 5, 7));
  EXPECT_EQ(*ParseCareDay("2024-02-29"), absl::CivilDay(2024, 2, 29));
}

TEST(CareDayTest, WhatIsNoDateIsInvalid) {
  for (const char* text :
       {"", "2026-1-01", "2026-02-30", "2025-02-29", "2026-13-01", "2026-00-10", "2026-01-00",
        "01-02-2026", "2026/01/02", "2026-01-02 ", "+026-01-02", "1799-12-31", "2026-01-0x"}) {
    EXPECT_EQ(ParseCareDay(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace buurtlog
