#pragma once
// IEEE binary16, by integer arithmetic: the same bits on every machine, with or without F16C.

#include <bit>
#include <cstdint>

namespace bitnet {

/// The bits of a binary16 number.
using f16 = std::uint16_t;

/// Exact.
inline float f16_to_f32(f16 h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  const std::uint32_t exponent = (h >> 10) & 0x1fu;
  std::uint32_t mantissa = h & 0x3ffu;
  if (exponent == 0) {
    // Zero or subnormal: mantissa * 2^-24, exact in binary32.
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
  }
  if (exponent == 31) {
    // Hardware (F16C, NEON) quiets signalling NaNs; so do we.
    if (mantissa != 0) mantissa |= 0x200u;
    return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

/// Round to nearest, ties to even; overflow to infinity; NaN stays a quiet NaN with its top payload bits.
inline f16 f32_to_f16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<f16>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return static_cast<f16>(sign | 0x7c00u);  // >= 65520 rounds to infinity
  if (magnitude < 0x38800000u) {
    // Subnormal result: adding 2^-1 * 2^-14 * 2^... aligns the ulp of binary32 with 2^-24.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;  // ulp(0.5) = 2^-24
    return static_cast<f16>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<f16>(sign | ((rounded - 0x38000000u) >> 13));
}

}  // namespace bitnet
