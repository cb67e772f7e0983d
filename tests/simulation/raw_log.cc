#include "tests/simulation/raw_log.h"

#include <google/protobuf/struct.pb.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/record.h"
#include "libs/eventlog/topic_message.h"

namespace buurtlog::simulation {
namespace {

using eventlog::EntryKind;
using eventlog::EntryView;
using eventlog::Partition;

// Judges the entries of one partition, one after another.
class Judge {
 public:
  Judge(const eventlog::LogIdentity& identity, Partition partition, RawLog& log)
      : partition_(partition), head_(eventlog::InitialHash(identity, partition)), log_(log) {}

  absl::Status Add(std::string_view bytes) {
    ABSL_ASSIGN_OR_RETURN(const EntryView entry, eventlog::ParseEntry(bytes));
    ++sequence_;
    if (entry.header.partition != partition_) return Wrong("is of another partition");
    if (entry.header.sequence != sequence_) {
      return Wrong(absl::StrCat("has sequence ", entry.header.sequence));
    }
    if (entry.header.previous_hash != head_) return Wrong("does not follow by its hash");
    const bool begins_epoch = entry.header.kind == EntryKind::kEpoch;
    if (entry.header.epoch != epoch_ + (begins_epoch ? 1 : 0)) {
      return Wrong(absl::StrCat("has epoch ", entry.header.epoch, " behind ", epoch_));
    }
    epoch_ = entry.header.epoch;
    head_ = eventlog::EntryHash(entry.header.previous_hash, bytes);
    log_.hashes[partition_].push_back(head_);
    ++log_.entries;
    if (begins_epoch) return absl::OkStatus();
    if (entry.header.kind != EntryKind::kRecord) return Wrong("is neither record nor epoch");
    return AddRecord(entry);
  }

 private:
  absl::Status Wrong(const std::string& what) const {
    return absl::DataLossError(
        absl::StrCat("partition ", partition_, ", entry ", sequence_, " ", what));
  }

  absl::Status AddRecord(const EntryView& entry) {
    RawRecord raw;
    raw.partition = partition_;
    raw.sequence = sequence_;
    log::v1::Record& record = raw.record;
    if (!record.ParseFromArray(entry.body.data(), static_cast<int>(entry.body.size()))) {
      return Wrong("is no record");
    }
    RawStream& stream = log_.streams[record.stream_id()];
    std::vector<RawText>& texts = stream.texts;
    stream.partition = partition_;
    if (record.first_version() != texts.size()) {
      return Wrong(absl::StrCat("was decided on version ", record.first_version(),
                                " of a stream at ", texts.size()));
    }
    if (record.has_refusal() && (!record.events().empty() || texts.empty())) {
      return Wrong("is a refusal with events, or of a stream that does not exist");
    }
    const absl::Time recorded_at = absl::FromUnixSeconds(record.recorded_at().seconds()) +
                                   absl::Nanoseconds(record.recorded_at().nanos());
    if (recorded_at < recorded_at_) return Wrong("was recorded before the one before it");
    recorded_at_ = recorded_at;
    for (const log::v1::StoredEvent& event : record.events()) {
      google::protobuf::Value value;
      if (!value.ParseFromString(event.payload())) return Wrong("has an event that is no value");
      texts.push_back({sequence_, value.string_value()});
    }
    const CommandKey key(record.idempotency_key(), record.actor().person_id());
    if (!log_.records.emplace(key, std::move(raw)).second) {
      return Wrong("has a key that stands in the log already");
    }
    return absl::OkStatus();
  }

  const Partition partition_;
  eventlog::Sequence sequence_ = 0;
  eventlog::Epoch epoch_ = 0;
  eventlog::Hash head_;
  absl::Time recorded_at_ = absl::InfinitePast();
  RawLog& log_;
};

// Decides which entries of a topic's partition count, and gives those to the judge.
class TopicJudge {
 public:
  TopicJudge(const eventlog::LogIdentity& identity, Partition partition, RawLog& log)
      : judge_(identity, partition, log), head_(eventlog::InitialHash(identity, partition)) {}

  absl::Status Add(std::string_view bytes) {
    ABSL_ASSIGN_OR_RETURN(const EntryView entry, eventlog::ParseEntry(bytes));
    eventlog::EntryHeader header = entry.header;
    if (header.kind == EntryKind::kBarrier) return absl::OkStatus();
    if (header.kind == EntryKind::kEpoch) {
      if (header.epoch != epoch_ + 1) return absl::OkStatus();
      header.sequence = sequence_;
      header.previous_hash = head_;
    } else if (header.epoch != epoch_ || header.sequence != sequence_ ||
               header.previous_hash != head_) {
      return absl::OkStatus();
    }
    const std::string canonical = eventlog::EncodeEntry(header, entry.body);
    epoch_ = header.epoch;
    ++sequence_;
    head_ = eventlog::EntryHash(head_, canonical);
    return judge_.Add(canonical);
  }

 private:
  Judge judge_;
  eventlog::Epoch epoch_ = 0;
  eventlog::Sequence sequence_ = 1;
  eventlog::Hash head_;
};

// The offset of the message with the last entry that counts; 0 without one.
absl::StatusOr<eventlog::Offset> ReadPartition(const SimulatedTopic& topic, Partition partition,
                                               RawLog& raw) {
  TopicJudge judge(topic.identity(), partition, raw);
  const auto& messages = topic.messages(partition);
  eventlog::Offset last = 0;
  for (size_t i = eventlog::kFirstEntryOffset; i < messages.size(); ++i) {
    const auto offset = static_cast<eventlog::Offset>(i);
    ABSL_ASSIGN_OR_RETURN(
        const auto entries,
        eventlog::EntriesOf({partition, offset, messages[i].key, messages[i].value}));
    for (const std::string_view entry : entries) {
      const size_t before = raw.hashes[partition].size();
      ABSL_RETURN_IF_ERROR(judge.Add(entry));
      if (raw.hashes[partition].size() > before) last = offset;
    }
  }
  return last;
}

}  // namespace

size_t RawStream::CountBefore(eventlog::Sequence next) const {
  const auto end = std::partition_point(
      texts.begin(), texts.end(), [next](const RawText& text) { return text.sequence < next; });
  return static_cast<size_t>(end - texts.begin());
}

absl::StatusOr<RawLog> ReadRawLog(eventlog::LogReader& log) {
  RawLog raw;
  const eventlog::LogIdentity& identity = log.identity();
  raw.hashes.resize(identity.partitions);
  for (Partition partition = 0; partition < identity.partitions; ++partition) {
    Judge judge(identity, partition, raw);
    eventlog::FoldState at = eventlog::InitialFoldState(identity, partition);
    for (eventlog::Sequence before = 0; before != at.next;) {
      before = at.next;
      ABSL_RETURN_IF_ERROR(log.Read(
          partition, at, {}, [&](const EntryView& entry) { return judge.Add(entry.bytes); }));
    }
  }
  return raw;
}

absl::StatusOr<RawLog> ReadRawTopic(const SimulatedTopic& topic) {
  RawLog raw;
  raw.hashes.resize(topic.identity().partitions);
  for (Partition partition = 0; partition < topic.identity().partitions; ++partition) {
    ABSL_RETURN_IF_ERROR(ReadPartition(topic, partition, raw).status());
  }
  return raw;
}

absl::StatusOr<eventlog::Offset> LastCountingOffset(const SimulatedTopic& topic,
                                                    Partition partition) {
  RawLog raw;
  raw.hashes.resize(topic.identity().partitions);
  return ReadPartition(topic, partition, raw);
}

absl::Status CheckExtends(const RawLog& before, const RawLog& after) {
  for (size_t partition = 0; partition < before.hashes.size(); ++partition) {
    const auto& old = before.hashes[partition];
    const auto& now = after.hashes[partition];
    const auto [left, right] = std::mismatch(old.begin(), old.end(), now.begin(), now.end());
    if (left == old.end()) continue;
    return absl::DataLossError(absl::StrCat("partition ", partition, ", entry ",
                                            left - old.begin() + 1,
                                            " was durable, and is not what stands there now"));
  }
  return absl::OkStatus();
}

}  // namespace buurtlog::simulation
