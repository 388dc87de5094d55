#pragma once
// Rounding by addition alone: the same bits everywhere, and nothing of libm.

#include <bit>
#include <cstdint>

namespace bitnet {

/// The nearest integer, ties to even, for |x| <= 2^22; some integer for anything else.
inline std::int32_t round_half_even(float x) {
  const float shifted = x + 0x1.8p23f;
  return static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(shifted) & 0x007fffffu) - 0x00400000;
}

}  // namespace bitnet
