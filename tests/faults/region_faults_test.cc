// What operators of a region on Kafka live through (scenarios OPS-12 and OPS-16), with two replicas
// and a broker of the test's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "buurtlog/visits/v1/visits_service.grpc.pb.h"
#include "libs/base/testing/patience.h"
#include "tests/end_to_end/running_system.h"
#include "tests/faults/care_load.h"
#include "tests/faults/kafka_cluster.h"
#include "tests/faults/log_audit.h"
#include "tests/faults/region_processes.h"

namespace buurtlog::faults {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Visits = visits::v1::VisitsService::Stub;

const absl::Duration kStartMax = Patience(absl::Seconds(60));
const absl::Duration kAnswerMax = Patience(absl::Seconds(60));

class RegionFaultsTest : public ::testing::Test {
 protected:
  static constexpr size_t kReplicas = 2;

  void Begin(size_t callers) {
    cluster_ = std::make_unique<KafkaCluster>(folder_.path() + "/kafka", 1, kReplicas);
    ASSERT_TRUE(cluster_->Start().ok());
    RegionOptions options;
    options.folder = folder_.path() + "/region";
    options.replicas = kReplicas;
    options.region = "faults";
    options.brokers = [this](size_t replica) {
      return replica == SIZE_MAX ? cluster_->direct() : cluster_->Behind(replica);
    };
    region_ = std::make_unique<RegionProcesses>(options);
    load_ = std::make_unique<CareLoad>(*region_, /*seed=*/1, callers);
    audit_ = std::make_unique<LogAudit>(folder_.path(), region_->log_words());
    for (size_t i = 0; i < kReplicas; ++i) region_->Launch(i);
    for (size_t i = 0; i < kReplicas; ++i) {
      const absl::Status up = region_->AwaitServing(i, kStartMax);
      ASSERT_TRUE(up.ok()) << up;
    }
    const absl::Status begun = load_->Begin();
    ASSERT_TRUE(begun.ok()) << begun;
  }

  void BrokerIs(const std::string& command) {
    const absl::Status done = cluster_->Broker(command, 1);
    ASSERT_TRUE(done.ok()) << done;
  }

  absl::Status LookAtATimeline() const {
    const command::Session session = load_->SessionOf(0, "visits");
    const auto stub = visits::v1::VisitsService::NewStub(session.channel());
    visits::v1::GetClientTimelineRequest request;
    for (const Done& done : load_->done()) {
      if (!done.answer.client_id.empty()) request.set_client_id(done.answer.client_id);
    }
    return session.Call(*stub, &Visits::GetClientTimeline, request).status();
  }

  // Everything that was answered is there once, and is answered the same again.
  void ExpectNothingLost() {
    load_->Pause();
    load_->Repeat(load_->done(), kAnswerMax);
    const absl::Status more = load_->OneMore(kAnswerMax);
    EXPECT_TRUE(more.ok()) << more;
    const absl::Status read = audit_->ReadOn();
    EXPECT_TRUE(read.ok()) << read;
    EXPECT_THAT(audit_->Compare(load_->done()), IsEmpty());
    EXPECT_THAT(load_->violations(), IsEmpty());
  }
  void StopAndVerify() {
    for (size_t i = 0; i < kReplicas; ++i) {
      region_->Signal(i, SIGTERM);
      EXPECT_EQ(region_->Wait(i), 0);
      const auto verified = region_->Command(i, {"replay", "--verify"}, kAnswerMax);
      ASSERT_TRUE(verified.ok()) << verified.status();
      EXPECT_EQ(verified->exit_code, 0) << verified->out << verified->err;
    }
  }

  const end_to_end::TemporaryFolder folder_;
  std::unique_ptr<KafkaCluster> cluster_;
  std::unique_ptr<RegionProcesses> region_;
  std::unique_ptr<CareLoad> load_;
  std::unique_ptr<LogAudit> audit_;
};

// Concurrent late commands stand for phones: each nurse's wish waits through the outage, and all
// come at once behind it.
TEST_F(RegionFaultsTest, OPS_12_AllPhonesAtOnceAfterAnOutageAreTakenWithoutLoss) {
  ASSERT_NO_FATAL_FAILURE(Begin(/*callers=*/12));
  load_->Resume();
  load_->WorkFor(absl::Seconds(1));
  BrokerIs("kill");
  load_->WorkFor(absl::Seconds(8));
  const size_t before = load_->answered();
  BrokerIs("start");
  load_->WorkFor(absl::Seconds(5));
  ExpectNothingLost();
  EXPECT_GT(load_->answered(), before + 12);
  StopAndVerify();
}

TEST_F(RegionFaultsTest, OPS_16_ABrokerThatIsAwayADiskThatIsFullAndADamagedCopyLoseNothing) {
  ASSERT_NO_FATAL_FAILURE(Begin(/*callers=*/4));
  load_->Resume();
  load_->WorkFor(absl::Seconds(1));

  // The broker is away: commands are refused clearly, and questions are answered.
  load_->Pause();
  BrokerIs("kill");
  const absl::Status refused = load_->OneMore(absl::ZeroDuration());
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
  const absl::Status looked = LookAtATimeline();
  EXPECT_TRUE(looked.ok()) << looked;
  load_->Resume();
  load_->WorkFor(absl::Seconds(3));
  BrokerIs("start");
  load_->WorkFor(absl::Seconds(3));
  ExpectNothingLost();

  // The disk of one replica is full, for its copy of the log and all that it folds.
  region_->disk(0).Full("/replica-0/", 0);
  load_->Resume();
  load_->WorkFor(absl::Seconds(3));
  region_->disk(0).None();
  load_->WorkFor(absl::Seconds(3));
  ExpectNothingLost();

  // Its copy is damaged while it is down: it is found at the start, and made again from the topic.
  region_->Signal(0, SIGTERM);
  EXPECT_EQ(region_->Wait(0), 0);
  const std::string copy = region_->data_folder(0) + "/visits/topic/log.db";
  {
    std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(0);
    file << "not a database any more";
    ASSERT_TRUE(file.good());
  }
  region_->Launch(0);
  const absl::Status up = region_->AwaitServing(0, kStartMax);
  ASSERT_TRUE(up.ok()) << up << region_->LogLines(0);
  EXPECT_THAT(region_->LogLines(0), HasSubstr("log_copy_discarded"));
  ExpectNothingLost();
  StopAndVerify();
}

}  // namespace
}  // namespace buurtlog::faults
