// The messages of a topic (docs/log-format.md): what stands in their keys and values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/eventlog/record.h"
#include "libs/eventlog/topic.h"

namespace buurtlog::eventlog {

// A message's key: the log's id, then what the sender knows it by.
inline constexpr size_t kMessageKeyBytes = 24;
// What the sender knows the first message of a partition by, which says what log it is.
inline constexpr uint64_t kIdentitySend = 0;
// Entries begin behind that one.
inline constexpr Offset kFirstEntryOffset = 1;
// Entries in one message, in bytes: those of a call, as many as fit. One entry always does.
inline constexpr size_t kMessageBytesMax = kRecordBytesMax;

std::string MessageKey(const LogIdentity& identity, uint64_t send);
// FAILED_PRECONDITION with reason FOREIGN_ENTRY for a message of another log.
absl::StatusOr<uint64_t> SendOf(const LogIdentity& identity, const TopicMessage& message);

// The values of as few messages as hold these entries, in order.
std::vector<std::string> PackMessages(std::vector<std::string> entries);
// The entries of a message that is no identity, as views of its value; not verified. DATA_LOSS
// naming partition and offset when they do not fill it.
absl::StatusOr<std::vector<std::string_view>> EntriesOf(const TopicMessage& message);

}  // namespace buurtlog::eventlog
