// RMS norm.

#include "engine/kernels/declare.h"
#include "engine/kernels/neon/simd.h"

namespace bitnet::neon {
namespace {

/// The mean of the squares, fl(sum / n), for the sum taken in order.
///
/// As in avx2/norm.cpp: sums side by side differ from the sum in order by rounding alone, either is within
/// n 2^-53 of the exact sum, relatively. When all sums that near give the same mean in binary32, the one in
/// order gives it too, and it need not be taken.
float mean_of_squares(const float* x, std::int64_t n) {
  float64x2_t acc[4] = {vdupq_n_f64(0), vdupq_n_f64(0), vdupq_n_f64(0), vdupq_n_f64(0)};
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) {
    for (int i = 0; i < 2; ++i) {
      const float32x4_t v = vld1q_f32(x + k + 4 * i);
      const float32x4_t square = vmulq_f32(v, v);
      acc[2 * i] = vaddq_f64(acc[2 * i], vcvt_f64_f32(vget_low_f32(square)));
      acc[2 * i + 1] = vaddq_f64(acc[2 * i + 1], vcvt_high_f64_f32(square));
    }
  }
  double sum = vaddvq_f64(vaddq_f64(vaddq_f64(acc[0], acc[1]), vaddq_f64(acc[2], acc[3])));
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
    const float root = vget_lane_f32(vsqrt_f32(vdup_n_f32(mean_of_squares(in, n) + eps)), 0);
    const float r = 1.0f / root;
    const F8 vr = all(r);
    std::int64_t k = 0;
    for (; k + 8 <= n; k += 8) store(out + k, mul(mul(load(in + k), vr), load(weight + k)));
    for (; k < n; ++k) out[k] = in[k] * r * weight[k];
  }
}

}  // namespace bitnet::neon
