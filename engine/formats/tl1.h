#pragma once
// TL1, bitnet.cpp's ternary weights for table look-ups on ARM: pairs of weights as nibbles, 4 + 3 w0 + w1, in
// tiles (reference-semantics 4.2). The scale follows in a slot of 32 bytes.
//
// The bytes run, slowest first, over tiles of `rows` rows, tiles of `cols` columns in them, stripes of
// `stripe` rows, 256 / stripe columns, sixteens of rows, fours of columns, rows: a byte holds two pairs of
// one row, the first in bits 7:4.

#include "engine/formats/tl_tiles.h"

namespace bitnet::tl1 {

/// `tiles` must fit the shape.
void encode(std::span<const std::int8_t> weights, TernaryShape shape, TlTiles tiles, float scale,
            std::span<std::byte> tensor);

float decode(std::span<const std::byte> tensor, TernaryShape shape, TlTiles tiles,
             std::span<std::int8_t> weights);

}  // namespace bitnet::tl1
