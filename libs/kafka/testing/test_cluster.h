// The Kafka cluster that tests use: tools/kafka/broker started it, or the environment names another
// one. Topics of a test are in a region of its own, so tests run side by side.
#pragma once

#include <string>

#include "libs/kafka/kafka_topic.h"

namespace buurtlog::kafka {

// Of $BUURTLOG_KAFKA, or of the broker in the build folder. A CHECK fails when there is none.
std::string TestBrokers();

// Options for a topic in a region that nobody else has.
TopicOptions NewTestRegion(const std::string& service);

}  // namespace buurtlog::kafka
