#pragma once
// Small pieces that the AVX2 kernels share. Everything here has internal linkage and no library template is
// used: a copy of an inline function that was compiled for AVX2 must never be linked into code that runs
// elsewhere.

#include <immintrin.h>

#include <cstdint>

#include "engine/formats/f16.h"

namespace bitnet::avx2 {
namespace {

/// Eight binary16 numbers, widened.
inline __m256 load_f16(const f16* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

inline float to_f32_one(f16 x) {
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(x)));
}

inline f16 to_f16_one(float x) {
  return static_cast<f16>(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT)));
}

inline float fma_one(float a, float b, float c) {
  return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
}

inline std::int64_t smaller(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}

/// v. Stops GCC 12 from spreading the accumulators of a loop over copies and the stack, which costs an eighth
/// of a matrix product's speed.
inline __m256i in_place(__m256i v) {
  __asm__("" : "+x"(v));
  return v;
}
inline __m256 in_place(__m256 v) {
  __asm__("" : "+x"(v));
  return v;
}

/// Asks for the cache line `bytes` behind p. Matrices are read from end to end, so that is what comes next;
/// behind the last row it is never read, which harms nothing.
inline void prefetch(const void* p, std::int64_t bytes) {
  _mm_prefetch(static_cast<const char*>(p) + bytes, _MM_HINT_T0);
}

/// All ones in the lanes below `count`.
inline __m256i first_lanes(std::int64_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(smaller(count, 8))), lane);
}

/// The first `count` of four. Masked stores are many times as slow as whole ones.
inline void store_some(float* y, __m128 v, std::int64_t count) {
  if (count >= 4) {
    _mm_storeu_ps(y, v);
  } else {
    _mm_maskstore_ps(y, _mm256_castsi256_si128(first_lanes(count)), v);
  }
}

/// Eight lanes to one: 8 -> 4 -> 2 -> 1, the upper half added to the lower.
inline float fold(__m256 v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/// fold() of eight vectors at once; lane i is that of v[i].
inline __m256 fold_eight(const __m256 (&v)[8]) {
  // The pairs are chosen so that the sums come out in order.
  __m256 four[4];
  for (int i = 0; i < 4; ++i) {
    four[i] = _mm256_add_ps(_mm256_permute2f128_ps(v[i], v[i + 4], 0x20),
                            _mm256_permute2f128_ps(v[i], v[i + 4], 0x31));
  }
  const __m256 a =
      _mm256_add_ps(_mm256_shuffle_ps(four[0], four[1], 0x44), _mm256_shuffle_ps(four[0], four[1], 0xee));
  const __m256 b =
      _mm256_add_ps(_mm256_shuffle_ps(four[2], four[3], 0x44), _mm256_shuffle_ps(four[2], four[3], 0xee));
  return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd));
}

/// The four accumulators of sixteen lanes of a dot product (scalar/lanes.h), as eight vectors: accumulator j
/// is acc[2 j], acc[2 j + 1]. Adds them, and the upper eight lanes to the lower.
inline __m256 add_accumulators(const __m256 (&acc)[8]) {
  const __m256 low = _mm256_add_ps(_mm256_add_ps(acc[0], acc[4]), _mm256_add_ps(acc[2], acc[6]));
  const __m256 high = _mm256_add_ps(_mm256_add_ps(acc[1], acc[5]), _mm256_add_ps(acc[3], acc[7]));
  return _mm256_add_ps(low, high);
}

inline constexpr std::int64_t kStep = 64;  // elements per step of a dot product

}  // namespace
}  // namespace bitnet::avx2
