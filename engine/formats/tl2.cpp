#include "engine/formats/tl2.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "engine/formats/tl_pair.h"

namespace bitnet::tl2 {
namespace {

constexpr std::uint64_t kStripe = 32;
constexpr std::uint64_t kScaleSlotBytes = 32;

// The row of a stripe whose columns stand in each of 32 bytes.
constexpr auto kRows = [] {
  std::array<std::uint8_t, kStripe> rows{};
  for (std::size_t i = 0; i < kStripe; ++i)
    rows[i] = static_cast<std::uint8_t>(std::array{0, 16, 8, 24}[i / 8] + static_cast<int>(i % 8));
  return rows;
}();

void require_sizes(TernaryShape shape, std::size_t weights, std::size_t bytes) {
  ternary::require_sizes("TL2", shape, 1, weights, bytes,
                         tensor_bytes(TensorType::tl2, shape.cols, shape.rows).value());
}

/// The columns of a stripe that stand in 32 bytes: the stripe, counted over all of them; the first column of
/// the tile; the element of the stripe's first row there.
struct Columns {
  std::uint64_t stripe;
  std::uint32_t col;
  std::uint64_t element;
};

// visit(columns) for 32 bytes after 32 bytes, `per_byte` columns in each, over columns `begin` to `end` in
// tiles of tile_rows x tile_cols.
template <class Visit>
void for_each_columns(TernaryShape shape, std::uint64_t begin, std::uint64_t end, std::uint32_t tile_rows,
                      std::uint32_t tile_cols, std::uint32_t per_byte, Visit visit) {
  std::uint64_t stripe = 0;
  for (std::uint64_t tile_row = 0; tile_row < shape.rows; tile_row += tile_rows)
    for (std::uint64_t tile_col = begin; tile_col < end; tile_col += tile_cols)
      for (std::uint64_t row = tile_row; row < tile_row + tile_rows; row += kStripe, ++stripe)
        for (std::uint32_t col = 0; col < tile_cols; col += per_byte)
          visit(Columns{stripe, col, row * shape.cols + tile_col + col});
}

/// The signs of the two triples that begin at some columns: the first of 16 words for all rows, and the bit
/// of a little-endian word for the first triple of rows below 16; that for the rows above and then those of
/// the second triple are the next lower ones.
struct Signs {
  std::uint64_t byte;
  unsigned bit;
};
Signs signs_of(const Parts& parts, std::uint32_t tile_cols, const Columns& c) {
  const std::uint32_t triple = c.col / 3;
  return {parts.signs + 32 * (c.stripe * (tile_cols / 24) + triple / 8), 15 - 2 * (triple % 8)};
}

/// The six weights of each byte: index 256 higher where the first triple is negative, 512 where the second
/// is. In base 3, digits from -1 to 1. Magnitudes above 13 stand for nothing: their first digit comes out
/// as 2.
constexpr auto kWeights = [] {
  std::array<std::array<std::int8_t, 8>, 1024> weights{};
  for (int i = 0; i < 1024; ++i)
    for (int second = 0; second < 2; ++second) {
      const int magnitude = i >> (4 - 4 * second) & 15;
      const bool negative = (i >> (8 + second) & 1) != 0;
      const int number = 13 + (negative && magnitude <= 13 ? -magnitude : magnitude);
      auto* w = weights[static_cast<std::size_t>(i)].data() + 3 * second;
      w[0] = static_cast<std::int8_t>(number / 9 - 1);
      w[1] = static_cast<std::int8_t>(number / 3 % 3 - 1);
      w[2] = static_cast<std::int8_t>(number % 3 - 1);
    }
  return weights;
}();

// `signs`: of the first triple in bit 3, of the second in bit 1.
void put_six(std::byte byte, unsigned signs, std::int8_t* w) {
  const unsigned i = std::to_integer<unsigned>(byte) | (signs & 8) << 5 | (signs & 2) << 8;
  std::memcpy(w, kWeights[i].data(), 6);
}

}  // namespace

Parts parts_of(TernaryShape shape, TlTiles tiles) {
  if (!misfit(TensorType::tl2, shape, tiles).empty())
    throw std::invalid_argument("TL2: the tiles do not fit");
  const std::uint64_t cols = shape.cols / tiles.cols * tiles.cols;
  const std::uint64_t signs = shape.rows * cols / 6;
  return {cols, signs, signs + shape.rows * cols / 24,
          tensor_bytes(TensorType::tl2, shape.cols, shape.rows).value() - kScaleSlotBytes};
}

void encode(std::span<const std::int8_t> weights, TernaryShape shape, TlTiles tiles, float scale,
            std::span<std::byte> tensor) {
  const Parts parts = parts_of(shape, tiles);
  require_sizes(shape, weights.size(), tensor.size());
  ternary::require_ternary("TL2", weights);
  std::ranges::fill(tensor, std::byte{0});
  std::byte* out = tensor.data();
  for_each_columns(shape, 0, parts.triple_cols, tiles.rows, tiles.cols, 6, [&](const Columns& c) {
    const Signs signs = signs_of(parts, tiles.cols, c);
    for (const std::uint32_t row : kRows) {
      const std::int8_t* w = weights.data() + c.element + row * shape.cols;
      const int first = 9 * w[0] + 3 * w[1] + w[2], second = 9 * w[3] + 3 * w[4] + w[5];
      const unsigned bit = signs.bit - row / 16;
      const unsigned negative = static_cast<unsigned>(first < 0) << bit | static_cast<unsigned>(second < 0)
                                                                              << (bit - 2);
      std::byte* word = tensor.data() + signs.byte + 2 * (row % 16);
      word[0] |= static_cast<std::byte>(negative);
      word[1] |= static_cast<std::byte>(negative >> 8);
      *out++ = static_cast<std::byte>(std::abs(first) << 4 | std::abs(second));
    }
  });
  out = tensor.data() + parts.pairs;
  for_each_columns(shape, parts.triple_cols, shape.cols, tiles.rows, 32, 4, [&](const Columns& c) {
    for (const std::uint32_t row : kRows)
      *out++ = tl_pair::encode(weights.data() + c.element + row * shape.cols);
  });
  std::memcpy(tensor.data() + parts.scale, &scale, sizeof scale);
}

float decode(std::span<const std::byte> tensor, TernaryShape shape, TlTiles tiles,
             std::span<std::int8_t> weights) {
  const Parts parts = parts_of(shape, tiles);
  require_sizes(shape, weights.size(), tensor.size());
  const std::byte* in = tensor.data();
  for_each_columns(shape, 0, parts.triple_cols, tiles.rows, tiles.cols, 6, [&](const Columns& c) {
    const Signs signs = signs_of(parts, tiles.cols, c);
    const std::byte* word = tensor.data() + signs.byte;
    // Rows r and 16 + r have their signs in one word, and their bytes eight apart.
    for (const std::uint32_t eight : {0u, 8u})
      for (std::uint32_t r = 0; r < 8; ++r, word += 2) {
        const unsigned four =
            (std::to_integer<unsigned>(word[0]) | std::to_integer<unsigned>(word[1]) << 8) >> (signs.bit - 3);
        std::int8_t* w = weights.data() + c.element + (eight + r) * shape.cols;
        put_six(in[2 * eight + r], four, w);
        put_six(in[2 * eight + 8 + r], four << 1, w + 16 * shape.cols);
      }
    in += kStripe;
  });
  in = tensor.data() + parts.pairs;
  for_each_columns(shape, parts.triple_cols, shape.cols, tiles.rows, 32, 4, [&](const Columns& c) {
    for (const std::uint32_t row : kRows)
      tl_pair::decode(*in++, weights.data() + c.element + row * shape.cols);
  });
  ternary::require_valid(shape, weights);
  float scale = 0;
  std::memcpy(&scale, tensor.data() + parts.scale, sizeof scale);
  return scale;
}

}  // namespace bitnet::tl2
