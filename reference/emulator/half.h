#pragma once
// binary16 by its bits. Written without branches, so that compilers turn loops over it into vector code.

#include <bit>
#include <cstdint>

namespace crossval::emulation {

/// The value of the binary16 number with these bits; NaN becomes quiet.
inline float f16_to_f32(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t magnitude = bits & 0x7fffu;
  // The exponent's bias moves from 15 to 127; infinity and NaN keep an exponent of ones.
  const std::uint32_t special = magnitude >= 0x7c00u ? 0x38000000u : 0u;
  const std::uint32_t quiet = magnitude > 0x7c00u ? 0x00400000u : 0u;
  const std::uint32_t normal = ((magnitude << 13) + 0x38000000u + special) | quiet;
  // Subnormal numbers are multiples of 2^-24, exact in binary32.
  const std::uint32_t subnormal =
      std::bit_cast<std::uint32_t>(static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24f);
  return std::bit_cast<float>(sign | (magnitude < 0x0400u ? subnormal : normal));
}

/// x rounded to the nearest binary16, ties to even, as a float; 65520 and above become infinite.
inline float round_to_f16(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t sign = bits & 0x80000000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  // Normal: 13 bits are dropped; adding half of them less one, plus the last bit kept, rounds to even.
  const std::uint32_t rounded = (magnitude + 0x0fffu + ((magnitude >> 13) & 1u)) & ~0x1fffu;
  const std::uint32_t bounded = rounded >= 0x47800000u ? 0x7f800000u : rounded;
  // Subnormal: the nearest multiple of 2^-24, by an addition whose last place is 2^-24.
  const float absolute = std::bit_cast<float>(magnitude < 0x38800000u ? magnitude : 0u);
  const std::uint32_t subnormal = std::bit_cast<std::uint32_t>((absolute + 0.5f) - 0.5f);
  const std::uint32_t finite = magnitude < 0x38800000u ? subnormal : bounded;
  return std::bit_cast<float>(sign | (magnitude > 0x7f800000u ? magnitude | 0x00400000u : finite));
}

}  // namespace crossval::emulation
