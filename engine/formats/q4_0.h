#pragma once
// Q4_0: blocks of 32 weights, a code of 4 bits each and one binary16 scale. weight = d * (code - 8), which is
// exact in binary32. Byte p holds the codes of p (bits 3:0) and p + 16.

#include <cstdint>
#include <span>

#include "engine/formats/f16.h"

namespace bitnet::q4_0 {

struct Block {
  static constexpr std::int64_t kElements = 32;

  f16 d;
  std::uint8_t codes[kElements / 2];
};
static_assert(sizeof(Block) == 18 && alignof(Block) == 2, "as it lies in a file");

/// code - 8 of element e.
inline int value_at(const Block& block, std::int64_t e) {
  return (block.codes[e % 16] >> (e / 16 * 4) & 15) - 8;
}

/// Blocks from weights (32 for each), all finite: d makes the greatest of them in magnitude -8 and is rounded
/// to binary16, a code is the nearest (ties to even), at most 7. Throws std::invalid_argument for sizes that
/// do not fit and for weights that are too great for d.
void quantize(std::span<const float> weights, std::span<Block> blocks);

}  // namespace bitnet::q4_0
