#pragma once
// I2_S as BitNet-rs means it, under bitnet.cpp's number and with other bytes. Four codes in a byte, the first
// in bits 1:0, elements in order.
//
// BitNet32-F16: blocks of 32 elements in 10 bytes, codes and then a binary16 scale. Its quantizer writes
// weight + 2; its loader reads the codes 0 to 3 as -2, -1, +1, +2, which has no zero and is no ternary
// matrix. So a tensor is read by the quantizer's map, and only where the codes 1, 2 and 3 (-1, 0 and +1)
// occur in it, none other. QK256: blocks of 256 elements in 64 bytes, the last of a row filled up, no scale
// (1). Codes 0 to 3 stand for -2, -1, +1, +2; a matrix of -1 and +1 can be read, none with other weights.
//
// Split32, blocks of 32 in 8 bytes with the scales in a tensor of their own, is refused by name: where rows
// are whole blocks of 256 its bytes cannot be told from QK256's, and what its codes and scales mean stands
// nowhere. A ternary matrix of it has the code 3, which QK256 refuses; so it is never taken for that.

#include "engine/formats/ternary.h"

namespace bitnet {

namespace bitnet32_f16 {
inline constexpr std::uint64_t kBlockElements = 32;
inline constexpr std::uint64_t kBlockBytes = 10;
/// The scale is rounded to binary16.
void encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
            std::span<std::byte> tensor);
float decode(std::span<const std::byte> tensor, TernaryShape shape, std::span<std::int8_t> weights);
}  // namespace bitnet32_f16

namespace qk256 {
constexpr std::uint64_t row_bytes(std::uint64_t cols) {
  return (cols + 255) / 256 * 64;
}
/// Throws InputError for a weight 0 and for a scale that is not 1, which the format has not.
void encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
            std::span<std::byte> tensor);
float decode(std::span<const std::byte> tensor, TernaryShape shape, std::span<std::int8_t> weights);
}  // namespace qk256

}  // namespace bitnet
