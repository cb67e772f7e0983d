#include "libs/rpc/call_budget.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "libs/base/random.h"
#include "libs/base/refusal.h"

namespace buurtlog::rpc {
namespace {

class CallBudgetTest : public ::testing::Test {
 protected:
  identity::Caller NurseOf(const Uuid& team) {
    identity::Caller caller;
    caller.role = access::v1::ROLE_NURSE;
    caller.person_id = NewId();
    caller.team_id = team;
    return caller;
  }
  Uuid NewId() { return NewUuid(clock_.Now(), random_); }
  // Of so many calls.
  int Taken(const identity::Caller& caller, int calls) {
    int taken = 0;
    for (int i = 0; i < calls; ++i) {
      const absl::Status status = budget_.Take(caller);
      if (status.ok()) {
        ++taken;
      } else {
        EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
        EXPECT_EQ(StatusReason(status), "TOO_MANY_CALLS");
      }
    }
    return taken;
  }

  ManualClock clock_{absl::FromUnixSeconds(1'760'000'000)};
  SeededRandom random_{1};
  CallBudget budget_{50, clock_};
  const Uuid team_ = NewId();
};

TEST_F(CallBudgetTest, ATeamThatFloodsIsSlowedDownAndTheOthersAreNot) {
  EXPECT_EQ(Taken(NurseOf(team_), 1'000), 100);
  EXPECT_EQ(Taken(NurseOf(team_), 1'000), 0) << "a colleague of the same team";
  EXPECT_EQ(Taken(NurseOf(NewId()), 100), 100);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Taken(NurseOf(team_), 1'000), 50);
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(Taken(NurseOf(team_), 1'000), 100);
}

TEST_F(CallBudgetTest, WhoHasNoTeamHasABudgetOfHisOwn) {
  const identity::Caller one = NurseOf(Uuid());
  EXPECT_EQ(Taken(one, 1'000), 100);
  EXPECT_EQ(Taken(NurseOf(Uuid()), 1'000), 100);
}

TEST_F(CallBudgetTest, ServicesAndWhoSignsInHaveNone) {
  identity::Caller service = NurseOf(team_);
  service.role = access::v1::ROLE_SERVICE;
  EXPECT_EQ(Taken(service, 1'000), 1'000);
  EXPECT_EQ(Taken(identity::Caller(), 1'000), 1'000);
}

TEST_F(CallBudgetTest, AClockThatIsSetBackTakesNothing) {
  const identity::Caller nurse = NurseOf(team_);
  EXPECT_EQ(Taken(nurse, 60), 60);
  clock_.Advance(-absl::Hours(1));
  EXPECT_EQ(Taken(nurse, 1'000), 40);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Taken(nurse, 1'000), 50);
}

TEST_F(CallBudgetTest, ManyTeamsAreRememberedOnlyWhileTheyCall) {
  const identity::Caller flooding = NurseOf(team_);
  EXPECT_EQ(Taken(flooding, 1'000), 100);
  for (int i = 0; i < 5'000; ++i) EXPECT_EQ(Taken(NurseOf(NewId()), 1), 1);
  EXPECT_EQ(budget_.size(), 5'001u);
  EXPECT_EQ(Taken(flooding, 10), 0) << "forgotten while it floods";
  size_t most = 0;
  for (int i = 0; i < 50'000; ++i) {
    clock_.Advance(absl::Milliseconds(1));
    EXPECT_EQ(Taken(NurseOf(NewId()), 1), 1);
    EXPECT_LE(Taken(flooding, 1), 1);
    most = std::max(most, budget_.size());
  }
  EXPECT_LT(most, 20'000u) << "teams that have not called for long are kept";
}

TEST_F(CallBudgetTest, ARateBelowOneCallInTwoSecondsGivesThatMany) {
  CallBudget slow(0.1, clock_);
  const identity::Caller nurse = NurseOf(team_);
  EXPECT_EQ(slow.Take(nurse), absl::OkStatus());
  EXPECT_TRUE(IsOverBudget(slow.Take(nurse)));
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(slow.Take(nurse), absl::OkStatus());
  EXPECT_TRUE(IsOverBudget(slow.Take(nurse)));
}

}  // namespace
}  // namespace buurtlog::rpc
