#include "libs/rpc/stream_reading.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/eventsourcing/testing/executor_world.h"

namespace buurtlog::rpc {
namespace {

using eventsourcing::testing::ExecutorWorld;
using log::v1::ReadStreamRequest;
using log::v1::ReadStreamResponse;
using ::testing::ElementsAre;

class StreamReadingTest : public ::testing::Test {
 protected:
  StreamReadingTest() { EXPECT_TRUE(world_.Start().ok()); }

  // One record with these texts; its partition is the list's.
  void Append(const Uuid& list, const std::vector<std::string>& texts) {
    const auto receipt = world_.Run(world_.Append(list, texts));
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    partition_ = receipt->position().partition();
  }
  ReadStreamRequest RequestFor(const Uuid& list) const {
    ReadStreamRequest request;
    request.set_service("lists");
    request.set_partition(partition_);
    request.set_stream(absl::StrCat("list-", list.ToString()));
    return request;
  }
  absl::StatusOr<ReadStreamResponse> Read(const ReadStreamRequest& request) {
    return ReadStream(world_.log, world_.store.get(), request);
  }
  // The texts of the entries, one list for each.
  static std::vector<std::vector<std::string>> TextsOf(const ReadStreamResponse& response) {
    std::vector<std::vector<std::string>> texts;
    for (const std::string& bytes : response.entries()) {
      const auto entry = eventlog::ParseEntry(bytes);
      EXPECT_TRUE(entry.ok()) << entry.status();
      const auto record = eventsourcing::EventCodec::ParseRecord(*entry);
      EXPECT_TRUE(record.ok()) << record.status();
      texts.emplace_back();
      for (const log::v1::StoredEvent& event : record->events()) {
        google::protobuf::Value value;
        EXPECT_TRUE(value.ParseFromString(event.payload()));
        texts.back().push_back(value.string_value());
      }
    }
    return texts;
  }

  ExecutorWorld world_{1, 1};
  uint32_t partition_ = 0;
};

TEST_F(StreamReadingTest, TheEntriesOfOneStreamComeInOrderAndNoOthers) {
  const Uuid mine = world_.NewId();
  const Uuid other = world_.NewId();
  Append(mine, {"a", "b"});
  Append(other, {"x"});
  Append(mine, {"c"});
  Append(mine, {"d"});
  const auto response = Read(RequestFor(mine));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_THAT(TextsOf(*response),
              ElementsAre(ElementsAre("a", "b"), ElementsAre("c"), ElementsAre("d")));
  EXPECT_FALSE(response->more());
}

TEST_F(StreamReadingTest, ARefusalIsNoEntryOfItsStream) {
  const Uuid list = world_.NewId();
  Append(list, {"a"});
  EXPECT_FALSE(world_.Run(world_.Append(list, {"refuse"})).ok());
  Append(list, {"b"});
  const auto response = Read(RequestFor(list));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_THAT(TextsOf(*response), ElementsAre(ElementsAre("a"), ElementsAre("b")));
}

TEST_F(StreamReadingTest, APageEndsWhereItIsFullAndTheNextGoesOnFromItsVersion) {
  const Uuid list = world_.NewId();
  for (const char* const text : {"a", "b", "c"}) Append(list, {text});
  ReadStreamRequest request = RequestFor(list);
  request.set_entries_max(2);
  auto response = Read(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_THAT(TextsOf(*response), ElementsAre(ElementsAre("a"), ElementsAre("b")));
  EXPECT_TRUE(response->more());
  request.set_after_version(2);
  response = Read(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_THAT(TextsOf(*response), ElementsAre(ElementsAre("c")));
  EXPECT_FALSE(response->more());
  request.set_after_version(3);
  response = Read(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_TRUE(response->entries().empty());
}

TEST_F(StreamReadingTest, APageEndsAtItsBytesTooButHasAtLeastOneEntry) {
  const Uuid list = world_.NewId();
  const std::string large(kStreamBytesMax * 3 / 4, 'x');
  for (int i = 0; i < 3; ++i) Append(list, {large});
  const auto response = Read(RequestFor(list));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_LT(response->entries_size(), 3);
  EXPECT_GE(response->entries_size(), 1);
  EXPECT_TRUE(response->more());
}

TEST_F(StreamReadingTest, WhatIsNotThereOrNotAStreamIsSaidSo) {
  const Uuid list = world_.NewId();
  EXPECT_EQ(Read(RequestFor(list)).status().code(), absl::StatusCode::kNotFound);
  ReadStreamRequest request = RequestFor(list);
  request.set_stream("list-of-nothing");
  EXPECT_EQ(Read(request).status().code(), absl::StatusCode::kInvalidArgument);
  request = RequestFor(list);
  request.set_partition(1);
  EXPECT_EQ(Read(request).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadStream(world_.log, nullptr, RequestFor(list)).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace buurtlog::rpc
