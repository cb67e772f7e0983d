// Errors that carry more than a code: the reason of a refusal, and the field that is malformed.
// Both travel as payloads of absl::Status and leave the process as google.rpc.ErrorInfo and
// google.rpc.BadRequest (libs/rpc/status_conversion.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace buurtlog {

// A rule said no: FAILED_PRECONDITION with a fixed reason in UPPER_SNAKE_CASE and a sentence for a
// person to read. The sentence holds nothing about anybody.
absl::Status Refuse(std::string_view reason, std::string_view message);

// The reason of a status made by Refuse; nothing for any other.
std::optional<std::string> RefusalReason(const absl::Status& status);

// Any status with a machine-readable reason beside its code (`TEAM_FULL`, `DATA_FOLDER_IN_USE`).
absl::Status WithReason(absl::Status status, std::string_view reason);
std::optional<std::string> StatusReason(const absl::Status& status);

// INVALID_ARGUMENT naming the field as it stands in the request (`members[3].person_id`).
absl::Status InvalidField(std::string_view field, std::string_view message);
std::optional<std::string> StatusField(const absl::Status& status);

}  // namespace buurtlog
