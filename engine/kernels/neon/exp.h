#pragma once
// scalar/exp.h for four and eight numbers.

#include "engine/kernels/neon/simd.h"

namespace bitnet::neon {
namespace {

inline float32x4_t polynomial_exp(float32x4_t x) {
  const float32x4_t round = vdupq_n_f32(0x1.8p23f);
  const float32x4_t z = vfmaq_f32(round, x, vdupq_n_f32(0x1.715476p+0f));
  const float32x4_t n = vsubq_f32(z, round);
  const float32x4_t b =
      vfmsq_f32(vfmsq_f32(x, n, vdupq_n_f32(0x1.62e4p-1f)), n, vdupq_n_f32(0x1.7f7d1cp-20f));
  const float32x4_t u = vmulq_f32(b, b);
  const float32x4_t high = vfmaq_f32(vdupq_n_f32(0x1.573e2ep-5f), vdupq_n_f32(0x1.0e4020p-7f), b);
  const float32x4_t middle = vfmaq_f32(vdupq_n_f32(0x1.fffdb6p-2f), vdupq_n_f32(0x1.555e66p-3f), b);
  const float32x4_t low = vfmaq_f32(vdupq_n_f32(1.0f), vdupq_n_f32(0x1.ffffecp-1f), b);
  const float32x4_t p = vfmaq_f32(low, vfmaq_f32(middle, high, u), u);

  // p * 2^n in two steps, of which only the second rounds.
  const int32x4_t exponent = vcvtnq_s32_f32(n);
  const int32x4_t half = vshrq_n_s32(exponent, 1);
  const int32x4_t bias = vdupq_n_s32(127);
  const int32x4_t scale0 = vshlq_n_s32(vaddq_s32(half, bias), 23);
  const int32x4_t scale1 = vshlq_n_s32(vaddq_s32(vsubq_s32(exponent, half), bias), 23);
  const float32x4_t scaled =
      vmulq_f32(vmulq_f32(p, vreinterpretq_f32_s32(scale0)), vreinterpretq_f32_s32(scale1));

  // |n| > 192: 0 or infinity. Comparisons with NaN are false and leave it as it is.
  const uint32x4_t beyond = vcagtq_f32(n, vdupq_n_f32(192.0f));
  const uint32x4_t above = vcgtq_f32(n, vdupq_n_f32(0.0f));
  const uint32x4_t limit = vandq_u32(above, vreinterpretq_u32_f32(vdupq_n_f32(__builtin_inff())));
  return vbslq_f32(beyond, vreinterpretq_f32_u32(limit), scaled);
}

inline F8 polynomial_exp(F8 x) {
  return {polynomial_exp(x.low), polynomial_exp(x.high)};
}

}  // namespace
}  // namespace bitnet::neon
