#pragma once
// Two pairs of ternary weights in a byte, as TL1 and TL2 code them: a nibble is 4 + 3 w0 + w1, the first
// pair's in bits 7:4.

#include <cstddef>
#include <cstdint>

namespace bitnet::tl_pair {

inline std::byte encode(const std::int8_t* first, const std::int8_t* second) {
  const auto nibble = [](const std::int8_t* w) { return 4 + 3 * w[0] + w[1]; };
  return static_cast<std::byte>(nibble(first) << 4 | nibble(second));
}

/// Nibbles above 8, which stand for nothing, come out with a first weight greater than 1.
inline void decode(std::byte byte, std::int8_t* first, std::int8_t* second) {
  const auto put = [](int nibble, std::int8_t* w) {
    w[0] = static_cast<std::int8_t>(nibble / 3 - 1);
    w[1] = static_cast<std::int8_t>(nibble % 3 - 1);
  };
  put(std::to_integer<int>(byte) >> 4, first);
  put(std::to_integer<int>(byte) & 15, second);
}

}  // namespace bitnet::tl_pair
