#include "services/visits/domain/client_facts.h"

#include <utility>

#include "buurtlog/visits/v1/visits_facts.pb.h"

namespace buurtlog::visits {
namespace {

using google::protobuf::Timestamp;

// Nanoseconds are kept: both replicas decide on the same.
void SetTime(absl::Time time, Timestamp& proto) {
  const timespec parts = absl::ToTimespec(time);
  proto.set_seconds(parts.tv_sec);
  proto.set_nanos(static_cast<int32_t>(parts.tv_nsec));
}

absl::Time TimeOf(const Timestamp& proto) {
  return absl::FromUnixSeconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

}  // namespace

std::string SerializeClientFacts(const ClientFacts& facts) {
  v1::ClientFacts proto;
  proto.set_team_id(facts.team_id);
  if (facts.care_started_at != absl::InfinitePast())
    SetTime(facts.care_started_at, *proto.mutable_care_started_at());
  if (facts.care_ended_at != absl::InfiniteFuture())
    SetTime(facts.care_ended_at, *proto.mutable_care_ended_at());
  for (const TeamMember& member : facts.members) {
    v1::MembershipFacts& stay = *proto.add_members();
    stay.set_person_id(member.person_id);
    if (member.joined_at != absl::InfinitePast())
      SetTime(member.joined_at, *stay.mutable_joined_at());
    if (member.ended_at != absl::InfiniteFuture())
      SetTime(member.ended_at, *stay.mutable_ended_at());
  }
  return proto.SerializeAsString();
}

absl::StatusOr<ClientFacts> ParseClientFacts(std::string_view bytes) {
  v1::ClientFacts proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("facts: are not those of a client");
  }
  ClientFacts facts;
  facts.team_id = proto.team_id();
  if (proto.has_care_started_at()) facts.care_started_at = TimeOf(proto.care_started_at());
  if (proto.has_care_ended_at()) facts.care_ended_at = TimeOf(proto.care_ended_at());
  for (const v1::MembershipFacts& stay : proto.members()) {
    TeamMember& member = facts.members.emplace_back();
    member.person_id = stay.person_id();
    if (stay.has_joined_at()) member.joined_at = TimeOf(stay.joined_at());
    if (stay.has_ended_at()) member.ended_at = TimeOf(stay.ended_at());
  }
  return facts;
}

}  // namespace buurtlog::visits
