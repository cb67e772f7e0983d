#include "libs/base/refusal.h"

#include <gtest/gtest.h>

#include "libs/base/about.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"

namespace buurtlog {
namespace {

TEST(RefusalTest, ARefusalCarriesItsReason) {
  const absl::Status status = Refuse("VISIT_CANCELLED", "the visit was cancelled");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "the visit was cancelled");
  EXPECT_EQ(RefusalReason(status), "VISIT_CANCELLED");
  EXPECT_EQ(StatusReason(status), "VISIT_CANCELLED");
  EXPECT_EQ(StatusField(status), std::nullopt);
}

TEST(RefusalTest, AReasonAloneIsNotARefusal) {
  const absl::Status status =
      WithReason(absl::FailedPreconditionError("in use"), "DATA_FOLDER_IN_USE");
  EXPECT_EQ(StatusReason(status), "DATA_FOLDER_IN_USE");
  EXPECT_EQ(RefusalReason(status), std::nullopt);
}

TEST(RefusalTest, ReasonAndFieldStandBesideEachOther) {
  const absl::Status status =
      WithReason(InvalidField("members[3].person_id", "is missing"), "MEMBER_INVALID");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "members[3].person_id: is missing");
  EXPECT_EQ(StatusField(status), "members[3].person_id");
  EXPECT_EQ(StatusReason(status), "MEMBER_INVALID");
}

TEST(RefusalTest, AStatusWithoutReasonHasNone) {
  EXPECT_EQ(StatusReason(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(StatusReason(WithReason(absl::OkStatus(), "X")), std::nullopt);
  EXPECT_EQ(StatusReason(absl::AbortedError("x")), std::nullopt);
}

TEST(RefusalTest, ThePayloadsKeepTheirNames) {
  EXPECT_TRUE(Refuse("A", "").GetPayload("type.buurtlog.org/refusal").has_value());
  EXPECT_TRUE(
      WithReason(absl::AbortedError(""), "A").GetPayload("type.buurtlog.org/reason").has_value());
  EXPECT_TRUE(InvalidField("a", "").GetPayload("type.buurtlog.org/field").has_value());
}

absl::StatusOr<int> Doubled(absl::StatusOr<int> number) {
  ABSL_ASSIGN_OR_RETURN(const int value, std::move(number));
  ABSL_RETURN_IF_ERROR(value < 0 ? Refuse("NEGATIVE", "") : absl::OkStatus());
  return 2 * value;
}

TEST(StatusMacrosTest, ValuesGoOnAndErrorsReturn) {
  EXPECT_EQ(Doubled(4).value(), 8);
  EXPECT_EQ(Doubled(absl::AbortedError("")).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(RefusalReason(Doubled(-1).status()), "NEGATIVE");
}

TEST(CheckDeathTest, AFailedCheckNamesItsPlaceAndEndsTheProcess) {
  CHECK(1 + 1 == 2);
  EXPECT_DEATH(CHECK(1 + 1 == 3), "refusal_test.cc:[0-9]+: CHECK failed: 1 \\+ 1 == 3");
}

TEST(AboutTest, AnErrorSaysWhatItIsAboutAndKeepsItsReasonAndField) {
  const absl::Status status =
      About("log of visits", WithReason(InvalidField("bsn", "is wrong"), "BSN_ZERO"));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message().find("log of visits: "), 0u);
  EXPECT_EQ(StatusReason(status), "BSN_ZERO");
  EXPECT_EQ(StatusField(status), "bsn");
}

}  // namespace
}  // namespace buurtlog
