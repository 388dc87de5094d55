#pragma once
// Small pieces that the NEON kernels share. Everything here has internal linkage and no library template is
// used: files of several instruction sets include it.

#include <arm_neon.h>

#include <cstdint>

#include "engine/formats/f16.h"

namespace bitnet::neon {
namespace {

/// Eight lanes.
struct F8 {
  float32x4_t low;
  float32x4_t high;
};

inline F8 zero8() {
  return {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
}
inline F8 all(float x) {
  return {vdupq_n_f32(x), vdupq_n_f32(x)};
}
inline F8 load(const float* p) {
  return {vld1q_f32(p), vld1q_f32(p + 4)};
}
inline void store(float* p, F8 v) {
  vst1q_f32(p, v.low);
  vst1q_f32(p + 4, v.high);
}
inline F8 add(F8 a, F8 b) {
  return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)};
}
inline F8 sub(F8 a, F8 b) {
  return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)};
}
inline F8 mul(F8 a, F8 b) {
  return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)};
}
inline F8 div(F8 a, F8 b) {
  return {vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)};
}
/// fma(a, b, c), rounded once.
inline F8 fmadd(F8 a, F8 b, F8 c) {
  return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)};
}

/// Four and eight binary16 numbers, widened; the conversion is part of every aarch64 processor.
inline float32x4_t widen(uint16x4_t v) {
  return vcvt_f32_f16(vreinterpret_f16_u16(v));
}
inline F8 widen(uint16x8_t v) {
  return {widen(vget_low_u16(v)), widen(vget_high_u16(v))};
}
inline F8 load_f16(const f16* p) {
  return widen(vld1q_u16(p));
}
/// Rounded to nearest, ties to even: the mode that a process starts in and that nobody here changes.
inline uint16x8_t narrow(F8 v) {
  return vcombine_u16(vreinterpret_u16_f16(vcvt_f16_f32(v.low)), vreinterpret_u16_f16(vcvt_f16_f32(v.high)));
}

inline float to_f32_one(f16 x) {
  return vgetq_lane_f32(widen(vdup_n_u16(x)), 0);
}

inline f16 to_f16_one(float x) {
  return vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(x))), 0);
}

inline float fma_one(float a, float b, float c) {
  return vget_lane_f32(vfma_f32(vdup_n_f32(c), vdup_n_f32(a), vdup_n_f32(b)), 0);
}

inline std::int64_t smaller(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}

/// The first `count` of eight numbers, `filling` for the others.
inline F8 load_some(const float* p, std::int64_t count, float filling) {
  float some[8];
  for (std::int64_t i = 0; i < 8; ++i) some[i] = i < count ? p[i] : filling;
  return load(some);
}

inline void store_some(float* p, F8 v, std::int64_t count) {
  float some[8];
  store(some, v);
  for (std::int64_t i = 0; i < count; ++i) p[i] = some[i];
}

/// a > b ? a : b, lane by lane: b wins over a NaN in a (vmaxq would give the NaN).
inline float32x4_t greater(float32x4_t a, float32x4_t b) {
  return vbslq_f32(vcgtq_f32(a, b), a, b);
}

/// The greatest lane; no lane of v is NaN.
inline float greatest_lane(float32x4_t v) {
  return vmaxvq_f32(v);
}

/// Eight lanes to one: 8 -> 4 -> 2 -> 1, the upper half added to the lower.
inline float fold(F8 v) {
  const float32x4_t four = vaddq_f32(v.low, v.high);
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(vpadd_f32(two, two), 0);
}

/// fold() of four vectors at once; lane i is that of v[i].
inline float32x4_t fold_four(const F8* v) {
  float32x4_t four[4];
  for (int i = 0; i < 4; ++i) four[i] = vaddq_f32(v[i].low, v[i].high);
  const float32x4_t a = vaddq_f32(vcombine_f32(vget_low_f32(four[0]), vget_low_f32(four[1])),
                                  vcombine_f32(vget_high_f32(four[0]), vget_high_f32(four[1])));
  const float32x4_t b = vaddq_f32(vcombine_f32(vget_low_f32(four[2]), vget_low_f32(four[3])),
                                  vcombine_f32(vget_high_f32(four[2]), vget_high_f32(four[3])));
  return vpaddq_f32(a, b);
}

inline F8 fold_eight(const F8 (&v)[8]) {
  return {fold_four(v), fold_four(v + 4)};
}

/// The four accumulators of sixteen lanes of a dot product (scalar/lanes.h), as eight vectors: accumulator j
/// is acc[2 j], acc[2 j + 1]. Adds them, and the upper eight lanes to the lower.
inline F8 add_accumulators(const F8 (&acc)[8]) {
  const F8 low = add(add(acc[0], acc[4]), add(acc[2], acc[6]));
  const F8 high = add(add(acc[1], acc[5]), add(acc[3], acc[7]));
  return add(low, high);
}

inline constexpr std::int64_t kStep = 64;  // elements per step of a dot product

}  // namespace
}  // namespace bitnet::neon
