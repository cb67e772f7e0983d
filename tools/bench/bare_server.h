// The limits that a durable command is measured against: gRPC servers with the contract of the
// tally that do nothing, or nothing but make the bytes durable. Callback API, as libs/rpc uses it.
#pragma once

#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace buurtlog::bench {

enum class BareKind {
  kEmpty,     // answers at once, with an answer of the usual size
  kBareFile,  // appends the request's bytes to a preallocated file, with one fdatasync a batch
};

struct BareFile {
  std::string path;
  size_t bytes = 0;
};

// Serves until SIGTERM. `serving` is called once with the address it really has. `file` is made and
// filled with zeros first, and written from its start again when it is full; not used by kEmpty.
absl::Status ServeBare(BareKind kind, const std::string& address, const BareFile& file,
                       absl::AnyInvocable<void(const std::string&)> serving);

}  // namespace buurtlog::bench
