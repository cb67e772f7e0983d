#include "libs/base/random.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "libs/base/check.h"

namespace buurtlog {
namespace {

// Bytes fetched at once for small requests, so that an id does not cost a system call.
constexpr size_t kBufferBytes = 512;

void FillFromSystem(uint8_t* bytes, size_t count) {
  while (count > 0) {
    const ssize_t got = getrandom(bytes, count, 0);
    if (got < 0) {
      CHECK(errno == EINTR);
      continue;
    }
    bytes += got;
    count -= static_cast<size_t>(got);
  }
}

struct Buffer {
  std::array<uint8_t, kBufferBytes> bytes{};
  size_t left = 0;
};

class OperatingSystemRandom final : public Random {
 public:
  void Fill(absl::Span<uint8_t> bytes) override {
    if (bytes.size() > kBufferBytes / 8) {
      FillFromSystem(bytes.data(), bytes.size());
      return;
    }
    // One buffer a thread needs no lock.
    static thread_local Buffer buffer;
    if (buffer.left < bytes.size()) {
      FillFromSystem(buffer.bytes.data(), buffer.bytes.size());
      buffer.left = buffer.bytes.size();
    }
    buffer.left -= bytes.size();
    uint8_t* const from = buffer.bytes.data() + buffer.left;
    std::copy_n(from, bytes.size(), bytes.data());
    // What was handed out may be a key, so no second copy of it stays behind.
    explicit_bzero(from, bytes.size());
  }
};

}  // namespace

Random& SystemRandom() {
  static Random* const random = new OperatingSystemRandom;
  return *random;
}

void SeededRandom::Fill(absl::Span<uint8_t> bytes) {
  absl::MutexLock lock(&mutex_);
  uint64_t word = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i % 8 == 0) word = engine_();
    bytes[i] = static_cast<uint8_t>(word);
    word >>= 8;
  }
}

uint64_t RandomBelow(Random& random, uint64_t below) {
  CHECK(below >= 1);
  // The highest values are drawn anew where they would make small results likelier.
  const uint64_t unfair = (UINT64_MAX % below + 1) % below;
  while (true) {
    std::array<uint8_t, 8> bytes{};
    random.Fill(absl::MakeSpan(bytes));
    uint64_t value = 0;
    for (uint8_t byte : bytes) value = value << 8 | byte;
    if (value <= UINT64_MAX - unfair) return value % below;
  }
}

}  // namespace buurtlog
