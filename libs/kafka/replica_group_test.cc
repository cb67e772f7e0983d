// How a real Kafka shares partitions out among replicas.
#include "libs/kafka/replica_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/refusal.h"
#include "libs/kafka/kafka_topic.h"
#include "libs/kafka/testing/test_cluster.h"

namespace buurtlog::kafka {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Partitions = std::vector<eventlog::Partition>;

class ReplicaGroupTest : public ::testing::Test {
 protected:
  struct Member {
    absl::Mutex mutex;
    Partitions assigned ABSL_GUARDED_BY(mutex);
    int times ABSL_GUARDED_BY(mutex) = 0;
    std::unique_ptr<eventlog::Membership> membership;

    // Whether it has been assigned these, or will be within the time.
    bool Gets(const Partitions& expected, absl::Duration within = absl::Seconds(20)) {
      const auto is = [this, &expected]() ABSL_SHARED_LOCKS_REQUIRED(mutex) {
        return times > 0 && assigned == expected;
      };
      absl::MutexLock lock(&mutex);
      return mutex.AwaitWithTimeout(absl::Condition(&is), within);
    }
  };

  ReplicaGroupTest() : options_(NewTestRegion("visits")), scheduler_(NewThreadPoolScheduler(2)) {
    eventlog::LogIdentity identity =
        eventlog::NewLogIdentity("visits", SystemClock(), SystemRandom());
    identity.partitions = 4;
    EXPECT_TRUE(OpenTopic(options_, identity, *scheduler_).ok());
  }

  std::unique_ptr<Member> Join(const std::string& name, const Properties& more = {}) {
    auto member = std::make_unique<Member>();
    Properties properties = more;
    properties.emplace_back("bootstrap.servers", options_.brokers);
    auto joined = ReplicaGroup::Join(
        properties, TopicName(options_), name,
        [state = member.get()](const Partitions& partitions) {
          absl::MutexLock lock(&state->mutex);
          state->assigned = partitions;
          ++state->times;
        },
        *scheduler_);
    EXPECT_TRUE(joined.ok()) << joined.status();
    member->membership = *std::move(joined);
    return member;
  }

  const TopicOptions options_;
  const std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(ReplicaGroupTest, OneAloneGetsAllPartitionsAndTwoGetHalfEachByTheirNames) {
  const auto first = Join("127.0.0.1:7402");
  EXPECT_TRUE(first->Gets({0, 1, 2, 3}));
  EXPECT_TRUE(first->membership->health().ok());
  const auto second = Join("127.0.0.1:7401");
  EXPECT_TRUE(second->Gets({0, 1}));
  EXPECT_TRUE(first->Gets({2, 3}));
}

TEST_F(ReplicaGroupTest, WhoLeavesIsFollowedByTheOthers) {
  const auto first = Join("a");
  auto second = Join("b");
  ASSERT_TRUE(second->Gets({2, 3}));
  second->membership = nullptr;
  EXPECT_TRUE(first->Gets({0, 1, 2, 3}));
}

TEST_F(ReplicaGroupTest, AGivenSessionTimeIsNotUsed) {
  const auto member = Join("a", {{"session.timeout.ms", "1000"}});  // brokers would refuse it
  EXPECT_TRUE(member->Gets({0, 1, 2, 3}));
}

TEST_F(ReplicaGroupTest, AWordThatKafkaDoesNotKnowIsNamed) {
  const auto joined = ReplicaGroup::Join(
      {{"no.such.word", "1"}}, TopicName(options_), "a", [](const Partitions&) {}, *scheduler_);
  EXPECT_EQ(joined.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(joined.status().message()), ::testing::HasSubstr("no.such.word"));
}

}  // namespace
}  // namespace buurtlog::kafka
