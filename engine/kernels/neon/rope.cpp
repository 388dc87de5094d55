// Rotary position embedding.

#include "engine/kernels/declare.h"
#include "engine/kernels/neon/simd.h"

namespace bitnet::neon {
namespace {

/// One pair.
inline void rotate(float* first, float* second, float c, float s) {
  const float x0 = *first;
  const float x1 = *second;
  *first = fma_one(x0, c, -(x1 * s));
  *second = fma_one(x0, s, x1 * c);
}

/// Four pairs.
inline void rotate_four(float32x4_t& x0, float32x4_t& x1, float32x4_t c, float32x4_t s) {
  const float32x4_t first = vfmaq_f32(vnegq_f32(vmulq_f32(x1, s)), x0, c);
  x1 = vfmaq_f32(vmulq_f32(x1, c), x0, s);
  x0 = first;
}

void rotate_halves(float* head, std::int64_t pairs, const float* cos, const float* sin) {
  std::int64_t i = 0;
  for (; i + 4 <= pairs; i += 4) {
    float32x4_t x0 = vld1q_f32(head + i);
    float32x4_t x1 = vld1q_f32(head + pairs + i);
    rotate_four(x0, x1, vld1q_f32(cos + i), vld1q_f32(sin + i));
    vst1q_f32(head + i, x0);
    vst1q_f32(head + pairs + i, x1);
  }
  for (; i < pairs; ++i) rotate(head + i, head + pairs + i, cos[i], sin[i]);
}

void rotate_neighbours(float* head, std::int64_t pairs, const float* cos, const float* sin) {
  std::int64_t i = 0;
  for (; i + 4 <= pairs; i += 4) {
    float32x4x2_t x = vld2q_f32(head + 2 * i);
    rotate_four(x.val[0], x.val[1], vld1q_f32(cos + i), vld1q_f32(sin + i));
    vst2q_f32(head + 2 * i, x);
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

}  // namespace bitnet::neon
