#include "services/clients/domain/intake_facts.h"

#include <gtest/gtest.h>

namespace buurtlog::clients {
namespace {

TEST(IntakeFactsTest, AnotherReplicaGetsThemWhole) {
  const TeamFacts team = {.team_exists = true, .teams_of_nurse = {"one", "two"}};
  EXPECT_EQ(*ParseTeamFacts(SerializeTeamFacts(team)), team);
  EXPECT_EQ(*ParseTeamFacts(SerializeTeamFacts(TeamFacts())), TeamFacts());
  for (const BsnRange range : {BsnRange::kAny, BsnRange::kTestOnly}) {
    const IntakeFacts intake = {.team = team, .bsn_range = range};
    EXPECT_EQ(*ParseIntakeFacts(SerializeIntakeFacts(intake)), intake);
  }
}

TEST(IntakeFactsTest, WhatCannotBeReadIsRefused) {
  EXPECT_EQ(ParseTeamFacts("\xff").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseIntakeFacts("\xff").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace buurtlog::clients
