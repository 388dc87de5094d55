#pragma once
// Small pieces that the AVX-512 kernels share: one vector holds the sixteen lanes of a sum (scalar/lanes.h).
// Internal linkage, as in avx2/simd.h.

#include "engine/kernels/avx2/simd.h"

namespace bitnet::avx512vnni {
namespace {

using avx2::fma_one;
using avx2::kStep;
using avx2::prefetch;
using avx2::smaller;
using avx2::to_f16_one;
using avx2::to_f32_one;

inline constexpr std::int64_t kLanes = 16;
inline constexpr int kAccumulators = 4;

/// The lanes below `count`, which may be negative or more than there are.
inline __mmask16 first_lanes(std::int64_t count) {
  if (count >= kLanes) return 0xffff;
  return count <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << count) - 1u);
}

/// Sixteen binary16 numbers, widened.
inline __m512 load_f16(const f16* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

/// Those of `mask`, the others zero and not read.
inline __m512 load_f16(const f16* p, __mmask16 mask) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p));
}

inline __m256 lower(__m512 v) {
  return _mm512_castps512_ps256(v);
}
inline __m256 upper(__m512 v) {
  return _mm512_extractf32x8_ps(v, 1);
}

/// v. Keeps compilers from spreading the accumulators of a loop over copies and the stack.
inline __m512 in_place(__m512 v) {
  __asm__("" : "+v"(v));
  return v;
}
inline __m512i in_place(__m512i v) {
  __asm__("" : "+v"(v));
  return v;
}

/// (acc0 + acc2) + (acc1 + acc3), as in scalar/lanes.h.
inline __m512 add_accumulators(const __m512 (&acc)[kAccumulators]) {
  return _mm512_add_ps(_mm512_add_ps(acc[0], acc[2]), _mm512_add_ps(acc[1], acc[3]));
}

/// Sixteen lanes to one: 16 -> 8 -> 4 -> 2 -> 1, the upper half added to the lower.
inline float fold(__m512 v) {
  return avx2::fold(_mm256_add_ps(lower(v), upper(v)));
}

/// fold() of sixteen vectors at once; lane i is that of v[i].
inline __m512 fold_sixteen(const __m512 (&v)[16]) {
  // The pairs are chosen so that the sums come out in order.
  __m512 eight[8];
  for (int i = 0; i < 8; ++i) {
    const __m512 a = v[i / 4 * 8 + i % 4];
    const __m512 b = v[i / 4 * 8 + i % 4 + 4];
    eight[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  }
  __m512 four[4];
  for (int i = 0; i < 4; ++i) {
    four[i] = _mm512_add_ps(_mm512_shuffle_f32x4(eight[i], eight[i + 4], 0x88),
                            _mm512_shuffle_f32x4(eight[i], eight[i + 4], 0xdd));
  }
  __m512 two[2];
  for (int i = 0; i < 2; ++i) {
    two[i] = _mm512_add_ps(_mm512_shuffle_ps(four[2 * i], four[2 * i + 1], 0x44),
                           _mm512_shuffle_ps(four[2 * i], four[2 * i + 1], 0xee));
  }
  return _mm512_add_ps(_mm512_shuffle_ps(two[0], two[1], 0x88), _mm512_shuffle_ps(two[0], two[1], 0xdd));
}

/// Lane j of v[i] becomes lane i of v[j].
inline void transpose(__m512 (&v)[16]) {
  __m512 a[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
    a[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
  }
  // b[i + k]: lane 4 q + l is number 4 q + k of row i + l.
  __m512 b[16];
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  for (int k = 0; k < 4; ++k) {
    const __m512 even_low = _mm512_shuffle_f32x4(b[k], b[k + 4], 0x88);
    const __m512 odd_low = _mm512_shuffle_f32x4(b[k], b[k + 4], 0xdd);
    const __m512 even_high = _mm512_shuffle_f32x4(b[k + 8], b[k + 12], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(b[k + 8], b[k + 12], 0xdd);
    v[k] = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
    v[k + 4] = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
    v[k + 8] = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
    v[k + 12] = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
  }
}

/// Sixteen double sums.
struct Sums {
  __m512d low;
  __m512d high;
};

inline Sums widen(__m512 v) {
  return {_mm512_cvtps_pd(lower(v)), _mm512_cvtps_pd(upper(v))};
}

inline __m512 narrow(const Sums& sums) {
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(sums.low)), _mm512_cvtpd_ps(sums.high), 1);
}

}  // namespace
}  // namespace bitnet::avx512vnni
