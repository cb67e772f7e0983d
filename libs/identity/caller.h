// Who is calling, as the bearer token said.
#pragma once

#include "buurtlog/access/v1/options.pb.h"
#include "buurtlog/log/v1/record.pb.h"
#include "libs/base/ids.h"

namespace buurtlog::identity {

struct Caller {
  Uuid person_id;  // nil for a system
  access::v1::Role role = access::v1::ROLE_UNSPECIFIED;
  Uuid team_id;          // nil for none
  Uuid organisation_id;  // nil for none
  Uuid on_behalf_of;     // nil for none
  friend bool operator==(const Caller&, const Caller&) = default;
};

// The actor that goes into records.
log::v1::Actor ToActor(const Caller& caller, std::string_view access_point);

}  // namespace buurtlog::identity
