// Signing in while trying the system out: tokens of the built-in issuer for the invented people. A
// host gets this service under `insecure_dev` only.
#pragma once

#include <vector>

#include "libs/identity/people.h"
#include "libs/identity/tokens.h"
#include "libs/rpc/service.h"

namespace buurtlog::rpc {

// buurtlog.access.v1.SignInService. `issuer` outlives the service. `people` is kept in its order.
Service MakeSignInService(identity::DevIssuer& issuer, std::vector<identity::Person> people);

}  // namespace buurtlog::rpc
