#pragma once
// Dot products of binary16 rows (reference-semantics 6.3). The product of two binary16 numbers is exact in
// binary32, so multiplying and then adding rounds as one fused multiply-add would; no call of fma is needed.

#include <bit>
#include <cstdint>

#include "engine/formats/f16.h"
#include "engine/kernels/scalar/lanes.h"

namespace bitnet::scalar {

/// f16_to_f32 for kStep numbers, infinities and NaN included; masks in place of branches, so that compilers
/// can vectorize it.
inline void widen_step(const f16* x, float* y) {
  for (int i = 0; i < kStep; ++i) {
    const std::uint32_t h = x[i];
    const std::uint32_t magnitude = (h & 0x7fffu) << 13;
    // Subnormals: 2^-14 + mantissa * 2^-24, less 2^-14; both are exact.
    const std::uint32_t subnormal =
        std::bit_cast<std::uint32_t>(std::bit_cast<float>(0x38800000u + magnitude) - 0x1p-14f);
    const std::uint32_t normal = magnitude + 0x38000000u;
    const std::uint32_t is_subnormal = 0u - static_cast<std::uint32_t>(magnitude < 0x00800000u);
    const std::uint32_t is_special = 0u - static_cast<std::uint32_t>(magnitude >= 0x0f800000u);
    const std::uint32_t is_nan = 0u - static_cast<std::uint32_t>(magnitude > 0x0f800000u);
    // Infinity and NaN: the exponent 31 becomes 255, and signalling NaNs become quiet.
    const std::uint32_t finite = (subnormal & is_subnormal) | (normal & ~is_subnormal);
    const std::uint32_t bits = (finite + (is_special & 0x38000000u)) | (is_nan & 0x00400000u);
    y[i] = std::bit_cast<float>(bits | ((h & 0x8000u) << 16));
  }
}

/// Sum of x[k] * y[k], k < n.
inline float dot_f16(const f16* x, const f16* y, std::int64_t n) {
  Accumulators a;
  std::int64_t k = 0;
  for (; k + kStep <= n; k += kStep) {
    float wide_x[kStep];
    float wide_y[kStep];
    widen_step(x + k, wide_x);
    widen_step(y + k, wide_y);
    for (int i = 0; i < kStep; ++i) a.acc[i] += wide_x[i] * wide_y[i];
  }
  double sum = static_cast<double>(a.sum());
  for (; k < n; ++k) sum += static_cast<double>(f16_to_f32(x[k]) * f16_to_f32(y[k]));
  return static_cast<float>(sum);
}

}  // namespace bitnet::scalar
