#pragma once
// TL2, bitnet.cpp's ternary weights for table look-ups on x86, in tiles (reference-semantics 4.3). The
// columns that fill tiles are coded in triples, 9 w0 + 3 w1 + w2: first the magnitudes of all of them as
// nibbles, then their signs as bits (1 is negative). Then come the columns that are left, in pairs like
// TL1's, then zeros, then the scale in the last 32 bytes.
//
// Bytes of magnitudes run, slowest first, over tiles of `rows` rows, tiles of `cols` columns in them, stripes
// of 32 rows, six columns, rows in the order 0..7, 16..23, 8..15, 24..31: a byte holds two triples of a row,
// the first in bits 7:4. Those of pairs likewise, with tiles of 32 columns and four columns a byte. Signs:
// for each stripe of a tile and each 24 columns of it 16 words of 16 bits; word r has the signs of rows r and
// 16 + r, from bit 15 down: row r's first triple, row 16 + r's first triple, row r's second, ...

#include "engine/formats/tl_tiles.h"

namespace bitnet::tl2 {

/// Where the parts of a tensor begin, and the columns in triples.
struct Parts {
  std::uint64_t triple_cols;
  std::uint64_t signs;
  std::uint64_t pairs;
  std::uint64_t scale;
};

/// `tiles` must fit the shape: std::invalid_argument otherwise.
Parts parts_of(TernaryShape shape, TlTiles tiles);

void encode(std::span<const std::int8_t> weights, TernaryShape shape, TlTiles tiles, float scale,
            std::span<std::byte> tensor);

float decode(std::span<const std::byte> tensor, TernaryShape shape, TlTiles tiles,
             std::span<std::int8_t> weights);

}  // namespace bitnet::tl2
