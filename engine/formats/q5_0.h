#pragma once
// Q5_0: blocks of 32 weights, a code of 5 bits each and one binary16 scale. weight = d * (code - 16), which
// is exact in binary32. Byte p of `low` holds the lower four bits of p (bits 3:0) and p + 16; bit e of the
// little-endian word `high` is the upper one of e.

#include <cstdint>
#include <span>

#include "engine/formats/f16.h"

namespace bitnet::q5_0 {

struct Block {
  static constexpr std::int64_t kElements = 32;

  f16 d;
  std::uint8_t high[kElements / 8];
  std::uint8_t low[kElements / 2];
};
static_assert(sizeof(Block) == 22 && alignof(Block) == 2, "as it lies in a file");

/// code - 16 of element e.
inline int value_at(const Block& block, std::int64_t e) {
  const int low = block.low[e % 16] >> (e / 16 * 4) & 15;
  const int high = block.high[e / 8] >> (e % 8) & 1;
  return (low | high << 4) - 16;
}

/// Blocks from weights (32 for each), all finite: d makes the greatest of them in magnitude -16 and is
/// rounded to binary16, a code is the nearest (ties to even), at most 15. Throws std::invalid_argument for
/// sizes that do not fit and for weights that are too great for d.
void quantize(std::span<const float> weights, std::span<Block> blocks);

}  // namespace bitnet::q5_0
