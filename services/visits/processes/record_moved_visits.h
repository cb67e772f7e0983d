// A visit that was withdrawn from the wrong client is recorded on the right one.
#pragma once

#include "libs/eventsourcing/process.h"

namespace buurtlog::visits {

class RecordMovedVisits final : public eventsourcing::Process {
 public:
  std::string_view name() const override { return "record_moved_visits"; }
  std::vector<std::string> services() const override { return {"visits"}; }
  std::vector<eventsourcing::Command> React(const eventsourcing::EventEnvelope& envelope,
                                            const google::protobuf::Message& event) const override;
};

}  // namespace buurtlog::visits
