// The Kafka cluster that tests use: tools/kafka/broker started it, or the environment names another
// one. Topics of a test are in a region of its own, so tests run side by side.
//
// $BUURTLOG_TEST_LOG says on which log tests that can choose are to run: `kafka`, one broker, or
// `kafka-of-three`; nothing: SQLite for stories, one broker for what is about Kafka.
#pragma once

#include <string>

#include "libs/kafka/kafka_topic.h"

namespace buurtlog::kafka {

bool StoriesAreOnKafka();

// Of $BUURTLOG_KAFKA, or of the cluster in the build folder. A CHECK fails when there is none.
std::string TestBrokers();

// Options for a topic in a region that nobody else has, with as many replicas as there are brokers.
TopicOptions NewTestRegion(const std::string& service);

}  // namespace buurtlog::kafka
