// Elementwise operations and the arg max.

#include "engine/kernels/declare.h"
#include "engine/kernels/neon/exp.h"
#include "engine/kernels/neon/simd.h"

namespace bitnet::neon {
namespace {

inline F8 silu_of(F8 x) {
  return div(x, add(all(1.0f), polynomial_exp(sub(zero8(), x))));
}

/// The greatest of x[0..n) that are no NaN, -infinity when there is none.
float greatest_of(const float* x, std::int64_t n) {
  const float least = -__builtin_inff();
  float32x4_t m[4] = {vdupq_n_f32(least), vdupq_n_f32(least), vdupq_n_f32(least), vdupq_n_f32(least)};
  std::int64_t k = 0;
  for (; k + 16 <= n; k += 16) {
    for (int i = 0; i < 4; ++i) m[i] = greater(vld1q_f32(x + k + 4 * i), m[i]);
  }
  for (; k < n; k += 8) {
    const F8 some = load_some(x + k, n - k, least);
    m[0] = greater(some.low, m[0]);
    m[1] = greater(some.high, m[1]);
  }
  return greatest_lane(greater(greater(m[0], m[1]), greater(m[2], m[3])));
}

}  // namespace

void add(const float* a, const float* b, std::int64_t n, float* y) {
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) store(y + k, add(load(a + k), load(b + k)));
  for (; k < n; ++k) y[k] = a[k] + b[k];
}

void mul(const float* a, const float* b, std::int64_t n, float* y) {
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) store(y + k, mul(load(a + k), load(b + k)));
  for (; k < n; ++k) y[k] = a[k] * b[k];
}

void relu_squared(const float* x, std::int64_t n, float* y) {
  const float32x4_t zero = vdupq_n_f32(0.0f);
  std::int64_t k = 0;
  for (; k + 4 <= n; k += 4) {
    const float32x4_t r = greater(vld1q_f32(x + k), zero);  // NaN and -0 give +0
    vst1q_f32(y + k, vmulq_f32(r, r));
  }
  for (; k < n; ++k) {
    const float r = x[k] > 0.0f ? x[k] : 0.0f;
    y[k] = r * r;
  }
}

void silu(const float* x, std::int64_t n, float* y) {
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) store(y + k, silu_of(load(x + k)));
  if (k < n) store_some(y + k, silu_of(load_some(x + k, n - k, 0.0f)), n - k);
}

std::int64_t argmax(const float* x, std::int64_t n) {
  // Only the block that holds the greatest value is searched for its place.
  constexpr std::int64_t kBlock = 4096;
  float best = -__builtin_inff();
  std::int64_t from = 0;
  std::int64_t to = n;  // everything, while nothing is above -infinity
  for (std::int64_t k = 0; k < n; k += kBlock) {
    const std::int64_t end = smaller(k + kBlock, n);
    const float greatest = greatest_of(x + k, end - k);
    if (greatest > best) {
      best = greatest;
      from = k;
      to = end;
    }
  }
  for (std::int64_t k = from; k < to; ++k) {
    if (x[k] == best) return k;
  }
  return 0;
}

}  // namespace bitnet::neon
