// The register of teams as the clients service knows it: which there are and who is in them, learnt
// from the events of teams only.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "libs/eventsourcing/projection.h"
#include "libs/sqlite/sqlite.h"
#include "services/clients/domain/client.h"

namespace buurtlog::clients {

class TeamRegister final : public eventsourcing::ReadModel {
 public:
  const eventsourcing::ReadModelSpec& spec() const override;
  absl::Status Apply(const eventsourcing::EventEnvelope& envelope,
                     const google::protobuf::Message& event, sqlite::Connection& rows) override;

  struct Question {
    std::string team_id;  // empty: none is meant
    std::string nurse_id;
  };
  // Ids are in lower case.
  static absl::StatusOr<TeamFacts> Facts(sqlite::Connection& rows, const Question& question);
};

}  // namespace buurtlog::clients
