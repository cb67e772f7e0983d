// The synthetic region: organisations, teams, nurses, clients with test-range BSNs, and years of
// history, made from a seed by running commands through the deciders of the services under a
// historical clock. Everything runs on one seeded scheduler, so that the same options give the same
// logs, byte for byte, on every machine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace buurtlog::region {

inline constexpr int kTeamsMax = 2'000;
inline constexpr double kYearsMax = 20;
// BSNs of the test range that pass the 11-test; a region with more clients uses them again.
inline constexpr size_t kTestBsns = 9'091;
// Visits are planned this many days ahead of `today`.
inline constexpr int kDaysAhead = 6;

struct RegionProgress {
  absl::CivilDay day;
  int days_done = 0;
  int days = 0;
  uint64_t records = 0;
};

struct RegionOptions {
  std::string data_folder;
  int teams = 4;     // 1 to kTeamsMax
  double years = 1;  // more than 0, to kYearsMax
  uint64_t seed = 1;
  absl::CivilDay today;  // history ends the evening before yesterday; yesterday, today and
                         // kDaysAhead days are planned
  std::function<void(const RegionProgress&)> progress;
};

struct RegionResult {
  uint64_t organisations = 0;
  uint64_t teams = 0;
  uint64_t nurses = 0;
  uint64_t clients = 0;
  uint64_t visits = 0;
  uint64_t commands = 0;
};

// ALREADY_EXISTS when the data folder holds a region, a part of one, or logs.
absl::StatusOr<RegionResult> MakeRegion(const RegionOptions& options);

// True when the folder holds a part of a region, whose making was interrupted: it has a file
// `region.unfinished`.
bool IsUnfinished(const std::string& data_folder);

}  // namespace buurtlog::region
