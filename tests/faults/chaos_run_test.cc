// A region on Kafka in which everything goes wrong; tools/bench/chaos is the long run.
#include "tests/faults/chaos_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/running_system.h"

namespace buurtlog::faults {
namespace {

using ::testing::IsEmpty;

ChaosResult RunChaos(ChaosOptions options) {
  const end_to_end::TemporaryFolder folder;
  options.folder = folder.path();
  options.callers = 4;
  options.fault_max = absl::Seconds(2);
  return ChaosRun(std::move(options)).Run();
}

TEST(ChaosRunTest, NothingIsLostOrDoubledWhateverFailsInARegion) {
  ChaosOptions options;
  options.faults = 14;
  options.look_every = 7;
  options.seed = 1;
  const ChaosResult result = RunChaos(options);
  EXPECT_THAT(result.violations, IsEmpty());
  EXPECT_EQ(result.faults, 14);
  EXPECT_GT(result.answered, 20u);
}

TEST(ChaosRunTest, NothingIsLostOrDoubledWhenSendsComeLateDoubledOrNotAtAll) {
  ChaosOptions options;
  options.faults = 12;
  options.look_every = 12;
  options.seed = 2;
  options.replicas = 2;
  options.kinds = {ChaosKind::kLateSend, ChaosKind::kDoubleSend, ChaosKind::kLoseSend,
                   ChaosKind::kHoldNetwork, ChaosKind::kCutNetwork};
  const ChaosResult result = RunChaos(options);
  EXPECT_THAT(result.violations, IsEmpty());
  EXPECT_EQ(result.faults, 12);
}

// It holds its connections and says nothing; what waits for it would wait as long.
TEST(ChaosRunTest, ABrokerThatHangsForLongIsGivenUp) {
  ChaosOptions options;
  options.faults = 1;
  options.look_every = 1;
  options.seed = 6;  // hits the one that leads what is written
  options.replicas = 2;
  options.brokers = 3;
  options.kinds = {ChaosKind::kPauseBroker};
  options.fault_min = absl::Seconds(30);
  options.one_at_a_time = true;
  options.rest = absl::Seconds(1);
  const ChaosResult result = RunChaos(options);
  EXPECT_THAT(result.violations, IsEmpty());
  ASSERT_EQ(result.waited.size(), 1u);
  EXPECT_LT(result.waited.begin()->second.front(), options.fault_min);
}

// OPS-04 as far as it goes without a cluster of machines: callers retry as the service config says
// (libs/rpc/caller_arguments.h), and no call fails while each replica is ended and started again.
TEST(ChaosRunTest, OPS_04_ARollingRestartFailsNoCall) {
  ChaosOptions options;
  options.faults = 3;
  options.look_every = 3;
  options.seed = 3;
  options.kinds = {ChaosKind::kEndReplica};
  options.one_at_a_time = true;
  options.rest = absl::Seconds(1);
  const ChaosResult result = RunChaos(options);
  EXPECT_THAT(result.violations, IsEmpty());
  EXPECT_EQ(result.faults, 3);
  EXPECT_EQ(result.tried_again, 0u) << result.last_failure;
  EXPECT_GT(result.answered, 100u);
}

}  // namespace
}  // namespace buurtlog::faults
