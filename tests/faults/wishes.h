// What a nurse under load wishes for: commands of all services, some of which a rule refuses, each
// made once and sent as often as it takes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "buurtlog/type/v1/command.pb.h"
#include "libs/base/ids.h"
#include "libs/base/random.h"
#include "tools/buurtlog/session.h"

namespace buurtlog::faults {

// What a caller was told for good.
struct Answer {
  bool refused = false;
  std::string text;             // the bytes of the response; or code, reason and message
  type::v1::Position position;  // of what was done
  std::string visit_id;         // of a visit that was realised
  std::string recording_id;
  std::string client_id;  // of a client who was taken in
};

struct Wish {
  std::string what;     // for people: `RecordUnplannedVisit`
  std::string service;  // who is asked
  std::string key;
  std::string client_id;
  // An error when there is no answer for good yet.
  std::function<absl::StatusOr<Answer>(const command::Session&)> send;
};
using WishPtr = std::shared_ptr<const Wish>;

// One nurse of one team. Not thread-safe.
class WishMaker {
 public:
  struct Team {
    std::string team_id;
    std::string organisation_id;
    std::vector<std::string> nurse_ids;
    size_t report_characters_max = 300;  // of a visit
  };
  // `nurse` counts from 0.
  WishMaker(const Team& team, size_t nurse, uint64_t seed)
      : team_(team), nurse_id_(team.nurse_ids[nurse]), random_(seed) {}

  // The first two, by which a load begins.
  WishPtr FormTheTeam();
  WishPtr TakeIn();
  // Anything.
  WishPtr Next();
  WishPtr Visit();
  // What later wishes build on: clients and visits that are there.
  void Learn(const Wish& wish, const Answer& answer);

 private:
  struct Realised {
    std::string visit_id;
    std::string client_id;
    std::string recording_id;
  };
  WishPtr Plan();
  WishPtr Move();
  WishPtr HandOverToTheSame();
  WishPtr FormAnother();
  WishPtr AddAgain();
  const std::string& AnyClient();
  bool Chance(uint64_t percent) { return RandomBelow(random_, 100) < percent; }

  const Team& team_;
  const std::string nurse_id_;
  SeededRandom random_;
  std::vector<std::string> clients_;
  std::vector<type::v1::Position> must_know_;  // before a visit to a client can be taken
  std::vector<Realised> realised_;
  int made_ = 0;
};

}  // namespace buurtlog::faults
