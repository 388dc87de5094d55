#pragma once
// Q6_K: blocks of 256 weights of 6 bits, 16 scales of 8 bits and one binary16 scale of these
// (reference-semantics 6.11).
//
// Element e stands in half h = e / 128, quarter k = e % 128 / 32 of it, place l = e % 32 there. Its lower
// four bits are the lower (k < 2) or upper nibble of low[64 h + 32 (k % 2) + l], its upper two the bits 2 k
// of high[32 h + l]; together they are its value + 32. scales[e / 16] is its scale.

#include <cstdint>
#include <span>

#include "engine/formats/f16.h"

namespace bitnet::q6_k {

struct Block {
  static constexpr std::int64_t kElements = 256;

  std::uint8_t low[kElements / 2];
  std::uint8_t high[kElements / 4];
  std::int8_t scales[kElements / 16];
  f16 d;
};
static_assert(sizeof(Block) == 210 && alignof(Block) == 2, "as it lies in a file");

/// The value, -32 to 31, of element e.
inline int value_at(const Block& block, int e) {
  const int h = e / 128;
  const int k = e % 128 / 32;
  const int l = e % 32;
  const int low = block.low[64 * h + 32 * (k % 2) + l] >> (4 * (k / 2)) & 15;
  const int high = block.high[32 * h + l] >> (2 * k) & 3;
  return (low | high << 4) - 32;
}

/// Replaces the value of element e.
void set_value(Block& block, int e, int value);

/// Blocks from weights (256 for each), all finite. Each 16 weights get the scale that makes the greatest of
/// them in magnitude -32, as the nearest multiple of d; d is the greatest of these scales / 127 rounded to
/// binary16; a value is the nearest to weight / (d * scale), ties to even, at most 31. Throws
/// std::invalid_argument for sizes that do not fit and for weights that are too great for d.
void quantize(std::span<const float> weights, std::span<Block> blocks);

}  // namespace bitnet::q6_k
