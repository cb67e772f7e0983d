// UTF-8, as strict as RFC 3629. Private to libs/rpc.
#pragma once

#include <cstddef>
#include <string_view>

namespace buurtlog::rpc {

// Bytes of the first character of `text`, 1 to 4; 0 when it is not well-formed (cut off, overlong,
// a surrogate, too large) or `text` is empty.
size_t Utf8Length(std::string_view text);

}  // namespace buurtlog::rpc
