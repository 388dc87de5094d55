#pragma once
// IQ2_BN, IQ2_BN_R4 and IQ1_BN, ik_llama.cpp's ternary weights of 2 and 1.625 bits: rows with a scale of
// their own before blocks of 64.
//
// IQ2_BN: the scale in binary32; 16 bytes a block, byte p holds the elements p, p + 16, p + 32, p + 48, the
// first in bits 1:0.
// IQ2_BN_R4: four rows together: their four scales, then 64 bytes for each 64 columns. Byte 16 l + 4 r + i
// holds the elements 16 l + 4 j + i of row r, j = 0 to 3, the first in bits 1:0.
// IQ1_BN: the scale in binary16; 13 bytes a block. Byte 3 g + i of the first twelve holds the elements 16 g +
// 5 i to 16 g + 5 i + 4 as five trits (trits.h), the first in the lowest place; the last byte holds elements
// 15, 31, 47 and 63 likewise, and a zero in the highest place. Codes and trits are weight + 1. A row of zeros
// has scale 0, and its codes say +1.

#include "engine/formats/ternary.h"

namespace bitnet {

namespace iq2_bn {
constexpr std::uint64_t row_bytes(std::uint64_t cols) {
  return sizeof(float) + cols / 64 * 16;
}
void encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
            std::span<std::byte> tensor);
float decode(std::span<const std::byte> tensor, TernaryShape shape, std::span<std::int8_t> weights);
}  // namespace iq2_bn

namespace iq2_bn_r4 {
void encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
            std::span<std::byte> tensor);
float decode(std::span<const std::byte> tensor, TernaryShape shape, std::span<std::int8_t> weights);
}  // namespace iq2_bn_r4

namespace iq1_bn {
constexpr std::uint64_t row_bytes(std::uint64_t cols) {
  return sizeof(std::uint16_t) + cols / 64 * 13;
}
/// The scale is rounded to binary16.
void encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
            std::span<std::byte> tensor);
float decode(std::span<const std::byte> tensor, TernaryShape shape, std::span<std::int8_t> weights);
}  // namespace iq1_bn

}  // namespace bitnet
