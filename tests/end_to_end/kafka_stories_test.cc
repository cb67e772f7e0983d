// The system on Apache Kafka: the same executables, another --log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "buurtlog/log/v1/record.pb.h"
#include "libs/eventlog/topic_message.h"
#include "libs/kafka/kafka_topic.h"
#include "libs/kafka/testing/test_cluster.h"
#include "tests/end_to_end/team_at_work.h"

namespace buurtlog::end_to_end {
namespace {

std::vector<std::string> WordsOf(const kafka::TopicOptions& topic) {
  return {"--log",
          absl::StrCat("kafka:", topic.brokers),
          "--region",
          topic.region,
          "--kafka_replication",
          absl::StrCat(topic.replication)};
}

// What stands for the same people on another machine.
void CopyPeopleAndKeys(const std::string& from, const std::string& to) {
  for (const char* name : {"people.json", "keys"}) {
    std::filesystem::copy(absl::StrCat(from, "/", name), absl::StrCat(to, "/", name),
                          std::filesystem::copy_options::recursive);
  }
}

TEST(KafkaStoriesTest, ATeamWorksOnKafkaThroughAKillAndOnANewMachine) {
  TemporaryFolder folder;
  const std::vector<std::string> words = WordsOf(kafka::NewTestRegion(""));
  TeamAtWork team(folder.path(), words);
  const std::string client = team.TakeClientIn();
  team.Plan(client, 0, absl::Hours(2), 30);
  team.system().Kill();
  team.system().Start();
  team.Plan(client, 1, absl::Hours(1), 20);
  const int entries = team.Timeline(client).entries_size();
  EXPECT_GE(entries, 2);
  const ProgramResult verified = team.system().Command({"replay", "--verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
  EXPECT_EQ(team.system().Stop(), 0);

  // Another machine has nothing but the keys.
  TemporaryFolder empty;
  CopyPeopleAndKeys(folder.path(), empty.path());
  RunningSystem elsewhere(empty.path(), words);
  visits::v1::GetClientTimelineRequest request;
  request.set_client_id(client);
  team.WaitForVisits(request);
  const auto timeline = Caller<visits::v1::VisitsService>(elsewhere.As(team.nurse_id(0)))(
      &visits::v1::VisitsService::Stub::GetClientTimeline, request);
  ASSERT_TRUE(timeline.ok()) << timeline.status();
  EXPECT_EQ(timeline->entries_size(), entries);
  EXPECT_EQ(elsewhere.Stop(), 0);
  elsewhere.Start();
}

TEST(KafkaStoriesTest, ARegionMovesFromSqliteToKafkaAndBack) {
  TemporaryFolder folder;
  const std::vector<std::string> on_sqlite = {"--log", "sqlite"};
  TeamAtWork team(folder.path(), on_sqlite);
  const std::string client = team.TakeClientIn();
  team.Plan(client, 0, absl::Hours(2), 30);
  const int entries = team.Timeline(client).entries_size();
  const ProgramResult verified = team.system().Command({"replay", "--verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
  EXPECT_EQ(team.system().Stop(), 0);

  const kafka::TopicOptions topic = kafka::NewTestRegion("");
  const std::vector<std::string> words = WordsOf(topic);
  const auto copy = [&](const std::string& from, const std::string& to) {
    std::vector<std::string> all = {Program("buurtlog"), "log", "copy", "--from", from, "--to", to};
    all.insert(all.end(), words.begin() + 2, words.end());
    const auto result = RunProgram(all, absl::Seconds(120));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->exit_code, 0) << result->out << result->err;
  };
  const std::string on_kafka = absl::StrCat("kafka:", topic.brokers);
  copy(absl::StrCat("sqlite:", folder.path()), on_kafka);
  copy(absl::StrCat("sqlite:", folder.path()), on_kafka);  // nothing is new

  TemporaryFolder replica;
  CopyPeopleAndKeys(folder.path(), replica.path());
  {
    RunningSystem system(replica.path(), words);
    visits::v1::GetClientTimelineRequest request;
    request.set_client_id(client);
    team.WaitForVisits(request);  // positions are the same
    const auto timeline = Caller<visits::v1::VisitsService>(system.As(team.nurse_id(0)))(
        &visits::v1::VisitsService::Stub::GetClientTimeline, request);
    ASSERT_TRUE(timeline.ok()) << timeline.status();
    EXPECT_EQ(timeline->entries_size(), entries);
    const ProgramResult on_the_copy = system.Command({"replay", "--verify"});
    EXPECT_EQ(on_the_copy.exit_code, 0) << on_the_copy.out << on_the_copy.err;
  }

  TemporaryFolder back;
  CopyPeopleAndKeys(folder.path(), back.path());
  copy(on_kafka, absl::StrCat("sqlite:", back.path()));
  RunningSystem again(back.path(), on_sqlite);
  const ProgramResult stat = again.Command({"log", "stat"});
  EXPECT_EQ(stat.exit_code, 0) << stat.err;
  const ProgramResult verified_on_sqlite = again.Command({"replay", "--verify"});
  EXPECT_EQ(verified_on_sqlite.exit_code, 0) << verified_on_sqlite.out << verified_on_sqlite.err;
}

// The alarms themselves, and that their metrics exist, are checked by DeployTest.monitoring.
TEST(KafkaStoriesTest,
     OPS_11_LagAppendTimesAndParkedStreamsAreMeasuredAndTriedAgainWithOneCommand) {
  TemporaryFolder folder;
  TeamAtWork team(folder.path(), WordsOf(kafka::NewTestRegion("")));
  const std::string client = team.TakeClientIn();
  team.Plan(client, 0, absl::Hours(2), 30);
  EXPECT_GE(team.Timeline(client).entries_size(), 1);
  const std::string metrics = team.system().Metrics();
  for (const char* series :
       {R"(buurtlog_projection_lag_records{read_model="client_timeline"} 0)",
        R"(buurtlog_projection_parked_streams{read_model="client_timeline"} 0)",
        R"(buurtlog_process_parked_streams{process="record_moved_visits"} 0)",
        R"(buurtlog_partitions_owned{service="visits"} 16)",
        R"(buurtlog_log_sync_seconds_count{service="visits"})",
        R"(buurtlog_log_epochs_total{service="visits"})",
        R"(buurtlog_log_void_entries_total{service="visits"} 0)",
        R"(buurtlog_command_outcomes_total{code="OK",service="visits"})"}) {
    EXPECT_THAT(metrics, ::testing::HasSubstr(series));
  }
  EXPECT_EQ(team.system().Command({"login", "operator"}).exit_code, 0);
  EXPECT_EQ(team.system().Command({"parked"}).exit_code, 0);
  EXPECT_EQ(team.system().Command({"parked", "--retry"}).exit_code, 0);
}

TEST(KafkaStoriesTest, WhatNeverCountsCanBeLookedAt) {
  TemporaryFolder folder;
  kafka::TopicOptions options = kafka::NewTestRegion("visits");
  TeamAtWork team(folder.path(), WordsOf(options));
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler(1);
  const auto topic = kafka::OpenTopic(options, std::nullopt, *scheduler);
  ASSERT_TRUE(topic.ok()) << topic.status();
  // As a writer would that was fenced long ago.
  eventlog::EntryHeader header;
  header.partition = 3;
  header.sequence = 1;
  const std::unique_ptr<eventlog::TopicProducer> producer = (*topic)->NewProducer();
  absl::Notification sent;
  producer->Send(3, eventlog::MessageKey((*topic)->identity(), 77),
                 eventlog::EncodeEntry(header, log::v1::Record().SerializeAsString()),
                 [&sent](absl::Status status) {
                   EXPECT_TRUE(status.ok()) << status;
                   sent.Notify();
                 });
  sent.WaitForNotification();
  const ProgramResult shown = team.system().Command({"log", "void", "visits"});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_THAT(shown.out, ::testing::HasSubstr("visits/3 @"));
  EXPECT_THAT(shown.out, ::testing::HasSubstr("its writer was fenced"));
  EXPECT_EQ(team.system().Command({"log", "void", "nobody"}).exit_code, 2);
  const ProgramResult verified = team.system().Command({"replay", "--verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
}

}  // namespace
}  // namespace buurtlog::end_to_end
