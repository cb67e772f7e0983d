#include "libs/eventlog/topic_message.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/refusal.h"
#include "libs/eventlog/bytes.h"
#include "libs/eventlog/identity_file.h"

namespace buurtlog::eventlog {
namespace {

constexpr size_t kLogIdBytes = 16;

std::string PlaceOf(const TopicMessage& message) {
  return absl::StrCat("partition ", message.partition, ", offset ", message.offset);
}

}  // namespace

std::string MessageKey(const LogIdentity& identity, uint64_t send) {
  std::string key = identity.log_id.ToBytes();
  key.resize(kMessageKeyBytes);
  Store(key.data() + kLogIdBytes, send);
  return key;
}

absl::StatusOr<uint64_t> SendOf(const LogIdentity& identity, const TopicMessage& message) {
  const bool formed = message.key.size() == kMessageKeyBytes;
  const uint64_t send = formed ? Load<uint64_t>(message.key.data() + kLogIdBytes) : 0;
  if (formed && message.key.substr(0, kLogIdBytes) == identity.log_id.ToBytes()) return send;
  // Several may make the topic at once; the identity that stands first is the log's.
  const bool is_late_identity =
      formed && send == kIdentitySend && DecodeIdentity(message.value, PlaceOf(message)).ok();
  if (is_late_identity) return send;
  return WithReason(
      absl::FailedPreconditionError(absl::StrCat(
          PlaceOf(message), ": a message of another log, or of something that is no log")),
      "FOREIGN_ENTRY");
}

std::vector<std::string> PackMessages(std::vector<std::string> entries) {
  std::vector<std::string> messages;
  for (std::string& entry : entries) {
    if (messages.empty() || messages.back().size() + entry.size() > kMessageBytesMax) {
      messages.push_back(std::move(entry));
    } else {
      messages.back() += entry;
    }
  }
  return messages;
}

absl::StatusOr<std::vector<std::string_view>> EntriesOf(const TopicMessage& message) {
  std::vector<std::string_view> entries;
  std::string_view rest = message.value;
  while (!rest.empty()) {
    const absl::StatusOr<size_t> size = EntryBytes(rest);
    if (!size.ok()) {
      return absl::DataLossError(absl::StrCat(PlaceOf(message), ": the entry is damaged"));
    }
    entries.push_back(rest.substr(0, *size));
    rest.remove_prefix(*size);
  }
  return entries;
}

}  // namespace buurtlog::eventlog
