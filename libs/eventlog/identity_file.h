// What is fixed when a log is made, as a small text file that people can read: a line with the
// format of the folder, the identity as JSON, and a CRC of both.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/files.h"
#include "libs/eventlog/record.h"

namespace buurtlog::eventlog {

// The text of the file, as it also stands in front of each partition of a topic.
absl::StatusOr<std::string> EncodeIdentity(const LogIdentity& identity);
// Errors as ReadIdentityFile, naming `place`.
absl::StatusOr<LogIdentity> DecodeIdentity(std::string_view text, const std::string& place);

bool HasIdentityFile(Files& files, const std::string& folder);

absl::Status WriteIdentityFile(Files& files, const std::string& folder,
                               const LogIdentity& identity);

// NOT_FOUND: there is no log in this folder. FAILED_PRECONDITION with reason NEWER_RELEASE: made by
// a later release of the software, whose format this one does not know; NOT_SYNTHETIC: not marked
// as holding invented people only. DATA_LOSS: damaged.
absl::StatusOr<LogIdentity> ReadIdentityFile(Files& files, const std::string& folder);

}  // namespace buurtlog::eventlog
