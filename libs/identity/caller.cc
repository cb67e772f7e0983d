#include "libs/identity/caller.h"

#include <string>

namespace buurtlog::identity {
namespace {

std::string OptionalBytes(const Uuid& id) { return id.IsNil() ? "" : id.ToBytes(); }

}  // namespace

log::v1::Actor ToActor(const Caller& caller, std::string_view access_point) {
  log::v1::Actor actor;
  actor.set_person_id(OptionalBytes(caller.person_id));
  actor.set_role(caller.role);
  actor.set_team_id(OptionalBytes(caller.team_id));
  actor.set_organisation_id(OptionalBytes(caller.organisation_id));
  actor.set_on_behalf_of(OptionalBytes(caller.on_behalf_of));
  actor.set_access_point(std::string(access_point));
  return actor;
}

}  // namespace buurtlog::identity
