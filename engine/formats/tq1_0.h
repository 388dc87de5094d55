#pragma once
// TQ1_0, llama.cpp's ternary weights of 1.6875 bits: blocks of 256 within a row, 54 bytes each, with a
// binary16 scale at the end.
//
// Each byte holds five trits (trits.h), weight + 1, the first in the highest place. Bytes 0..31 hold elements
// 0 to 159: byte p those at p, p + 32, ..., p + 128. Bytes 32..47 hold the next 80: byte 32 + p those at 160
// + p, 176 + p, ..., 224 + p. Bytes 48..51 hold the last 16: byte 48 + p those at 240 + p, 244 + p, 248 + p,
// 252 + p, and a zero in the lowest place.

#include "engine/formats/ternary.h"

namespace bitnet::tq1_0 {

inline constexpr std::uint64_t kBlockElements = 256;
inline constexpr std::uint64_t kBlockBytes = 54;

/// The scale is rounded to binary16; it is zero in blocks of zeros, as llama.cpp's quantizer writes them.
void encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
            std::span<std::byte> tensor);

float decode(std::span<const std::byte> tensor, TernaryShape shape, std::span<std::int8_t> weights);

}  // namespace bitnet::tq1_0
