// Who is in which team and which client is in whose care, learnt from the events of teams and
// clients. What the rules of a visit need to know of other services.
#pragma once

#include "absl/status/statusor.h"
#include "libs/base/ids.h"
#include "libs/eventsourcing/projection.h"
#include "services/visits/domain/visit.h"

namespace buurtlog::visits {

class CareRegister final : public eventsourcing::ReadModel {
 public:
  const eventsourcing::ReadModelSpec& spec() const override;
  absl::Status Apply(const eventsourcing::EventEnvelope& envelope,
                     const google::protobuf::Message& event, sqlite::Connection& rows) override;
};

// What is known of a client; facts without a team when it is nothing.
absl::StatusOr<ClientFacts> FactsOf(sqlite::Connection& rows, const Uuid& client_id);

}  // namespace buurtlog::visits
