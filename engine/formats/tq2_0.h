#pragma once
// TQ2_0, llama.cpp's ternary weights of 2.0625 bits: blocks of 256 within a row, 66 bytes each: 64 of codes,
// weight + 1, and a binary16 scale. Byte 32 h + p holds elements 128 h + p, + 32, + 64, + 96, the first in
// bits 1:0.

#include "engine/formats/ternary.h"

namespace bitnet::tq2_0 {

inline constexpr std::uint64_t kBlockElements = 256;
inline constexpr std::uint64_t kBlockBytes = 66;

/// The scale is rounded to binary16; it is zero in blocks of zeros, as llama.cpp's quantizer writes them.
void encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
            std::span<std::byte> tensor);

float decode(std::span<const std::byte> tensor, TernaryShape shape, std::span<std::int8_t> weights);

}  // namespace bitnet::tq2_0
