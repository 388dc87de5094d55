#pragma once
// Two pairs of ternary weights in a byte, as TL1 and TL2 code them: a nibble is 4 + 3 w0 + w1, the first
// pair's in bits 7:4.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bitnet::tl_pair {

inline std::byte encode(const std::int8_t* w) {
  return static_cast<std::byte>((4 + 3 * w[0] + w[1]) << 4 | (4 + 3 * w[2] + w[3]));
}

/// The four weights of each byte.
inline constexpr auto kWeights = [] {
  std::array<std::array<std::int8_t, 4>, 256> weights{};
  for (int byte = 0; byte < 256; ++byte)
    for (int i = 0; i < 2; ++i) {
      const int nibble = byte >> (4 - 4 * i) & 15;
      auto* w = weights[static_cast<std::size_t>(byte)].data() + 2 * i;
      w[0] = static_cast<std::int8_t>(nibble / 3 - 1);
      w[1] = static_cast<std::int8_t>(nibble % 3 - 1);
    }
  return weights;
}();

/// Nibbles above 8, which stand for nothing, come out with a first weight greater than 1.
inline void decode(std::byte byte, std::int8_t* w) {
  std::memcpy(w, kWeights[std::to_integer<std::size_t>(byte)].data(), 4);
}

}  // namespace bitnet::tl_pair
