#include "libs/kafka/testing/test_cluster.h"

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/ids.h"

namespace buurtlog::kafka {
namespace {

std::string Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool OfThree() { return Environment("BUURTLOG_TEST_LOG") == "kafka-of-three"; }

}  // namespace

bool StoriesAreOnKafka() { return !Environment("BUURTLOG_TEST_LOG").empty(); }

std::string TestBrokers() {
  std::string brokers = Environment("BUURTLOG_KAFKA");
  if (brokers.empty()) {
    std::ifstream file(
        absl::StrCat(BUURTLOG_TEST_CLUSTER, OfThree() ? "-of-three" : "", "/address"));
    std::getline(file, brokers);
  }
  CHECK(!brokers.empty());
  return brokers;
}

TopicOptions NewTestRegion(const std::string& service) {
  TopicOptions options;
  options.brokers = TestBrokers();
  options.region = absl::StrCat("t", RandomBelow(SystemRandom(), UINT64_MAX));
  options.service = service;
  options.replication = OfThree() ? 3 : 1;
  return options;
}

}  // namespace buurtlog::kafka
