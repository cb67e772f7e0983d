// kill -9 of the real processes at moments drawn from a seed; tools/bench/kill is the long run.
#include "tests/faults/kill_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/end_to_end/running_system.h"

namespace buurtlog::faults {
namespace {

KillRunResult RunKills(Shape shape, uint64_t seed, int kills) {
  const end_to_end::TemporaryFolder folder;
  KillRunOptions options;
  options.shape = shape;
  options.seed = seed;
  options.kills = kills;
  options.callers = 4;
  options.verify_every = 100;
  options.load_max = absl::Milliseconds(400);
  options.work_folder = folder.path();
  options.data_folder = folder.path() + "/data";
  std::filesystem::create_directory(options.data_folder);
  return KillRun(options).Run();
}

TEST(KillRunTest, NothingIsLostOrDoubledWhenTheSystemIsKilledUnderLoad) {
  const KillRunResult result = RunKills(Shape::kServe, 1, 6);
  EXPECT_THAT(result.violations, ::testing::IsEmpty());
  EXPECT_EQ(result.kills, 6);
  EXPECT_GT(result.answered, 10u);
  EXPECT_GE(result.repeated, result.answered - 1);
}

TEST(KillRunTest, NothingIsLostOrDoubledWhenSingleServicesAreKilledUnderLoad) {
  const KillRunResult result = RunKills(Shape::kByService, 2, 4);
  EXPECT_THAT(result.violations, ::testing::IsEmpty());
  EXPECT_EQ(result.kills, 4);
  EXPECT_GT(result.answered, 10u);
}

}  // namespace
}  // namespace buurtlog::faults
