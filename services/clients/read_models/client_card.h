// The card of a client: who she is, who is responsible, whom to call, what she wants.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "buurtlog/clients/v1/clients_service.pb.h"
#include "libs/eventsourcing/projection.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::clients {

inline constexpr uint32_t kClientsPerPageDefault = 100;
inline constexpr uint32_t kClientsPerPageMax = 500;

class ClientCard final : public eventsourcing::ReadModel {
 public:
  const eventsourcing::ReadModelSpec& spec() const override;
  absl::Status Apply(const eventsourcing::EventEnvelope& envelope,
                     const google::protobuf::Message& event, sqlite::Connection& rows) override;

  // NOT_FOUND when there is no such client. Ids are in lower case.
  static absl::StatusOr<v1::Client> Find(sqlite::Connection& rows, const std::string& client_id);

  struct PageRequest {
    std::string team_id;
    std::string after_client_id;  // empty: from the first
    bool include_ended = false;
    uint32_t size = kClientsPerPageDefault;
  };
  // In the order of their ids, at most kClientsPerPageMax.
  static absl::StatusOr<v1::ListClientsOfTeamResponse> List(sqlite::Connection& rows,
                                                            const PageRequest& page);
};

}  // namespace buurtlog::clients
