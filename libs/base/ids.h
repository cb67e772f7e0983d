// Identifiers. All ids are UUIDs of version 7 (RFC 9562): 48 bits of Unix milliseconds, then random
// bits. They name aggregates, events, commands and people, and say nothing about them.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/random.h"

namespace buurtlog {

// 16 bytes in network order. The nil UUID (all zero) means "none".
struct Uuid {
  std::array<uint8_t, 16> bytes{};

  friend auto operator<=>(const Uuid&, const Uuid&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Uuid& id) {
    return H::combine(std::move(h), id.bytes);
  }

  bool IsNil() const;
  // Of a version 7 UUID; the value is meaningless for others.
  absl::Time Timestamp() const;
  int Version() const { return bytes[6] >> 4; }
  // The 36 characters of RFC 9562 in lower case.
  std::string ToString() const;
  // The 16 bytes, as they stand in messages of the log.
  std::string ToBytes() const { return std::string(bytes.begin(), bytes.end()); }
};

// Reads the 36-character form, upper or lower case. INVALID_ARGUMENT otherwise.
absl::StatusOr<Uuid> ParseUuid(std::string_view text);
// Reads 16 bytes; an empty string is the nil UUID. INVALID_ARGUMENT for another length.
absl::StatusOr<Uuid> UuidFromBytes(std::string_view bytes);

// A new UUIDv7 of the given time.
Uuid NewUuid(absl::Time now, Random& random);

// The id that follows from a cause and a name: same input, same id, on every machine and for ever.
// Keeps the time of `cause`, so that it sorts beside it; the rest is from SHA-256(cause, name). For
// ids of what a command creates, the keys of the items of a bulk call and the commands of a
// process.
Uuid DerivedUuid(const Uuid& cause, std::string_view name);

// Makes new ids from the two seams, kept by reference. Thread-safe.
class IdGenerator {
 public:
  IdGenerator(Clock& clock, Random& random) : clock_(clock), random_(random) {}
  Uuid New() { return NewUuid(clock_.Now(), random_); }

 private:
  Clock& clock_;
  Random& random_;
};

}  // namespace buurtlog
