// A few seeds of every kind of world; `tools/bench/simulate` runs as many as it is told.
// BUURTLOG_SEED=N runs that seed instead.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/simulation/run.h"

namespace buurtlog::simulation {
namespace {

constexpr uint64_t kSeeds = 4;

// `more`: seeds that found something once.
void RunSeeds(Kind kind, std::vector<uint64_t> more = {}) {
  std::vector<uint64_t> seeds = std::move(more);
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) seeds.push_back(seed);
  const char* const wanted = std::getenv("BUURTLOG_SEED");
  if (uint64_t only = 0; wanted != nullptr && absl::SimpleAtoi(wanted, &only)) seeds = {only};
  for (const uint64_t seed : seeds) {
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
  RunSeeds(Kind::kKafka, {2274, 2338, 2506});
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
