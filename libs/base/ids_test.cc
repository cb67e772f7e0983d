#include "libs/base/ids.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/time/clock.h"

namespace buurtlog {
namespace {

TEST(UuidTest, ANewIdHasVersionVariantAndTime) {
  const absl::Time now = absl::FromUnixMillis(1700000000123);
  SeededRandom random(1);
  const Uuid id = NewUuid(now + absl::Microseconds(400), random);
  EXPECT_EQ(id.Version(), 7);
  EXPECT_EQ(id.bytes[8] >> 6, 2);
  EXPECT_EQ(id.Timestamp(), now);
  EXPECT_FALSE(id.IsNil());
  EXPECT_EQ(id.ToString().substr(0, 15), "018bcfe5-687b-7");
}

TEST(UuidTest, IdsOfLaterTimesSortLater) {
  SeededRandom random(2);
  const Uuid early = NewUuid(absl::FromUnixMillis(1), random);
  const Uuid late = NewUuid(absl::FromUnixMillis(256), random);
  EXPECT_LT(early, late);
  EXPECT_LT(early.ToString(), late.ToString());
  EXPECT_LT(NewUuid(absl::FromUnixMillis(-5), random), late);
}

TEST(UuidTest, TextAndBytesAreReadBack) {
  const Uuid id = NewUuid(absl::Now(), SystemRandom());
  EXPECT_EQ(ParseUuid(id.ToString()).value(), id);
  EXPECT_EQ(UuidFromBytes(id.ToBytes()).value(), id);
  EXPECT_EQ(ParseUuid("018BCFE5-687B-7ABC-8DEF-0123456789AB").value().ToString(),
            "018bcfe5-687b-7abc-8def-0123456789ab");
  EXPECT_TRUE(UuidFromBytes("").value().IsNil());
}

TEST(UuidTest, OtherFormsAreRefused) {
  for (const char* text :
       {"", "018bcfe5687b7abc8def0123456789ab", "018bcfe5-687b-7abc-8def-0123456789a",
        "018bcfe5-687b-7abc-8def-0123456789abc", "018bcfe5-687b-7abc-8def-0123456789ag",
        "018bcfe5+687b-7abc-8def-0123456789ab", "{18bcfe5-687b-7abc-8def-0123456789a}"}) {
    EXPECT_EQ(ParseUuid(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(UuidFromBytes("123").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(UuidFromBytes(std::string(17, 'x')).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(UuidTest, ADerivedIdFollowsFromCauseAndName) {
  const Uuid cause = ParseUuid("018bcfe5-687b-7abc-8def-0123456789ab").value();
  const Uuid id = DerivedUuid(cause, "visit");
  // For ever: keys of commands already recorded are made like this.
  EXPECT_EQ(id.ToString(), "018bcfe5-687b-7545-9b7c-2c4b8fb3c14f");
  EXPECT_EQ(id.Timestamp(), cause.Timestamp());
  EXPECT_EQ(id.Version(), 7);
  EXPECT_NE(DerivedUuid(cause, "visits"), id);
  EXPECT_NE(DerivedUuid(id, "visit"), id);
}

TEST(RandomTest, TheSameSeedGivesTheSameNumbers) {
  SeededRandom random(7);
  std::array<uint8_t, 3> bytes{};
  random.Fill(absl::MakeSpan(bytes));
  std::array<uint8_t, 3> again{};
  SeededRandom(7).Fill(absl::MakeSpan(again));
  EXPECT_EQ(bytes, again);
  SeededRandom(8).Fill(absl::MakeSpan(again));
  EXPECT_NE(bytes, again);
}

TEST(RandomTest, NumbersOfTheSystemDiffer) {
  IdGenerator ids(SystemClock(), SystemRandom());
  std::set<Uuid> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(ids.New());
  EXPECT_EQ(seen.size(), 1000u);
  std::array<uint8_t, 4096> big{};
  SystemRandom().Fill(absl::MakeSpan(big));
  EXPECT_GT(std::set<uint8_t>(big.begin(), big.end()).size(), 200u);
}

TEST(RandomTest, BelowReachesEveryValueAndNoOther) {
  SeededRandom random(3);
  std::set<uint64_t> seen;
  for (int i = 0; i < 200; ++i) seen.insert(RandomBelow(random, 5));
  EXPECT_EQ(seen, (std::set<uint64_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(RandomBelow(random, 1), 0u);
  // Half of all draws are unfair here and must be repeated.
  const uint64_t below = (uint64_t{1} << 63) + 1;
  for (int i = 0; i < 100; ++i) EXPECT_LT(RandomBelow(random, below), below);
}

TEST(ClockTest, AManualClockStandsStillUntilItIsTold) {
  ManualClock clock(absl::FromUnixSeconds(10));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(10));
  clock.Advance(absl::Seconds(5));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(15));
  clock.Set(absl::FromUnixSeconds(1));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(1));
}

}  // namespace
}  // namespace buurtlog
