#pragma once
// The layouts of I2_S (reference-semantics 2.2 to 2.4). Nothing in a file tells them apart. All have the
// codes of i2s.h and the scale after them:
//   x86    blocks of 128 elements of the flat list in 32 bytes: i2s.h
//   arm    blocks of 64 in 16 bytes: byte p holds p, p + 16, p + 32, p + 48, the first in bits 7:6
//   (bitnet.cpp on
//          ARM from its second generation on)
//   4-row  rows in groups of four: byte (row / 4) * cols + k holds column k of four rows, the first in bits
//   7:6
//          (bitnet.cpp built without ACT_PARALLEL)

#include <string_view>

#include "engine/formats/ternary.h"

namespace bitnet {

enum class I2sLayout : std::uint8_t { x86, arm, four_row };

inline constexpr I2sLayout kI2sLayouts[] = {I2sLayout::x86, I2sLayout::arm, I2sLayout::four_row};

/// "x86", "arm", "4-row"
std::string_view to_string(I2sLayout layout);

/// The layout of a name; nothing for another.
std::optional<I2sLayout> parse_i2s_layout(std::string_view name);

namespace i2s {

/// Elements whose bytes lie together: the number of elements must be a multiple of it, in 4-row the number of
/// rows.
constexpr std::uint64_t block_elements(I2sLayout layout) {
  return layout == I2sLayout::x86 ? 128 : layout == I2sLayout::arm ? 64 : 4;
}

void encode(I2sLayout layout, std::span<const std::int8_t> weights, TernaryShape shape, float scale,
            std::span<std::byte> tensor);

/// Code 3 is an InputError.
float decode(I2sLayout layout, std::span<const std::byte> tensor, TernaryShape shape,
             std::span<std::int8_t> weights);

}  // namespace i2s
}  // namespace bitnet
