// The people of the synthetic region and what they do, day after day. Private to libs of this
// folder.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/time/civil_time.h"
#include "libs/base/clock.h"
#include "libs/base/random.h"
#include "libs/eventsourcing/command_executor.h"
#include "libs/identity/people.h"
#include "services/visits/domain/visit.h"
#include "tools/region/region_maker.h"

namespace buurtlog::region {

struct Nurse {
  Uuid id;
  std::string name;
  identity::Caller caller;
};

struct Team {
  Uuid id;
  Uuid organisation_id;
  std::string name;
  std::vector<Nurse> nurses;
  std::vector<size_t> clients;                       // in care, by index
  std::shared_ptr<const visits::ClientFacts> facts;  // of any client in care
};

struct Client {
  Uuid id;
  size_t team = 0;
  size_t responsible_nurse = 0;
  uint8_t weekdays = 0;   // bit 0 is Monday
  int starts_minute = 0;  // of the day
  uint32_t duration_minutes = 30;
  bool leaving = false;  // nothing is planned any more; care ends behind the last planned visit
};

struct PlannedVisit {
  Uuid id;
  size_t client = 0;
  size_t nurse = 0;  // of the client's team
  absl::Time starts_at;
  uint32_t duration_minutes = 0;
};

// Commands of one moment, for the service they belong to.
using Commands = std::vector<eventsourcing::Command>;

// Draws what happens; the maker runs it. Same seed, same history.
class History {
 public:
  History(const RegionOptions& options, ManualClock& clock, Random& random);

  Commands FormTeams();
  // Clients who come on this day: a full list on the first day, later about one in 150 a day, with
  // as many leaving.
  Commands ClientsComing(bool first_day);
  Commands ClientsLeaving();
  // Plans every visit of `day`.
  Commands PlanVisits(absl::CivilDay day);
  // What became of the oldest planned day, as of the evening of that day.
  Commands RecordVisits(absl::CivilDay day);
  Commands CorrectVisits();

  std::vector<identity::Person> People() const;
  const RegionResult& result() const { return result_; }

 private:
  struct Recorded {
    PlannedVisit visit;
    Uuid key;
  };
  Uuid NewId() { return NewUuid(clock_.Now(), random_); }
  std::string NurseName();
  bool OneIn(uint64_t many) { return RandomBelow(random_, many) == 0; }
  template <typename Request, typename Facts>
  void Add(Commands& commands, const eventsourcing::AggregateType& type, const Uuid& partition_key,
           const Uuid& stream_id, const Nurse& nurse, const Uuid& key, const Request& request,
           Facts facts);
  bool HasPlans(size_t client) const;
  void TakeIn(size_t team, Commands& commands);
  void RecordOne(const PlannedVisit& visit, absl::CivilDay day, Commands& commands);

  const RegionOptions& options_;
  ManualClock& clock_;
  Random& random_;
  std::vector<Uuid> organisations_;
  std::vector<Team> teams_;
  std::vector<Client> clients_;
  std::deque<std::pair<absl::CivilDay, std::vector<PlannedVisit>>> planned_;
  std::vector<Recorded> recorded_;  // of the last recorded day, some
  std::vector<std::string> bsns_;
  absl::flat_hash_set<std::string> nurse_names_;
  RegionResult result_;
};

}  // namespace buurtlog::region
