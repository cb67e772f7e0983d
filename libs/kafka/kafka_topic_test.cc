// How a topic is made, and which ones are refused; on a real broker.
#include "libs/kafka/kafka_topic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/synchronization/notification.h"
#include "libs/base/refusal.h"
#include "libs/eventlog/log_engine.h"
#include "libs/kafka/admin.h"
#include "libs/kafka/kafka_engine.h"
#include "libs/kafka/producer.h"
#include "libs/kafka/testing/test_cluster.h"

namespace buurtlog::kafka {
namespace {

using eventlog::LogIdentity;

class KafkaTopicTest : public ::testing::Test {
 protected:
  KafkaTopicTest()
      : options_(NewTestRegion("visits")),
        identity_(eventlog::NewLogIdentity("visits", SystemClock(), SystemRandom())),
        scheduler_(NewThreadPoolScheduler(2)) {
    identity_.partitions = 2;
    client_ = *NewClient(RD_KAFKA_PRODUCER, {{"bootstrap.servers", options_.brokers}});
  }

  absl::Status Open(const std::optional<LogIdentity>& make = std::nullopt) {
    return OpenTopic(options_, make, *scheduler_).status();
  }

  // A topic as OpenTopic would make it, but for one setting.
  void CreateWith(const std::string& setting, const std::string& value, int partitions = 2) {
    TopicConfig config = {{"cleanup.policy", "delete"},
                          {"retention.ms", "-1"},
                          {"retention.bytes", "-1"},
                          {"min.insync.replicas", "1"},
                          {"max.message.bytes", std::to_string(kMaxMessageBytes)},
                          {"unclean.leader.election.enable", "false"}};
    if (!setting.empty()) config[setting] = value;
    ASSERT_TRUE(CreateTopic(client_.get(), TopicName(options_), {"", partitions, 1}, config).ok());
  }

  TopicOptions options_;
  LogIdentity identity_;
  std::unique_ptr<Scheduler> scheduler_;
  Client client_;
};

TEST_F(KafkaTopicTest, ATopicIsMadeOnceAndFoundAgain) {
  EXPECT_TRUE(absl::IsNotFound(Open()));
  const auto made = OpenTopic(options_, identity_, *scheduler_);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ((*made)->identity(), identity_);
  // Whoever comes second takes the log of the first.
  LogIdentity other = identity_;
  other.log_id = NewUuid(SystemClock().Now(), SystemRandom());
  const auto found = OpenTopic(options_, other, *scheduler_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->identity(), identity_);
  EXPECT_EQ((*found)->place_id(), (*made)->place_id());
}

TEST_F(KafkaTopicTest, EachSettingThatDiffersIsRefusedWithItsOwnReason) {
  struct Case {
    std::string setting;
    std::string value;
    std::string reason;
  };
  for (const Case& c : {Case{"cleanup.policy", "compact", "TOPIC_CLEANUP_POLICY"},
                        Case{"retention.ms", "604800000", "TOPIC_RETENTION"},
                        Case{"retention.bytes", "1000000", "TOPIC_RETENTION"},
                        Case{"min.insync.replicas", "2", "TOPIC_MIN_INSYNC_REPLICAS"},
                        Case{"max.message.bytes", "1000", "TOPIC_MAX_MESSAGE_BYTES"},
                        Case{"unclean.leader.election.enable", "true", "TOPIC_UNCLEAN_ELECTION"}}) {
    SCOPED_TRACE(c.setting);
    options_.region = NewTestRegion("visits").region;
    CreateWith(c.setting, c.value);
    const absl::Status refused = Open(identity_);
    EXPECT_EQ(StatusReason(refused), c.reason) << refused;
    EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr(c.setting));
  }
}

TEST_F(KafkaTopicTest, AnotherShapeOrClusterIsRefused) {
  CreateWith("", "", /*partitions=*/3);
  EXPECT_EQ(StatusReason(Open(identity_)), "TOPIC_PARTITIONS");
  options_.cluster_id = "another";
  EXPECT_EQ(StatusReason(Open(identity_)), "KAFKA_CLUSTER");
  options_.cluster_id.clear();
  options_.replication = 3;
  EXPECT_EQ(StatusReason(Open(identity_)), "TOPIC_REPLICATION");
}

TEST_F(KafkaTopicTest, ATopicOfSomethingElseIsRefused) {
  CreateWith("", "");
  const auto producer =
      Producer::Open({{"bootstrap.servers", options_.brokers}}, TopicName(options_), *scheduler_);
  ASSERT_TRUE(producer.ok());
  absl::Notification sent;
  (*producer)->Send(0, "key", "value", [&](absl::Status status) {
    EXPECT_TRUE(status.ok()) << status;
    sent.Notify();
  });
  sent.WaitForNotification();
  EXPECT_EQ(StatusReason(Open(identity_)), "FOREIGN_ENTRY");
}

TEST_F(KafkaTopicTest, AClusterThatIsNotThereIsUnavailable) {
  options_.brokers = "127.0.0.1:1";
  EXPECT_TRUE(absl::IsUnavailable(Open(identity_)));
}

TEST_F(KafkaTopicTest, WordsThatAreWrongAreNamed) {
  LogWords words;
  words.log = "kafka:" + options_.brokers;
  EXPECT_TRUE(TopicOptionsOf(words, SystemFiles()).ok());
  words.region = "Noord Holland";
  EXPECT_EQ(StatusField(TopicOptionsOf(words, SystemFiles()).status()), "region");
  words.region = "noord";
  words.replication = 0;
  EXPECT_EQ(StatusField(TopicOptionsOf(words, SystemFiles()).status()), "replication");
  words.log = "postgres:";
  EXPECT_EQ(StatusField(NewLogEngine(words, SystemFiles()).status()), "log");
  words.log = "kafka:";
  EXPECT_EQ(StatusField(NewLogEngine(words, SystemFiles()).status()), "brokers");
  options_.properties = {{"no.such.property", "1"}};
  const absl::Status unknown = Open(identity_);
  EXPECT_TRUE(absl::IsInvalidArgument(unknown));
  EXPECT_THAT(std::string(unknown.message()), ::testing::HasSubstr("no.such.property"));
}

}  // namespace
}  // namespace buurtlog::kafka
