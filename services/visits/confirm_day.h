// A confirmed day as many commands, one for each visit, and their answers as one response.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "buurtlog/visits/v1/visits_service.pb.h"
#include "libs/eventsourcing/command_executor.h"
#include "libs/rpc/service.h"
#include "services/visits/domain/visit.h"

namespace buurtlog::visits {

// INVALID_ARGUMENT naming the field for what the form rules cannot see: no such date, a visit named
// twice, an expected version for the whole.
absl::Status CheckConfirmDay(const v1::ConfirmDayRequest& request);

// The clients of the visits, in order.
std::vector<Uuid> ClientsOf(const v1::ConfirmDayRequest& request);

// One command for each visit. `facts` are those of ClientsOf. The request has passed
// CheckConfirmDay.
absl::StatusOr<std::vector<eventsourcing::Command>> CommandsFor(
    const rpc::CallContext& call, const v1::ConfirmDayRequest& request,
    const std::vector<ClientFacts>& facts);

// The answer to the whole call. UNAVAILABLE, DEADLINE_EXCEEDED or CANCELLED when that came of a
// visit: nobody knows yet what becomes of it, so there is no answer for it, and the same call
// brings the answers of all.
absl::StatusOr<v1::ConfirmDayResponse> ResponseTo(
    const v1::ConfirmDayRequest& request,
    const std::vector<absl::StatusOr<type::v1::Receipt>>& receipts);

}  // namespace buurtlog::visits
