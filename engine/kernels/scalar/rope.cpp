// Rotary position embedding (reference-semantics 6.10).

#include <cmath>

#include "engine/kernels/declare.h"

namespace bitnet::scalar {

void rope(float* x, std::int64_t heads, std::int64_t head_dim, std::int64_t n_rot, RopePairing pairing,
          const float* cos, const float* sin) {
  const std::int64_t pairs = n_rot / 2;
  const std::int64_t step = pairing == RopePairing::neox ? 1 : 2;  // from one pair's first to the next's
  const std::int64_t distance = pairing == RopePairing::neox ? pairs : 1;  // within a pair
  for (std::int64_t h = 0; h < heads; ++h) {
    float* head = x + h * head_dim;
    for (std::int64_t i = 0; i < pairs; ++i) {
      const float x0 = head[i * step];
      const float x1 = head[i * step + distance];
      head[i * step] = std::fma(x0, cos[i], -(x1 * sin[i]));
      head[i * step + distance] = std::fma(x0, sin[i], x1 * cos[i]);
    }
  }
}

}  // namespace bitnet::scalar
