#include "services/visits/read_models/columns.h"

#include "libs/base/ids.h"
#include "libs/base/status_macros.h"

namespace buurtlog::visits {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;

}  // namespace

absl::StatusOr<std::string> IdColumn(const std::string& id) {
  if (id.empty()) return std::string();
  ABSL_ASSIGN_OR_RETURN(const Uuid uuid, ParseUuid(id));
  return uuid.ToBytes();
}

std::string IdText(std::string_view column) {
  const absl::StatusOr<Uuid> uuid = UuidFromBytes(column);
  return !uuid.ok() || uuid->IsNil() ? std::string() : uuid->ToString();
}

void BindId(sqlite::Statement& statement, int parameter, const std::string& id) {
  if (id.empty()) {
    statement.BindNull(parameter);
  } else {
    statement.BindBlobView(parameter, id);
  }
}

int64_t TimeColumn(absl::Time time) { return absl::ToUnixMicros(time); }

int64_t TimeColumn(const google::protobuf::Timestamp& time) {
  return time.seconds() * kMicrosPerSecond + time.nanos() / 1000;
}

google::protobuf::Timestamp ToTimestamp(int64_t column) {
  const absl::Time time = absl::FromUnixMicros(column);
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(absl::ToUnixSeconds(time));
  timestamp.set_nanos(
      static_cast<int32_t>((column - absl::ToUnixSeconds(time) * kMicrosPerSecond) * 1000));
  return timestamp;
}

}  // namespace buurtlog::visits
