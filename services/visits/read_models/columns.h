// How ids and times stand in the columns of this service's read models: ids as 16 bytes, times as
// microseconds since 1970.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::visits {

// INVALID_ARGUMENT for what is no UUID. An empty text, which names nobody, gives an empty string.
absl::StatusOr<std::string> IdColumn(const std::string& id);
// The 36 characters; empty for an empty column.
std::string IdText(std::string_view column);

// Binds an id column; NULL for nobody. The bytes stay until the statement has run.
void BindId(sqlite::Statement& statement, int parameter, const std::string& id);

int64_t TimeColumn(absl::Time time);
int64_t TimeColumn(const google::protobuf::Timestamp& time);
google::protobuf::Timestamp ToTimestamp(int64_t column);

}  // namespace buurtlog::visits
