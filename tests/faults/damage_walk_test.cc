// One damaged file in the data folder of a real system; tools/bench/damage is the long walk.
#include "tests/faults/damage_walk.h"

#include <gtest/gtest.h>

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/end_to_end/running_system.h"

namespace buurtlog::faults {
namespace {

constexpr uint64_t kSeed = 20'261'125;

class DamageWalkTest : public ::testing::Test {
 protected:
  // Not every file at every place: so many, drawn from the seed.
  void WalkFlips(size_t flips) {
    SeededRandom random(kSeed);
    for (size_t i = 0; i < flips; ++i) {
      const auto& files = walk_.files();
      Try(walk_.DrawFlip(files[RandomBelow(random, files.size())]));
    }
  }
  void Try(const Damage& damage) {
    const DamageResult result = walk_.Try(damage);
    EXPECT_NE(result.outcome, Outcome::kWrong)
        << "seed " << kSeed << ", " << NameOf(damage) << ": " << result.why;
    ++outcomes_[result.outcome];
  }

  const end_to_end::TemporaryFolder folder_;
  DamageWalk walk_{folder_.path(), kSeed};
  std::map<Outcome, int> outcomes_;
};

TEST_F(DamageWalkTest, AFlippedByteInAFolderOfAStoppedSystemShowsNothingWrong) {
  ASSERT_EQ(walk_.Prepare(DamageWalk::Ending::kStopped, 60), absl::OkStatus());
  WalkFlips(5);
}

TEST_F(DamageWalkTest, AFlippedByteInAFolderOfAKilledSystemShowsNothingWrong) {
  ASSERT_EQ(walk_.Prepare(DamageWalk::Ending::kKilled, 60), absl::OkStatus());
  WalkFlips(5);
}

TEST_F(DamageWalkTest, AFileThatWasCutOrIsGoneShowsNothingWrong) {
  ASSERT_EQ(walk_.Prepare(DamageWalk::Ending::kKilled, 60), absl::OkStatus());
  SeededRandom random(kSeed);
  static constexpr Damage::Kind kKinds[] = {Damage::Kind::kCutToNothing, Damage::Kind::kCutInHalf,
                                            Damage::Kind::kCutByOne, Damage::Kind::kRemove};
  for (const std::string& file : walk_.files()) {
    // What each service has is tried of one of them.
    if (!absl::StrContains(file, "visits/") && absl::StrContains(file, "/")) continue;
    Try({file, kKinds[RandomBelow(random, 4)]});
  }
}

}  // namespace
}  // namespace buurtlog::faults
