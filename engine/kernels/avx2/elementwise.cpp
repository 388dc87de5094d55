// Elementwise operations and the arg max.

#include "engine/kernels/avx2/exp.h"
#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx2 {
namespace {

inline __m256 silu_of(__m256 x) {
  const __m256 e = polynomial_exp(_mm256_sub_ps(_mm256_setzero_ps(), x));
  return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

/// The greatest of x[0..n) that are no NaN, -infinity when there is none.
float greatest_of(const float* x, std::int64_t n) {
  const __m256 least = _mm256_set1_ps(-__builtin_inff());
  __m256 m[4] = {least, least, least, least};
  std::int64_t k = 0;
  for (; k + 32 <= n; k += 32) {
    // The second operand wins over a NaN in the first.
    for (int i = 0; i < 4; ++i) m[i] = _mm256_max_ps(_mm256_loadu_ps(x + k + 8 * i), m[i]);
  }
  for (; k < n; k += 8) {
    const __m256i mask = first_lanes(n - k);
    const __m256 some = _mm256_blendv_ps(least, _mm256_maskload_ps(x + k, mask), _mm256_castsi256_ps(mask));
    m[0] = _mm256_max_ps(some, m[0]);
  }
  __m256 a = _mm256_max_ps(_mm256_max_ps(m[0], m[1]), _mm256_max_ps(m[2], m[3]));
  a = _mm256_max_ps(a, _mm256_permute2f128_ps(a, a, 1));
  a = _mm256_max_ps(a, _mm256_shuffle_ps(a, a, 0x4e));
  return _mm256_cvtss_f32(_mm256_max_ps(a, _mm256_shuffle_ps(a, a, 0xb1)));
}

}  // namespace

void add(const float* a, const float* b, std::int64_t n, float* y) {
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) {
    _mm256_storeu_ps(y + k, _mm256_add_ps(_mm256_loadu_ps(a + k), _mm256_loadu_ps(b + k)));
  }
  for (; k < n; ++k) y[k] = a[k] + b[k];
}

void mul(const float* a, const float* b, std::int64_t n, float* y) {
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) {
    _mm256_storeu_ps(y + k, _mm256_mul_ps(_mm256_loadu_ps(a + k), _mm256_loadu_ps(b + k)));
  }
  for (; k < n; ++k) y[k] = a[k] * b[k];
}

void relu_squared(const float* x, std::int64_t n, float* y) {
  const __m256 zero = _mm256_setzero_ps();
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) {
    const __m256 r = _mm256_max_ps(_mm256_loadu_ps(x + k), zero);  // NaN and -0 give the second operand, +0
    _mm256_storeu_ps(y + k, _mm256_mul_ps(r, r));
  }
  for (; k < n; ++k) {
    const float r = x[k] > 0.0f ? x[k] : 0.0f;
    y[k] = r * r;
  }
}

void silu(const float* x, std::int64_t n, float* y) {
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) _mm256_storeu_ps(y + k, silu_of(_mm256_loadu_ps(x + k)));
  if (k < n) {
    const __m256i mask = first_lanes(n - k);
    _mm256_maskstore_ps(y + k, mask, silu_of(_mm256_maskload_ps(x + k, mask)));
  }
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

}  // namespace bitnet::avx2
