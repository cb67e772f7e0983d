#include "libs/kafka/testing/test_cluster.h"

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/ids.h"

namespace buurtlog::kafka {

std::string TestBrokers() {
  const char* given = std::getenv("BUURTLOG_KAFKA");
  std::string brokers = given == nullptr ? "" : given;
  if (given == nullptr) std::getline(std::ifstream(BUURTLOG_TEST_CLUSTER "/address"), brokers);
  CHECK(!brokers.empty());
  return brokers;
}

TopicOptions NewTestRegion(const std::string& service) {
  TopicOptions options;
  options.brokers = TestBrokers();
  options.region = absl::StrCat("t", RandomBelow(SystemRandom(), UINT64_MAX));
  options.service = service;
  options.replication = 1;
  return options;
}

}  // namespace buurtlog::kafka
