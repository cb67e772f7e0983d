// Records of several streams and services, folded into a read model in the order in which they were
// added or in any other that the log allows: the form of every test of a read model. Header only;
// for tests.
//
//   History history;
//   history.Add<VisitEvent>(visit, at, {R"pb(planned { ... })pb"});
//   sqlite::Connection rows = history.Fold(day_sheet);
//   ... the typed queries of the read model over rows ...
//   history.ExpectSameRowsInAnyOrder<DaySheet>();
#pragma once

#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libs/base/random.h"
#include "libs/eventlog/record.h"
#include "libs/eventsourcing/event_codec.h"
#include "libs/eventsourcing/projection.h"
#include "libs/eventsourcing/projection_runner.h"
#include "libs/eventsourcing/testing/scenario.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::eventsourcing::testing {

// Where a record goes.
struct HistoryStream {
  std::string service;
  std::string category;
  Uuid id;
  Uuid partition_key;
};

class History {
 public:
  static constexpr int kOrdersTried = 50;

  // One record with these events (wrapper messages in text format). Returns the ids of the events.
  template <typename Event>
  std::vector<Uuid> Add(const HistoryStream& stream, absl::Time at,
                        const std::vector<std::string>& events) {
    auto [codec, added] = codecs_.try_emplace(stream.service, stream.service);
    if (!codec->second.Knows(stream.category)) {
      codec->second.Register(stream.category, &Event::default_instance());
    }
    const std::string name = StreamId{stream.category, stream.id}.ToString();
    uint64_t& version = versions_[name];
    log::v1::Record record = EmptyRecord(stream, at, version);
    record.set_idempotency_key(
        DerivedUuid(stream.id, absl::StrCat(name, version, "key")).ToBytes());
    std::vector<Uuid> ids;
    for (const std::string& event : events) {
      ids.push_back(DerivedUuid(stream.id, absl::StrCat(name, ++version)));
      *record.add_events() = EventCodec::Encode(Proto<Event>(event), ids.back());
    }
    const eventlog::Partition partition =
        eventlog::PartitionOf(record.shard(), eventlog::kPartitionsDefault);
    lanes_[{stream.service, partition}].push_back(record);
    in_order_.push_back({stream.service, partition, lanes_[{stream.service, partition}].size()});
    return ids;
  }

  // Who did what is added from here on.
  History& By(log::v1::Actor actor) {
    actor_ = std::move(actor);
    return *this;
  }

  // A new file in memory with everything folded, in the order of adding.
  sqlite::Connection Fold(ReadModel& model) const { return FoldInOrder(model, in_order_); }

  // Folds in orders drawn from a seed, each of which keeps the order within a partition of a
  // service and no other, and expects the same digests each time.
  template <typename Model>
  void ExpectSameRowsInAnyOrder() const {
    Model model;
    sqlite::Connection expected_rows = Fold(model);
    const absl::StatusOr<Digests> expected = DigestOf(expected_rows, model.spec());
    ASSERT_TRUE(expected.ok()) << expected.status();
    EXPECT_GT(expected->rows, 0u) << "nothing was folded";
    for (uint64_t seed = 1; seed <= kOrdersTried; ++seed) {
      Model other;
      sqlite::Connection rows = FoldInOrder(other, DrawOrder(seed));
      const absl::StatusOr<Digests> digests = DigestOf(rows, other.spec());
      ASSERT_TRUE(digests.ok()) << digests.status();
      EXPECT_EQ(digests->structure, expected->structure) << "seed " << seed;
      EXPECT_EQ(digests->content, expected->content) << "seed " << seed;
      EXPECT_EQ(digests->rows, expected->rows) << "seed " << seed;
    }
  }

 private:
  using Lane = std::pair<std::string, eventlog::Partition>;
  struct Place {
    std::string service;
    eventlog::Partition partition = 0;
    eventlog::Sequence sequence = 0;
  };

  log::v1::Record EmptyRecord(const HistoryStream& stream, absl::Time at, uint64_t version) const {
    log::v1::Record record;
    record.set_shard(eventlog::ShardOf(stream.partition_key));
    record.set_partition_key(stream.partition_key.ToBytes());
    record.set_category(stream.category);
    record.set_stream_id(stream.id.ToBytes());
    record.set_first_version(version);
    *record.mutable_actor() = actor_;
    for (google::protobuf::Timestamp* time :
         {record.mutable_occurred_at(), record.mutable_recorded_at()}) {
      time->set_seconds(absl::ToUnixSeconds(at));
    }
    return record;
  }

  std::vector<Place> DrawOrder(uint64_t seed) const {
    SeededRandom random(seed);
    std::vector<Place> next;
    for (const auto& [lane, records] : lanes_) next.push_back({lane.first, lane.second, 1});
    std::vector<Place> order;
    while (!next.empty()) {
      const size_t drawn = RandomBelow(random, next.size());
      order.push_back(next[drawn]);
      Place& place = next[drawn];
      if (++place.sequence > lanes_.at({place.service, place.partition}).size()) {
        next.erase(next.begin() + static_cast<std::ptrdiff_t>(drawn));
      }
    }
    return order;
  }

  sqlite::Connection FoldInOrder(ReadModel& model, const std::vector<Place>& order) const {
    absl::StatusOr<sqlite::Connection> rows = sqlite::Connection::Open(":memory:");
    EXPECT_TRUE(rows.ok()) << rows.status();
    EXPECT_TRUE(rows->Execute(model.spec().ddl).ok());
    EXPECT_TRUE(rows->Execute(model.spec().query_indexes).ok());
    const std::vector<std::string>& followed = model.spec().services;
    for (const Place& place : order) {
      if (std::find(followed.begin(), followed.end(), place.service) == followed.end()) continue;
      const log::v1::Record& record =
          lanes_.at({place.service, place.partition})[place.sequence - 1];
      const auto events = codecs_.at(place.service).Decode(record, place.partition, place.sequence);
      EXPECT_TRUE(events.ok()) << events.status();
      for (const DecodedEvent& event : *events) {
        const absl::Status applied = model.Apply(event.envelope, *event.event, *rows);
        EXPECT_TRUE(applied.ok()) << applied << "\n" << event.event->ShortDebugString();
      }
    }
    return *std::move(rows);
  }

  log::v1::Actor actor_;
  std::map<std::string, EventCodec> codecs_;
  std::map<std::string, uint64_t> versions_;
  std::map<Lane, std::vector<log::v1::Record>> lanes_;
  std::vector<Place> in_order_;
};

}  // namespace buurtlog::eventsourcing::testing
