#include "services/visits/domain/client_facts.h"

#include <gtest/gtest.h>

namespace buurtlog::visits {
namespace {

TEST(ClientFactsTest, AnotherReplicaGetsThemWhole) {
  EXPECT_EQ(*ParseClientFacts(SerializeClientFacts(ClientFacts())), ClientFacts());
  const absl::Time then = absl::FromUnixSeconds(1'760'000'000) + absl::Nanoseconds(1);
  ClientFacts facts = {.team_id = "team",
                       .care_started_at = then,
                       .care_ended_at = then + absl::Hours(24),
                       .members = {{.person_id = "still here", .joined_at = then},
                                   {.person_id = "was here", .ended_at = then}}};
  EXPECT_EQ(*ParseClientFacts(SerializeClientFacts(facts)), facts);
}

TEST(ClientFactsTest, WhatCannotBeReadIsRefused) {
  EXPECT_EQ(ParseClientFacts("\xff").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace buurtlog::visits
