// What a simulated run did and found.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace buurtlog::simulation {

enum class Engine { kMemory, kSqlite, kKafka };

struct Report {
  uint64_t commands = 0;  // handed to an executor, repeats and those of the process included
  uint64_t answers = 0;
  uint64_t handed = 0;                // commands, from one replica to another
  uint64_t records = 0;               // that count in the end
  uint64_t queries = 0;               // of read models and states, with the positions to wait for
  uint64_t crashes = 0;               // of a machine, at whatever moment
  uint64_t crashes_in_operation = 0;  // of these, in the middle of what the disk was doing
  std::array<uint64_t, 4> after_crash{};  // of these, by what was left of what was not synced
  uint64_t stops = 0;                     // clean ends of a machine
  uint64_t starts_failed = 0;             // because of a fault, and tried again
  uint64_t faults = 0;                    // injected: log, disk, clock, files removed
  uint64_t flips = 0;                     // of one bit of a file
  uint64_t flips_found = 0;               // of these, answered with DATA_LOSS
  uint64_t checks = 0;                    // of everything that must hold
  uint64_t trace = 0;                     // equal where two runs did the same
  std::vector<std::string> violations;

  void Add(const Report& other) {
    commands += other.commands;
    answers += other.answers;
    handed += other.handed;
    records += other.records;
    queries += other.queries;
    crashes += other.crashes;
    crashes_in_operation += other.crashes_in_operation;
    for (size_t i = 0; i < after_crash.size(); ++i) after_crash[i] += other.after_crash[i];
    stops += other.stops;
    starts_failed += other.starts_failed;
    faults += other.faults;
    flips += other.flips;
    flips_found += other.flips_found;
    checks += other.checks;
    violations.insert(violations.end(), other.violations.begin(), other.violations.end());
  }
};

}  // namespace buurtlog::simulation
