// The screen of a dense head for several rows of activations, by vpdpwssd: products of 16-bit numbers, two of
// them added to each 32-bit lane. One row is as fast as memory gives the weights, and the AVX2 kernel's.

#include "engine/kernels/avx2/bounds.h"
#include "engine/kernels/avx512vnni/simd.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx512vnni {
namespace {

constexpr std::int64_t kCodes = 32;  // in a vector

/// Lane i is the sum of the lanes of v[i].
inline __m128i sum_lanes(const __m512i (&v)[4]) {
  __m256i half[4];
  for (int i = 0; i < 4; ++i)
    half[i] = _mm256_add_epi32(_mm512_castsi512_si256(v[i]), _mm512_extracti64x4_epi64(v[i], 1));
  const __m256i four =
      _mm256_hadd_epi32(_mm256_hadd_epi32(half[0], half[1]), _mm256_hadd_epi32(half[2], half[3]));
  return _mm_add_epi32(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
}

/// Four rows of codes by kTokens rows of activations: sums[t] has those of the four. The first activations
/// ask for the four rows that follow.
template <int kTokens>
inline void dots(const std::int8_t* const (&w)[4], const std::int16_t* x, std::int64_t n, bool first,
                 __m128i (&sums)[kTokens]) {
  __m512i acc[kTokens][4];
  for (int t = 0; t < kTokens; ++t) {
    for (int r = 0; r < 4; ++r) acc[t][r] = _mm512_setzero_si512();
  }
  for (std::int64_t k = 0; k < n; k += kCodes) {
    const auto mask = static_cast<__mmask32>(n - k >= kCodes ? 0xffffffffu : (1u << (n - k)) - 1u);
    if (first) {
      for (int r = 0; r < 4; ++r) prefetch(w[r] + k, 4 * n);
    }
    __m512i weights[4];
    for (int r = 0; r < 4; ++r) weights[r] = _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(mask, w[r] + k));
    for (int t = 0; t < kTokens; ++t) {
      const __m512i q = in_place(_mm512_maskz_loadu_epi16(mask, x + t * n + k));
      for (int r = 0; r < 4; ++r) acc[t][r] = in_place(_mm512_dpwssd_epi32(acc[t][r], weights[r], q));
    }
  }
  for (int t = 0; t < kTokens; ++t) sums[t] = sum_lanes(acc[t]);
}

/// Up to four rows from m by kTokens rows of activations from t.
template <int kTokens>
void bounds(const ScreenMatrix& w, std::int64_t m, std::int64_t count, const ScreenRows& x, std::int64_t t,
            float* lower, float* upper, std::int64_t stride) {
  const std::int8_t* rows[4];
  for (std::int64_t r = 0; r < 4; ++r) {
    // Rows that fill up the four repeat the last; their bounds are not stored.
    rows[r] = w.codes + (m + smaller(r, count - 1)) * w.cols;
  }
  __m128i sums[kTokens];
  dots<kTokens>(rows, x.codes + t * w.cols, w.cols, t == 0, sums);
  const avx2::RowBounds four(w, m, count);
  for (int i = 0; i < kTokens; ++i) four.store(sums[i], x, t + i, lower, upper, stride);
}

}  // namespace

void screen_bounds(const ScreenMatrix& w, std::int64_t row_begin, std::int64_t row_end, const ScreenRows& x,
                   float* lower, float* upper, std::int64_t stride) {
  if (x.rows == 1) {
    avx2::screen_bounds(w, row_begin, row_end, x, lower, upper, stride);
    return;
  }
  for (std::int64_t m = row_begin; m < row_end; m += 4) {
    const std::int64_t count = smaller(4, row_end - m);
    std::int64_t t = 0;
    for (; t + 6 <= x.rows; t += 6) bounds<6>(w, m, count, x, t, lower, upper, stride);
    for (; t + 2 <= x.rows; t += 2) bounds<2>(w, m, count, x, t, lower, upper, stride);
    for (; t < x.rows; ++t) bounds<1>(w, m, count, x, t, lower, upper, stride);
  }
}

}  // namespace bitnet::avx512vnni
