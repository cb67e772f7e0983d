#include "tests/simulation/run.h"

#include "absl/strings/str_cat.h"
#include "libs/base/absl_view.h"
#include "tests/simulation/damage.h"
#include "tests/simulation/world.h"

namespace buurtlog::simulation {
namespace {

constexpr uint64_t kFlips = 60;
// Several machines do more between two crashes.
constexpr uint64_t kCrashesOfRegion = 15;

}  // namespace

std::string NameOf(Kind kind) {
  switch (kind) {
    case Kind::kSqlite: return "sqlite";
    case Kind::kMemory: return "memory";
    case Kind::kKafka: return "kafka";
    case Kind::kDamage: return "damage";
  }
  return "";
}

absl::StatusOr<Kind> KindNamed(std::string_view name) {
  for (const Kind kind : kKinds) {
    if (NameOf(kind) == name) return kind;
  }
  return absl::InvalidArgumentError(absl::StrCat("no kind of world is called ", AbslView(name)));
}

Report RunSeed(Kind kind, uint64_t seed) {
  WorldOptions options;
  options.seed = seed;
  if (kind == Kind::kKafka) options.crashes = kCrashesOfRegion;
  options.engine = kind == Kind::kMemory  ? Engine::kMemory
                   : kind == Kind::kKafka ? Engine::kKafka
                                          : Engine::kSqlite;
  return kind == Kind::kDamage ? RunDamage(seed, kFlips) : RunWorld(options);
}

std::string CommandFor(Kind kind, uint64_t seed) {
  return absl::StrCat("tools/bench/simulate --kind ", NameOf(kind), " --seed ", seed);
}

}  // namespace buurtlog::simulation
