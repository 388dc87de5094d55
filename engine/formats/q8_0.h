#pragma once
// Q8_0: blocks of 32 weights, an int8 code each and one binary16 scale. weight = d * code, which is exact in
// binary32.

#include <cstdint>
#include <span>

#include "engine/formats/f16.h"

namespace bitnet::q8_0 {

struct Block {
  static constexpr std::int64_t kElements = 32;

  f16 d;
  std::int8_t codes[kElements];
};
static_assert(sizeof(Block) == 34 && alignof(Block) == 2, "as it lies in a file");

/// Blocks from weights (32 for each), all finite: d is the greatest magnitude / 127 rounded to binary16, a
/// code the nearest to weight / d (ties to even). Throws std::invalid_argument for sizes that do not fit and
/// for weights that are too great for d.
void quantize(std::span<const float> weights, std::span<Block> blocks);

}  // namespace bitnet::q8_0
