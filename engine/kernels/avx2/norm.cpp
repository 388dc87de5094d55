// RMS norm.

#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx2 {
namespace {

/// The mean of the squares, fl(sum / n), for the sum taken in order.
///
/// A sum in order waits for every addition. Sixteen sums side by side differ from it by rounding alone:
/// either is within n 2^-53 of the exact sum, relatively. When all sums that near give the same mean in
/// binary32, the one in order gives it too (rounding is monotonic), and it need not be taken; that is so but
/// for one row in thousands.
float mean_of_squares(const float* x, std::int64_t n) {
  __m256d acc[4] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()};
  std::int64_t k = 0;
  for (; k + 16 <= n; k += 16) {
    for (int i = 0; i < 2; ++i) {
      const __m256 v = _mm256_loadu_ps(x + k + 8 * i);
      const __m256 square = _mm256_mul_ps(v, v);
      acc[2 * i] = _mm256_add_pd(acc[2 * i], _mm256_cvtps_pd(_mm256_castps256_ps128(square)));
      acc[2 * i + 1] = _mm256_add_pd(acc[2 * i + 1], _mm256_cvtps_pd(_mm256_extractf128_ps(square, 1)));
    }
  }
  const __m256d two = _mm256_add_pd(_mm256_add_pd(acc[0], acc[1]), _mm256_add_pd(acc[2], acc[3]));
  const __m128d one = _mm_add_pd(_mm256_castpd256_pd128(two), _mm256_extractf128_pd(two, 1));
  double sum = _mm_cvtsd_f64(_mm_add_sd(one, _mm_unpackhi_pd(one, one)));
  for (; k < n; ++k) sum += static_cast<double>(x[k] * x[k]);

  const double count = static_cast<double>(n);
  const double bound = sum * ((2.0 * count + 16.0) * 0x1p-53);
  const float low = static_cast<float>((sum - bound) / count);
  const float high = static_cast<float>((sum + bound) / count);
  if (low == high) return low;

  sum = 0;
  for (k = 0; k < n; ++k) sum += static_cast<double>(x[k] * x[k]);
  return static_cast<float>(sum / count);
}

}  // namespace

void rms_norm(const float* x, std::int64_t rows, std::int64_t x_stride, const float* weight, std::int64_t n,
              float eps, float* y, std::int64_t y_stride) {
  for (std::int64_t t = 0; t < rows; ++t) {
    const float* in = x + t * x_stride;
    float* out = y + t * y_stride;
    const float root = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean_of_squares(in, n) + eps)));
    const float r = 1.0f / root;
    const __m256 vr = _mm256_set1_ps(r);
    std::int64_t k = 0;
    for (; k + 8 <= n; k += 8) {
      const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(in + k), vr);
      _mm256_storeu_ps(out + k, _mm256_mul_ps(scaled, _mm256_loadu_ps(weight + k)));
    }
    for (; k < n; ++k) out[k] = in[k] * r * weight[k];
  }
}

}  // namespace bitnet::avx2
