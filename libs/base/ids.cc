#include "libs/base/ids.h"

#include <openssl/evp.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"

namespace buurtlog {
namespace {

constexpr size_t kTextLength = 36;
constexpr size_t kTimeBytes = 6;
constexpr int64_t kMillisMax = (int64_t{1} << 48) - 1;

bool IsDashPlace(size_t i) { return i == 8 || i == 13 || i == 18 || i == 23; }

// The text itself stays out of the message: whatever a caller put there may be about somebody.
absl::Status NotAUuid() { return absl::InvalidArgumentError("not a UUID of 36 characters"); }

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void SetVersionAndVariant(Uuid& id) {
  id.bytes[6] = static_cast<uint8_t>((id.bytes[6] & 0x0f) | 0x70);
  id.bytes[8] = static_cast<uint8_t>((id.bytes[8] & 0x3f) | 0x80);
}

}  // namespace

bool Uuid::IsNil() const { return *this == Uuid(); }

absl::Time Uuid::Timestamp() const {
  int64_t millis = 0;
  for (size_t i = 0; i < kTimeBytes; ++i) millis = millis << 8 | bytes[i];
  return absl::FromUnixMillis(millis);
}

std::string Uuid::ToString() const {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text(kTextLength, '-');
  size_t at = 0;
  for (uint8_t byte : bytes) {
    if (IsDashPlace(at)) ++at;
    text[at++] = kDigits[byte >> 4];
    text[at++] = kDigits[byte & 15];
  }
  return text;
}

absl::StatusOr<Uuid> ParseUuid(std::string_view text) {
  if (text.size() != kTextLength) return NotAUuid();
  Uuid id;
  size_t at = 0;
  for (uint8_t& byte : id.bytes) {
    if (IsDashPlace(at) && text[at++] != '-') return NotAUuid();
    const int high = HexDigit(text[at++]);
    const int low = HexDigit(text[at++]);
    if (high < 0 || low < 0) return NotAUuid();
    byte = static_cast<uint8_t>(high << 4 | low);
  }
  return id;
}

absl::StatusOr<Uuid> UuidFromBytes(std::string_view bytes) {
  Uuid id;
  if (bytes.empty()) return id;
  if (bytes.size() != id.bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("a UUID of ", bytes.size(), " bytes"));
  }
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id;
}

Uuid NewUuid(absl::Time now, Random& random) {
  // A clock before 1970 or after the year 10889 is clamped rather than wrapped, so that order
  // holds.
  const int64_t millis = std::clamp<int64_t>(absl::ToUnixMillis(now), 0, kMillisMax);
  Uuid id;
  for (size_t i = 0; i < kTimeBytes; ++i) {
    id.bytes[i] = static_cast<uint8_t>(millis >> (8 * (kTimeBytes - 1 - i)));
  }
  random.Fill(absl::MakeSpan(id.bytes).subspan(kTimeBytes));
  SetVersionAndVariant(id);
  return id;
}

Uuid DerivedUuid(const Uuid& cause, std::string_view name) {
  std::string input = cause.ToBytes();
  input.append(name);
  std::array<uint8_t, 32> digest{};
  CHECK(EVP_Digest(input.data(), input.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1);
  Uuid id = cause;
  std::copy_n(digest.begin(), id.bytes.size() - kTimeBytes, id.bytes.begin() + kTimeBytes);
  SetVersionAndVariant(id);
  return id;
}

}  // namespace buurtlog
