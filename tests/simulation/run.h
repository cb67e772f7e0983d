// The kinds of worlds, by name: what a seed means.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tests/simulation/report.h"

namespace buurtlog::simulation {

enum class Kind { kSqlite, kMemory, kKafka, kDamage };
inline constexpr std::array<Kind, 4> kKinds = {Kind::kSqlite, Kind::kMemory, Kind::kKafka,
                                               Kind::kDamage};
std::string NameOf(Kind kind);
// INVALID_ARGUMENT for a name that is none.
absl::StatusOr<Kind> KindNamed(std::string_view name);

Report RunSeed(Kind kind, uint64_t seed);

// What a person types to see the same again.
std::string CommandFor(Kind kind, uint64_t seed);

}  // namespace buurtlog::simulation
