#include "services/clients/domain/bsn.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <string>

#include "absl/strings/str_format.h"
#include "libs/base/refusal.h"

namespace buurtlog::clients {
namespace {

std::string ReasonFor(std::string_view text, BsnRange range = BsnRange::kAny) {
  const auto bsn = ParseBsn(text, range);
  if (bsn.ok()) return "";
  EXPECT_EQ(bsn.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(StatusField(bsn.status()), "bsn");
  return StatusReason(bsn.status()).value_or("no reason");
}

TEST(BsnTest, ANumberThatPassesTheElevenTestIsTaken) {
  EXPECT_EQ(*ParseBsn("111222333", BsnRange::kAny), "111222333");
  EXPECT_EQ(*ParseBsn("123456782", BsnRange::kAny), "123456782");
}

TEST(BsnTest, EightDigitsGetALeadingZero) {
  EXPECT_EQ(*ParseBsn("10000008", BsnRange::kAny), "010000008");
  EXPECT_EQ(*ParseBsn("010000008", BsnRange::kAny), "010000008");
}

TEST(BsnTest, WhatIsNotEightOrNineDigitsHasNotTheForm) {
  for (const char* text : {"", "1", "1234567", "1234567821", "12345678a", "123 456 782",
                           "1234.56.782", "-12345678", "+12345678", " 23456782", "١٢٣٤٥٦٧٨٢"}) {
    EXPECT_EQ(ReasonFor(text), "BSN_FORM") << text;
  }
  EXPECT_EQ(ReasonFor(std::string_view("12345678\0", 9)), "BSN_FORM");
}

TEST(BsnTest, AllZerosIsRefusedAlthoughItsSumPasses) {
  EXPECT_EQ(ReasonFor("000000000"), "BSN_ZERO");
  EXPECT_EQ(ReasonFor("00000000"), "BSN_ZERO");
  EXPECT_EQ(ReasonFor("000000000", BsnRange::kTestOnly), "BSN_ZERO");
}

TEST(BsnTest, ANumberThatFailsTheSumIsRefused) {
  EXPECT_EQ(ReasonFor("123456789"), "BSN_ELEVEN_TEST");
  // What claims write for somebody who has no number.
  EXPECT_EQ(ReasonFor("999999999"), "BSN_ELEVEN_TEST");
}

TEST(BsnTest, ASyntheticLogTakesTheTestRangeOnly) {
  EXPECT_EQ(ReasonFor("999900006", BsnRange::kTestOnly), "");
  EXPECT_EQ(ReasonFor("999999990", BsnRange::kTestOnly), "");
  EXPECT_EQ(ReasonFor("123456782", BsnRange::kTestOnly), "BSN_NOT_IN_TEST_RANGE");
  // The nearest number below the range that passes the sum.
  EXPECT_EQ(ReasonFor("999899995", BsnRange::kTestOnly), "BSN_NOT_IN_TEST_RANGE");
}

TEST(BsnTest, TheTestRangeHolds9091Numbers) {
  int numbers = 0;
  for (int number = 999'900'006; number <= 999'999'990; ++number) {
    if (ParseBsn(std::to_string(number), BsnRange::kTestOnly).ok()) ++numbers;
  }
  EXPECT_EQ(numbers, 9091);
}

RC_GTEST_PROP(BsnProperty, EightDigitsBeginOneNumberOrNone, ()) {
  const auto stem = *rc::gen::inRange(1, 100'000'000);
  std::set<std::string> taken;
  for (char last = '0'; last <= '9'; ++last) {
    const auto bsn = ParseBsn(absl::StrFormat("%08d%c", stem, last), BsnRange::kAny);
    if (bsn.ok()) taken.insert(*bsn);
  }
  RC_ASSERT(taken.size() <= 1u);
}

// One in eleven stems has no last digit, so a number is drawn until one passes.
std::string ADrawnBsn() {
  auto number = *rc::gen::inRange(1, 999'999'999);
  while (!ParseBsn(absl::StrFormat("%09d", number), BsnRange::kAny).ok()) number += 1;
  return absl::StrFormat("%09d", number);
}

RC_GTEST_PROP(BsnProperty, OneMistypedDigitIsAlwaysFound, ()) {
  std::string bsn = ADrawnBsn();
  char& digit = bsn[static_cast<size_t>(*rc::gen::inRange(0, 9))];
  const char typed = static_cast<char>('0' + (digit - '0' + *rc::gen::inRange(1, 10)) % 10);
  digit = typed;
  RC_ASSERT(!ParseBsn(bsn, BsnRange::kAny).ok());
}

RC_GTEST_PROP(BsnProperty, TwoNeighboursThatChangedPlacesAreAlwaysFound, ()) {
  std::string bsn = ADrawnBsn();
  const auto at = static_cast<size_t>(*rc::gen::inRange(0, 8));
  RC_PRE(bsn[at] != bsn[at + 1]);
  std::swap(bsn[at], bsn[at + 1]);
  RC_ASSERT(!ParseBsn(bsn, BsnRange::kAny).ok());
}

RC_GTEST_PROP(BsnProperty, NoMessageRepeatsTheNumber, (const std::string& text)) {
  RC_PRE(text.size() > 3);
  const auto bsn = ParseBsn(text, BsnRange::kTestOnly);
  RC_ASSERT(bsn.ok() ||
            bsn.status().message().find(absl::string_view(text)) == absl::string_view::npos);
}

}  // namespace
}  // namespace buurtlog::clients
