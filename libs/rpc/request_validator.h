// The form of a request, from the field rules in its proto (buurtlog/type/v1/field_rule.proto),
// nested messages and list items included.
#pragma once

#include <google/protobuf/message.h>

#include "absl/status/status.h"

namespace buurtlog::rpc {

inline constexpr uint32_t kCharactersMaxDefault = 200;
inline constexpr uint32_t kItemsMaxDefault = 100;
// A text that may be longer than this may have line breaks and tabs; any other is one line: a name,
// a number, an id.
inline constexpr uint32_t kOneLineCharactersMax = 200;

// INVALID_ARGUMENT naming the first bad field with its path (`members[3].person_id`); never repeats
// its value. Also refuses text that is not valid UTF-8 or holds control characters (but line break
// and tab where `characters_max` is over kOneLineCharactersMax), blank text where text is required
// or in a list, Timestamps out of range, and unknown enum values. Blank is what shows nothing:
// white space and the characters without width. Rules are compiled once for each message type.
// Thread-safe.
absl::Status ValidateForm(const google::protobuf::Message& request);

}  // namespace buurtlog::rpc
