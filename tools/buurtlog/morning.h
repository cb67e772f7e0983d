// A morning as it is played: who works, which visits, and what happens with each.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "buurtlog/access/v1/people.pb.h"
#include "buurtlog/visits/v1/visits_service.grpc.pb.h"
#include "tools/buurtlog/session.h"

namespace buurtlog::command {

// What a played morning came to.
struct MorningResult {
  absl::CivilDay day;
  uint64_t teams = 0;
  uint64_t nurses = 0;    // who work that morning
  uint64_t commands = 0;  // calls that write, repeats included
  uint64_t visits_recorded = 0;
  uint64_t late_receipts = 0;       // of the phones that came late
  uint64_t repeats_recognised = 0;  // answers that were the same as at the first time
  uint64_t corrections = 0;
  uint64_t unplanned = 0;
  std::string first_team;      // name of the team whose hours are told
  int64_t minutes_before = 0;  // its hours that day
  int64_t minutes_after = 0;
  absl::Duration took;
  absl::Duration median;  // of a command
  absl::Duration slowest_of_hundred;
  std::string next_nurse;  // name of somebody whose day is left to confirm
};

struct MorningOptions {
  std::string address;
  absl::Duration timeout = absl::Seconds(10);
  absl::Time now;
  // Called from any thread after each nurse: visits recorded so far, nurses done, nurses in all.
  std::function<void(uint64_t visits, uint64_t done, uint64_t nurses)> progress;
};

// FAILED_PRECONDITION with reason NO_NURSES when nobody can be signed in, ALREADY_PLAYED when
// nothing of that morning is left.
absl::StatusOr<MorningResult> PlayMorning(const MorningOptions& options);

}  // namespace buurtlog::command
