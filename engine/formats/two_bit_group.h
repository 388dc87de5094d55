#pragma once
// Groups of 4 n codes of two bits in n bytes, as half of the ternary formats have them: byte p holds the
// elements p, p + n, p + 2 n, p + 3 n. A code is weight + 1.

#include <cstddef>
#include <cstdint>

namespace bitnet::two_bit_group {

/// kLowFirst: the first of them in bits 1:0; else in bits 7:6.
template <std::size_t n, bool kLowFirst>
void encode(const std::int8_t* weights, std::byte* bytes) {
  for (std::size_t p = 0; p < n; ++p) {
    int byte = 0;
    for (std::size_t g = 0; g < 4; ++g) byte |= (weights[p + g * n] + 1) << 2 * (kLowFirst ? g : 3 - g);
    bytes[p] = static_cast<std::byte>(byte);
  }
}

/// Code 3 comes out as +2; returns whether there was one.
template <std::size_t n, bool kLowFirst>
bool decode(const std::byte* bytes, std::int8_t* weights) {
  unsigned threes = 0;
  for (std::size_t p = 0; p < n; ++p) {
    const auto byte = std::to_integer<unsigned>(bytes[p]);
    threes |= byte & byte >> 1;
  }
  for (std::size_t g = 0; g < 4; ++g)
    for (std::size_t p = 0; p < n; ++p)
      weights[p + g * n] =
          static_cast<std::int8_t>((std::to_integer<int>(bytes[p]) >> 2 * (kLowFirst ? g : 3 - g) & 3) - 1);
  return (threes & 0x55u) != 0;
}

}  // namespace bitnet::two_bit_group
