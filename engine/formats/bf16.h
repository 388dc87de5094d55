#pragma once
// bfloat16, the upper half of a binary32 number, by integer arithmetic.

#include <bit>
#include <cstdint>

namespace bitnet {

/// A bfloat16 number. A type of its own, since its bits mean something else than those of an f16.
struct bf16 {
  std::uint16_t bits;
};

/// Exact.
inline float bf16_to_f32(bf16 x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
}

/// Round to nearest, ties to even; overflow to infinity; NaN stays a quiet NaN with its top payload bits.
inline bf16 f32_to_bf16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>(bits >> 16 | 0x40u)};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

}  // namespace bitnet
