#include "libs/rpc/logging.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

namespace buurtlog::rpc {
namespace {

TEST(LoggingTest, ALineIsOneJsonObjectInAFixedOrder) {
  EXPECT_EQ(LogLine("2026-01-02T03:04:05Z", "info", "visits", "started", {{"port", "7400"}}),
            R"({"ts":"2026-01-02T03:04:05Z","level":"info","service":"visits","event":"started",)"
            R"("port":"7400"})");
}

TEST(LoggingTest, WhateverStandsInAFieldTheLineIsJson) {
  const std::string odd("a\"b\\c\nd\te\r\x01\x7f\0f ünï\xff\xc3(", 24);
  const std::string line = LogLine("now", "error", "visits", "odd", {{"text", odd}, {"", ""}});
  EXPECT_EQ(line.find('\n'), std::string::npos);
  google::protobuf::Struct parsed;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(line, &parsed).ok()) << line;
  EXPECT_EQ(parsed.fields().at("text").string_value(),
            std::string("a\"b\\c\nd\te\r\x01\x7f\0f ünï\ufffd\ufffd(", 28));
}

}  // namespace
}  // namespace buurtlog::rpc
