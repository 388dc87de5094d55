// Rotary position embedding.

#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx2 {
namespace {

/// One pair.
inline void rotate(float* first, float* second, float c, float s) {
  const float x0 = *first;
  const float x1 = *second;
  *first = fma_one(x0, c, -(x1 * s));
  *second = fma_one(x0, s, x1 * c);
}

void rotate_halves(float* head, std::int64_t pairs, const float* cos, const float* sin) {
  std::int64_t i = 0;
  for (; i + 8 <= pairs; i += 8) {
    const __m256 c = _mm256_loadu_ps(cos + i);
    const __m256 s = _mm256_loadu_ps(sin + i);
    const __m256 x0 = _mm256_loadu_ps(head + i);
    const __m256 x1 = _mm256_loadu_ps(head + pairs + i);
    _mm256_storeu_ps(head + i, _mm256_fmsub_ps(x0, c, _mm256_mul_ps(x1, s)));
    _mm256_storeu_ps(head + pairs + i, _mm256_fmadd_ps(x0, s, _mm256_mul_ps(x1, c)));
  }
  for (; i < pairs; ++i) rotate(head + i, head + pairs + i, cos[i], sin[i]);
}

void rotate_neighbours(float* head, std::int64_t pairs, const float* cos, const float* sin) {
  std::int64_t i = 0;
  for (; i + 4 <= pairs; i += 4) {
    const __m128 c = _mm_loadu_ps(cos + i);
    const __m128 s = _mm_loadu_ps(sin + i);
    const __m256 cs = _mm256_set_m128(_mm_unpackhi_ps(c, s), _mm_unpacklo_ps(c, s));  // c0 s0 c1 s1 ...
    const __m256 sc = _mm256_permute_ps(cs, 0xb1);                                    // s0 c0 s1 c1 ...
    const __m256 x = _mm256_loadu_ps(head + 2 * i);
    const __m256 x0 = _mm256_moveldup_ps(x);
    const __m256 x1 = _mm256_movehdup_ps(x);
    // Even lanes subtract, odd lanes add.
    _mm256_storeu_ps(head + 2 * i, _mm256_fmaddsub_ps(x0, cs, _mm256_mul_ps(x1, sc)));
  }
  for (; i < pairs; ++i) rotate(head + 2 * i, head + 2 * i + 1, cos[i], sin[i]);
}

}  // namespace

void rope(float* x, std::int64_t heads, std::int64_t head_dim, std::int64_t n_rot, RopePairing pairing,
          const float* cos, const float* sin) {
  for (std::int64_t h = 0; h < heads; ++h) {
    float* head = x + h * head_dim;
    if (pairing == RopePairing::neox) {
      rotate_halves(head, n_rot / 2, cos, sin);
    } else {
      rotate_neighbours(head, n_rot / 2, cos, sin);
    }
  }
}

}  // namespace bitnet::avx2
