#include "services/visits/confirm_day.h"

#include <gtest/gtest.h>

#include <vector>

#include "libs/base/refusal.h"

namespace buurtlog::visits {
namespace {

using Receipts = std::vector<absl::StatusOr<type::v1::Receipt>>;

v1::ConfirmDayRequest TwoVisits() {
  v1::ConfirmDayRequest request;
  request.mutable_header()->set_idempotency_key("018f0000-0000-7000-8000-000000000001");
  request.add_visits()->set_visit_id("018f0000-0000-7000-8000-000000000002");
  request.add_visits()->set_visit_id("018f0000-0000-7000-8000-000000000003");
  return request;
}

TEST(ConfirmDayTest, AVisitThatIsRefusedHasItsOwnAnswer) {
  const absl::Status refused = Refuse("VISIT_CANCELLED", "the visit was cancelled");
  const auto response = ResponseTo(TwoVisits(), Receipts{type::v1::Receipt(), refused});
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_EQ(response->visits_size(), 2);
  EXPECT_TRUE(response->visits(0).result().has_receipt());
  EXPECT_EQ(response->visits(1).result().error().reason(), "VISIT_CANCELLED");
}

// "It did not take effect" would be a guess.
TEST(ConfirmDayTest, TheCallIsToBeRepeatedWhileAVisitsOutcomeIsUnknown) {
  for (const absl::Status& unknown :
       {absl::UnavailableError("the log is out of reach"), absl::DeadlineExceededError("too late"),
        absl::CancelledError("the caller went away")}) {
    const auto response = ResponseTo(TwoVisits(), Receipts{type::v1::Receipt(), unknown});
    EXPECT_EQ(response.status(), unknown);
  }
}

}  // namespace
}  // namespace buurtlog::visits
