// What the rules of a visit need to know of a client.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace buurtlog::visits {

// One stay in the team; who came back has another.
struct TeamMember {
  std::string person_id;  // 36 characters, lower case
  absl::Time joined_at = absl::InfinitePast();
  absl::Time ended_at = absl::InfiniteFuture();
  friend bool operator==(const TeamMember&, const TeamMember&) = default;
};

// From the care register.
struct ClientFacts {
  std::string team_id;  // empty: there is no such client
  absl::Time care_started_at = absl::InfinitePast();
  absl::Time care_ended_at = absl::InfiniteFuture();
  std::vector<TeamMember> members;  // of the client's team, former ones included
  friend bool operator==(const ClientFacts&, const ClientFacts&) = default;
};

// For another replica: a serialized v1::ClientFacts. INVALID_ARGUMENT when it cannot be read.
std::string SerializeClientFacts(const ClientFacts& facts);
absl::StatusOr<ClientFacts> ParseClientFacts(std::string_view bytes);

}  // namespace buurtlog::visits
