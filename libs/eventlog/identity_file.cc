#include "libs/eventlog/identity_file.h"

#include <google/protobuf/util/json_util.h>

#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "buurtlog/log/v1/log_service.pb.h"
#include "libs/base/absl_view.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/bytes.h"

namespace buurtlog::eventlog {
namespace {

constexpr absl::string_view kFirstLine = "buurtlog log format ";
constexpr uint32_t kFolderFormat = 2;

std::string IdentityFilePath(const std::string& folder) {
  return absl::StrCat(folder, "/identity");
}

std::string CrcLine(std::string_view text) { return absl::StrFormat("crc32 %08x", Crc32(0, text)); }

absl::StatusOr<LogIdentity> FromJson(const std::string& json, const std::string& path) {
  log::v1::LogIdentity message;
  if (!google::protobuf::util::JsonStringToMessage(json, &message).ok()) {
    return absl::DataLossError(absl::StrCat(path, " is damaged"));
  }
  absl::StatusOr<Uuid> log_id = ParseUuid(message.log_id());
  if (!log_id.ok() || message.partitions() == 0 || message.partitions() > kPartitionsMax) {
    return absl::DataLossError(absl::StrCat(path, " is damaged"));
  }
  LogIdentity identity;
  identity.log_id = *log_id;
  identity.service = message.service();
  identity.topic_version = message.topic_version();
  identity.partitions = message.partitions();
  identity.record_bytes_max = message.record_bytes_max();
  identity.synthetic = message.synthetic();
  return identity;
}

}  // namespace

bool HasIdentityFile(Files& files, const std::string& folder) {
  return files.Exists(IdentityFilePath(folder));
}

absl::StatusOr<std::string> EncodeIdentity(const LogIdentity& identity) {
  log::v1::LogIdentity message;
  message.set_log_id(identity.log_id.ToString());
  message.set_service(identity.service);
  message.set_topic_version(identity.topic_version);
  message.set_partitions(identity.partitions);
  message.set_record_bytes_max(identity.record_bytes_max);
  message.set_synthetic(identity.synthetic);
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json).ok()) {
    return absl::InternalError("the log identity has no JSON form");
  }
  const std::string text = absl::StrCat(kFirstLine, kFolderFormat, "\n", json, "\n");
  return absl::StrCat(text, CrcLine(text), "\n");
}

absl::Status WriteIdentityFile(Files& files, const std::string& folder,
                               const LogIdentity& identity) {
  ABSL_ASSIGN_OR_RETURN(const std::string text, EncodeIdentity(identity));
  return files.WriteAtomically(IdentityFilePath(folder), text);
}

absl::StatusOr<LogIdentity> ReadIdentityFile(Files& files, const std::string& folder) {
  absl::StatusOr<std::string> text = files.Read(IdentityFilePath(folder));
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(absl::StrCat("there is no log in ", folder));
  }
  ABSL_RETURN_IF_ERROR(text.status());
  return DecodeIdentity(*text, IdentityFilePath(folder));
}

absl::StatusOr<LogIdentity> DecodeIdentity(std::string_view text, const std::string& path) {
  const std::vector<std::string> lines = absl::StrSplit(AbslView(text), '\n');
  absl::string_view number = lines[0];
  uint32_t format = 0;
  if (!absl::ConsumePrefix(&number, kFirstLine) || !absl::SimpleAtoi(number, &format)) {
    return absl::DataLossError(absl::StrCat(path, " is damaged"));
  }
  // Before anything else is believed: a later release may have changed all that follows.
  if (format > kFolderFormat) {
    return WithReason(absl::FailedPreconditionError(
                          absl::StrCat(path, " was made by a newer release (format ", format,
                                       "; this release knows ", kFolderFormat, ")")),
                      "NEWER_RELEASE");
  }
  // Every format up to this one has its CRC there; a digit that was flipped is damage.
  if (lines.size() < 3 || lines[2] != CrcLine(absl::StrCat(lines[0], "\n", lines[1], "\n"))) {
    return absl::DataLossError(absl::StrCat(path, " is damaged"));
  }
  if (format < kFolderFormat) {
    return WithReason(absl::FailedPreconditionError(
                          absl::StrCat(path, " was made by an earlier release (format ", format,
                                       "), which held invented people only; make it anew")),
                      "EARLIER_RELEASE");
  }
  ABSL_ASSIGN_OR_RETURN(LogIdentity identity, FromJson(lines[1], path));
  if (!identity.synthetic) {
    return WithReason(absl::FailedPreconditionError(absl::StrCat(
                          path,
                          " is not marked as holding invented people only; this release "
                          "cannot seal what is about people and opens no other log")),
                      "NOT_SYNTHETIC");
  }
  return identity;
}

}  // namespace buurtlog::eventlog
