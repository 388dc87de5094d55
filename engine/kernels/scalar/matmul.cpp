// Dense products: binary16 rows (reference-semantics 6.3) and binary32 rows (6.5).

#include <cmath>

#include "engine/kernels/declare.h"
#include "engine/kernels/scalar/half.h"
#include "engine/kernels/scalar/lanes.h"

namespace bitnet::scalar {
namespace {

float dot_f32(const float* x, const float* y, std::int64_t n) {
  Accumulators a;
  std::int64_t k = 0;
  for (; k + kStep <= n; k += kStep) {
    for (int i = 0; i < kStep; ++i) a.acc[i] = std::fma(x[k + i], y[k + i], a.acc[i]);
  }
  float sum = a.sum();
  for (; k < n; ++k) sum = std::fma(x[k], y[k], sum);
  return sum;
}

}  // namespace

void matmul_f16(const f16* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const f16* x,
                std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  for (std::int64_t m = row_begin; m < row_end; ++m) {
    for (std::int64_t t = 0; t < rows; ++t) y[t * y_stride + m] = dot_f16(w + m * n, x + t * x_stride, n);
  }
}

void matmul_f32(const float* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const float* x,
                std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  for (std::int64_t m = row_begin; m < row_end; ++m) {
    for (std::int64_t t = 0; t < rows; ++t) y[t * y_stride + m] = dot_f32(w + m * n, x + t * x_stride, n);
  }
}

}  // namespace bitnet::scalar
