#include "services/clients/domain/intake_facts.h"

#include "buurtlog/clients/v1/clients_facts.pb.h"

namespace buurtlog::clients {
namespace {

v1::TeamFacts ToProto(const TeamFacts& facts) {
  v1::TeamFacts proto;
  proto.set_team_exists(facts.team_exists);
  for (const std::string& team : facts.teams_of_nurse) proto.add_teams_of_nurse(team);
  return proto;
}

TeamFacts FromProto(const v1::TeamFacts& proto) {
  return {.team_exists = proto.team_exists(),
          .teams_of_nurse = {proto.teams_of_nurse().begin(), proto.teams_of_nurse().end()}};
}

}  // namespace

std::string SerializeTeamFacts(const TeamFacts& facts) {
  return ToProto(facts).SerializeAsString();
}

absl::StatusOr<TeamFacts> ParseTeamFacts(std::string_view bytes) {
  v1::TeamFacts proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("facts: are not those of teams");
  }
  return FromProto(proto);
}

std::string SerializeIntakeFacts(const IntakeFacts& facts) {
  v1::IntakeFacts proto;
  *proto.mutable_team() = ToProto(facts.team);
  proto.set_real_bsns(facts.bsn_range == BsnRange::kAny);
  return proto.SerializeAsString();
}

absl::StatusOr<IntakeFacts> ParseIntakeFacts(std::string_view bytes) {
  v1::IntakeFacts proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("facts: are not those of an intake");
  }
  return IntakeFacts{.team = FromProto(proto.team()),
                     .bsn_range = proto.real_bsns() ? BsnRange::kAny : BsnRange::kTestOnly};
}

}  // namespace buurtlog::clients
