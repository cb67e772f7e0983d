#include "libs/rpc/status_conversion.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <gtest/gtest.h>

#include "libs/base/refusal.h"

namespace buurtlog::rpc {
namespace {

TEST(StatusConversionTest, EveryCodeComesBack) {
  for (int code = 0; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), code == 0 ? "" : "a message");
    const grpc::Status there = ToGrpc(status);
    EXPECT_EQ(static_cast<int>(there.error_code()), code);
    EXPECT_EQ(FromGrpc(there), status);
  }
}

TEST(StatusConversionTest, EveryCodeComesBackWithItsReason) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status =
        WithReason(absl::Status(static_cast<absl::StatusCode>(code), "a message"), "SOME_REASON");
    EXPECT_EQ(FromGrpc(ToGrpc(status)), status);
    EXPECT_EQ(StatusReason(FromGrpc(ToGrpc(status))), "SOME_REASON");
  }
}

TEST(StatusConversionTest, ARefusalComesBackAsARefusal) {
  const absl::Status status = Refuse("TEAM_FULL", "the team has twelve members");
  EXPECT_EQ(FromGrpc(ToGrpc(status)), status);
  EXPECT_EQ(RefusalReason(FromGrpc(ToGrpc(status))), "TEAM_FULL");
}

TEST(StatusConversionTest, AReasonOfTheMachineryIsNoRefusal) {
  const absl::Status status =
      WithReason(absl::FailedPreconditionError("in use"), "DATA_FOLDER_IN_USE");
  EXPECT_EQ(RefusalReason(FromGrpc(ToGrpc(status))), std::nullopt);
}

TEST(StatusConversionTest, AFieldComesBack) {
  const absl::Status status = InvalidField("members[3].person_id", "is not a UUID");
  EXPECT_EQ(FromGrpc(ToGrpc(status)), status);
  EXPECT_EQ(StatusField(FromGrpc(ToGrpc(status))), "members[3].person_id");
}

TEST(StatusConversionTest, AFieldAndAReasonComeBackTogether) {
  const absl::Status status = WithReason(InvalidField("bsn", "fails the 11-test"), "BSN_INVALID");
  EXPECT_EQ(FromGrpc(ToGrpc(status)), status);
}

TEST(StatusConversionTest, OthersCanReadTheDetails) {
  const grpc::Status status = ToGrpc(Refuse("TEAM_FULL", "the team has twelve members"));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(details.message(), "the team has twelve members");
  google::rpc::ErrorInfo info;
  ASSERT_EQ(details.details_size(), 1);
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "TEAM_FULL");
  EXPECT_EQ(info.domain(), "buurtlog");

  ASSERT_TRUE(details.ParseFromString(ToGrpc(InvalidField("a.b", "is bad")).error_details()));
  google::rpc::BadRequest request;
  ASSERT_EQ(details.details_size(), 1);
  ASSERT_TRUE(details.details(0).UnpackTo(&request));
  ASSERT_EQ(request.field_violations_size(), 1);
  EXPECT_EQ(request.field_violations(0).field(), "a.b");
  EXPECT_EQ(request.field_violations(0).description(), "is bad");
}

TEST(StatusConversionTest, WhatOthersSendIsTakenAsFarAsItIsKnown) {
  // The first number that is no code; the enumeration has no room for much larger ones.
  EXPECT_EQ(FromGrpc(grpc::Status(static_cast<grpc::StatusCode>(17), "odd")).code(),
            absl::StatusCode::kUnknown);
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "lost", "no details")),
            absl::AbortedError("lost"));
  google::rpc::ErrorInfo info;
  info.set_reason("THEIRS");
  info.set_domain("elsewhere.example");
  google::rpc::Status details;
  details.add_details()->PackFrom(info);
  const grpc::Status status(grpc::StatusCode::ABORTED, "lost", details.SerializeAsString());
  EXPECT_EQ(StatusReason(FromGrpc(status)), std::nullopt);
}

}  // namespace
}  // namespace buurtlog::rpc
