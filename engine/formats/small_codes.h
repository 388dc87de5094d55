#pragma once
// How Q4_0 and Q5_0 choose scale and codes.

#include <algorithm>
#include <cmath>
#include <span>
#include <stdexcept>
#include <string>

#include "engine/formats/f16.h"
#include "engine/formats/round.h"

namespace bitnet::small_codes {

/// The scale that makes the greatest of the weights in magnitude `lowest`, rounded to binary16.
inline f16 scale_of(std::span<const float> weights, int lowest, const char* format) {
  float greatest = 0;  // with its sign
  for (const float weight : weights)
    if (std::abs(weight) > std::abs(greatest)) greatest = weight;
  const f16 d = f32_to_f16(greatest / static_cast<float>(lowest));
  if (!std::isfinite(f16_to_f32(d)))
    throw std::invalid_argument(std::string(format) + ": a weight is too great");
  return d;
}

/// The nearest of lowest .. -lowest - 1. The scale may have been rounded down, or to zero.
inline int value_of(float weight, float d, int lowest) {
  return d == 0 ? 0 : std::clamp(round_half_even(weight / d), lowest, -lowest - 1);
}

}  // namespace bitnet::small_codes
