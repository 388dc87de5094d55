// RMS norm (reference-semantics 6.9).

#include <cmath>

#include "engine/kernels/declare.h"

namespace bitnet::scalar {

void rms_norm(const float* x, std::int64_t rows, std::int64_t x_stride, const float* weight, std::int64_t n,
              float eps, float* y, std::int64_t y_stride) {
  for (std::int64_t t = 0; t < rows; ++t) {
    const float* in = x + t * x_stride;
    float* out = y + t * y_stride;
    double sum = 0;
    for (std::int64_t k = 0; k < n; ++k) sum += static_cast<double>(in[k] * in[k]);
    const float mean = static_cast<float>(sum / static_cast<double>(n));
    const float r = 1.0f / std::sqrt(mean + eps);
    for (std::int64_t k = 0; k < n; ++k) out[k] = in[k] * r * weight[k];
  }
}

}  // namespace bitnet::scalar
