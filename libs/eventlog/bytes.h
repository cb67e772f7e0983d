// Numbers and checksums as they are stored: little-endian, unsigned; CRC-32 of IEEE 802.3. Private
// to libs/eventlog.
#pragma once

#include <libdeflate.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace buurtlog::eventlog {

// The compiler makes one load or store of each of these on little-endian machines.
template <typename T>
void Store(char* to, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) to[i] = static_cast<char>(value >> (8 * i));
}

template <typename T>
T Load(const char* from) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= T{static_cast<uint8_t>(from[i])} << (8 * i);
  return value;
}

// Goes on from `crc`, which is 0 at the start.
inline uint32_t Crc32(uint32_t crc, std::string_view bytes) {
  return libdeflate_crc32(crc, bytes.data(), bytes.size());
}

}  // namespace buurtlog::eventlog
