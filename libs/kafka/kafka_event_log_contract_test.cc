// The contract suite on the kafka engine and a real broker.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/eventlog/event_log_contract_test.h"
#include "libs/eventlog/kafka_event_log.h"
#include "libs/kafka/testing/test_cluster.h"

namespace buurtlog::eventlog {
namespace {

class KafkaEngine final : public Engine {
 public:
  explicit KafkaEngine(const LogIdentity& identity)
      : topic_(kafka::NewTestRegion(identity.service)), scheduler_(NewThreadPoolScheduler(2)) {
    std::string folder = absl::StrCat(::testing::TempDir(), "/kafka_contract_XXXXXX");
    CHECK(mkdtemp(folder.data()) != nullptr);
    options_.folder = folder;
    Open(identity);
  }

  ~KafkaEngine() override {
    log_.reset();
    std::filesystem::remove_all(options_.folder);
  }

  EventLog& log() override { return *log_; }
  SimulatedScheduler* simulation() override { return nullptr; }

  void Reopen() {
    log_.reset();
    Open(std::nullopt);
  }

 private:
  void Open(const std::optional<LogIdentity>& make) {
    auto topic = kafka::OpenTopic(topic_, make, *scheduler_);
    if (!topic.ok()) std::cerr << topic.status() << std::endl;
    CHECK(topic.ok());
    auto log = KafkaEventLog::Open(*std::move(topic), options_, SystemFiles(), *scheduler_);
    if (!log.ok()) std::cerr << log.status() << std::endl;
    CHECK(log.ok());
    log_ = *std::move(log);
  }

  const kafka::TopicOptions topic_;
  KafkaLogOptions options_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<KafkaEventLog> log_;
};

std::unique_ptr<Engine> Make(const LogIdentity& identity) {
  return std::make_unique<KafkaEngine>(identity);
}

void Reopen(Engine& engine) { static_cast<KafkaEngine&>(engine).Reopen(); }

const auto kEngines = ::testing::Values(EngineFactory{"broker", &Make, &Reopen});
INSTANTIATE_TEST_SUITE_P(Kafka, EventLogContractTest, kEngines, EngineName);
INSTANTIATE_TEST_SUITE_P(Kafka, EventLogReopenTest, kEngines, EngineName);

}  // namespace
}  // namespace buurtlog::eventlog
