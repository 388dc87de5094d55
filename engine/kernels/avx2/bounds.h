#pragma once
// The float part of Kernels::screen_bounds for four rows of weights. Internal linkage, as in avx2/simd.h.

#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/kernels.h"

namespace bitnet::avx2 {
namespace {

class RowBounds {
 public:
  /// Of the rows [m, m + count), count <= 4.
  RowBounds(const ScreenMatrix& w, std::int64_t m, std::int64_t count)
      : m_(m),
        count_(count),
        scales_(widened(w.scales + m)),
        errors_(widened(w.errors + m)),
        sizes_(widened(w.sizes + m)) {}

  /// With the integer products of the four rows and row t of x.
  template <class Code>
  void store(__m128i dots, const ScreenRows<Code>& x, std::int64_t t, float* lower, float* upper,
             std::int64_t stride) const {
    const __m256d dot = _mm256_cvtepi32_pd(dots);
    const __m256d centre = _mm256_mul_pd(_mm256_mul_pd(scales_, _mm256_set1_pd(x.scales[t])), dot);
    const __m256d inexact = _mm256_add_pd(_mm256_mul_pd(errors_, _mm256_set1_pd(x.norms[t])),
                                          _mm256_mul_pd(sizes_, _mm256_set1_pd(x.slacks[t])));
    const __m256d magnitude = _mm256_andnot_pd(_mm256_set1_pd(-0.0), centre);
    const __m256d widened = _mm256_add_pd(_mm256_mul_pd(inexact, _mm256_set1_pd(kScreenUp)),
                                          _mm256_mul_pd(magnitude, _mm256_set1_pd(kScreenWiden)));
    const __m256d radius = _mm256_add_pd(widened, _mm256_set1_pd(kScreenLeast));
    const std::int64_t at = t * stride + m_;
    store_some(lower + at, _mm256_cvtpd_ps(_mm256_sub_pd(centre, radius)), count_);
    store_some(upper + at, _mm256_cvtpd_ps(_mm256_add_pd(centre, radius)), count_);
  }

 private:
  /// Those of the rows, widened; the rest zero.
  __m256d widened(const float* p) const {
    return _mm256_cvtps_pd(_mm_maskload_ps(p, _mm256_castsi256_si128(first_lanes(count_))));
  }

  std::int64_t m_;
  std::int64_t count_;
  __m256d scales_;
  __m256d errors_;
  __m256d sizes_;
};

}  // namespace
}  // namespace bitnet::avx2
