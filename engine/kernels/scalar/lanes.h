#pragma once
// The sixteen lanes in which every float sum of the engine is taken (reference-semantics 6.3, AVX-512 form).

#include <cstdint>

namespace bitnet::scalar {

inline constexpr int kLanes = 16;
inline constexpr int kAccumulators = 4;
inline constexpr int kStep = kLanes * kAccumulators;  // elements per step of a dot product

/// Adds the upper half of the lanes to the lower half until one is left: 16 -> 8 -> 4 -> 2 -> 1.
inline float fold(const float (&lanes)[kLanes]) {
  float v[kLanes / 2];
  for (int l = 0; l < kLanes / 2; ++l) v[l] = lanes[l] + lanes[l + kLanes / 2];
  for (int width = kLanes / 4; width >= 1; width /= 2) {
    for (int l = 0; l < width; ++l) v[l] += v[l + width];
  }
  return v[0];
}

/// Four accumulators of sixteen lanes; acc[j][l] holds the elements k with k mod 64 = 16 j + l.
struct Accumulators {
  float acc[kStep] = {};

  /// (acc0 + acc2) + (acc1 + acc3), then the fold.
  float sum() const {
    float u[kLanes];
    for (int l = 0; l < kLanes; ++l) {
      u[l] = (acc[l] + acc[2 * kLanes + l]) + (acc[kLanes + l] + acc[3 * kLanes + l]);
    }
    return fold(u);
  }
};

}  // namespace bitnet::scalar
