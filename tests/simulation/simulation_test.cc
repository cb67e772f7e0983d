// A few seeds of every kind of world; `tools/bench/simulate` runs as many as it is told.
// BUURTLOG_SEED=N runs that seed instead.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/simulation/run.h"

namespace buurtlog::simulation {
namespace {

constexpr uint64_t kSeeds = 4;

void RunSeeds(Kind kind) {
  uint64_t first = 1;
  uint64_t last = kSeeds;
  const char* const wanted = std::getenv("BUURTLOG_SEED");
  if (wanted != nullptr && absl::SimpleAtoi(wanted, &first)) last = first;
  for (uint64_t seed = first; seed <= last; ++seed) {
    const Report report = RunSeed(kind, seed);
    EXPECT_GT(report.checks, 0u);
    for (const std::string& violation : report.violations) {
      ADD_FAILURE() << violation << "\nagain: BUURTLOG_SEED=" << seed << " ./test SimulationTest\n"
                    << "or:    " << CommandFor(kind, seed);
    }
  }
}

TEST(SimulationTest, NothingIsLostOrDoubledOnTheSqliteEngineWhateverCrashes) {
  RunSeeds(Kind::kSqlite);
}

TEST(SimulationTest, NothingIsLostOrDoubledOnTheMemoryEngineWhoeverOwnsIt) {
  RunSeeds(Kind::kMemory);
}

TEST(SimulationTest, NothingIsLostOrDoubledOnTheKafkaEngineWhateverTheNetworkDoes) {
  RunSeeds(Kind::kKafka);
}

TEST(SimulationTest, AFlippedBitIsFoundWhereItStandsOrLooksLikeACrash) { RunSeeds(Kind::kDamage); }

TEST(SimulationTest, TheSameSeedDoesTheSameWhateverRanBefore) {
  for (const Kind kind : kKinds) {
    const uint64_t first = RunSeed(kind, 3).trace;
    RunSeed(Kind::kMemory, 4);
    EXPECT_EQ(RunSeed(kind, 3).trace, first) << NameOf(kind);
    EXPECT_NE(RunSeed(kind, 5).trace, first) << NameOf(kind);
  }
}

}  // namespace
}  // namespace buurtlog::simulation
