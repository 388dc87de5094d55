#pragma once
// Q4_K: blocks of 256 weights of 4 bits; eight parts of 32 with a scale and an offset of 6 bits each, and a
// binary16 scale of these each.
//
// weight = fl(d * scale * code - m * offset): both products are exact in binary32, their difference is
// rounded once. Element e's code stands in codes[e / 64 * 32 + e % 32], in bits 3:0 for even parts e / 32,
// 7:4 for odd ones. Scales and offsets of the first four parts are the lower six bits of parts[0..3] and
// parts[4..7]; those of part j of the last four have their lower four bits in parts[4 + j] (scale in bits
// 3:0, offset in 7:4), the upper two in bits 7:6 of parts[j - 4] and parts[j].

#include <cstdint>
#include <span>

#include "engine/formats/f16.h"

namespace bitnet::q4_k {

struct Block {
  static constexpr std::int64_t kElements = 256;

  f16 d;
  f16 m;
  std::uint8_t parts[12];
  std::uint8_t codes[kElements / 2];
};
static_assert(sizeof(Block) == 144 && alignof(Block) == 2, "as it lies in a file");

inline int code_at(const Block& block, std::int64_t e) {
  return block.codes[e / 64 * 32 + e % 32] >> (e / 32 % 2 * 4) & 15;
}

/// Scale and offset, 0 to 63, of part j.
struct Part {
  int scale;
  int offset;
};
// Kernels for single instruction sets use it: no copy of it may be left to the linker.
[[gnu::always_inline]] inline Part part_at(const Block& block, std::int64_t j) {
  const std::uint8_t* p = block.parts;
  if (j < 4) return {p[j] & 63, p[j + 4] & 63};
  return {(p[j + 4] & 15) | p[j - 4] >> 6 << 4, p[j + 4] >> 4 | p[j] >> 6 << 4};
}

/// Replaces them.
void set_part(Block& block, std::int64_t j, Part part);

/// Blocks from weights (256 for each), all finite. A part's codes run from its lowest weight, or 0, to its
/// greatest; its scale and offset are the nearest multiples of d and m, the greatest of them being 63, and a
/// code is the nearest to what these make of the weight, ties to even. Throws std::invalid_argument for sizes
/// that do not fit and for weights that are too great.
void quantize(std::span<const float> weights, std::span<Block> blocks);

}  // namespace bitnet::q4_k
