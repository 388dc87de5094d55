// Elementwise operations (reference-semantics 5.2, 6.8, 6.11) and the arg max.

#include "engine/kernels/declare.h"
#include "engine/kernels/scalar/exp.h"

namespace bitnet::scalar {

void add(const float* a, const float* b, std::int64_t n, float* y) {
  for (std::int64_t k = 0; k < n; ++k) y[k] = a[k] + b[k];
}

void mul(const float* a, const float* b, std::int64_t n, float* y) {
  for (std::int64_t k = 0; k < n; ++k) y[k] = a[k] * b[k];
}

void relu_squared(const float* x, std::int64_t n, float* y) {
  for (std::int64_t k = 0; k < n; ++k) {
    const float r = x[k] > 0.0f ? x[k] : 0.0f;
    y[k] = r * r;
  }
}

void silu(const float* x, std::int64_t n, float* y) {
  for (std::int64_t k = 0; k < n; ++k) y[k] = x[k] / (1.0f + polynomial_exp(0.0f - x[k]));
}

std::int64_t argmax(const float* x, std::int64_t n) {
  std::int64_t best = -1;
  for (std::int64_t k = 0; k < n; ++k) {
    const bool greater = best < 0 ? x[k] == x[k] : x[k] > x[best];
    if (greater) best = k;
  }
  return best < 0 ? 0 : best;
}

}  // namespace bitnet::scalar
