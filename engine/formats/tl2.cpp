#include "engine/formats/tl2.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "engine/formats/tl_pair.h"

namespace bitnet::tl2 {
namespace {

constexpr std::uint64_t kStripe = 32;
constexpr std::uint64_t kScaleSlotBytes = 32;

/// Where the parts of a tensor begin, and the columns in triples.
struct Parts {
  std::uint64_t triple_cols;
  std::uint64_t signs;
  std::uint64_t pairs;
  std::uint64_t scale;
};

Parts parts_of(TernaryShape shape, TlTiles tiles, std::size_t weights, std::size_t bytes) {
  if (!misfit(TensorType::tl2, shape, tiles).empty())
    throw std::invalid_argument("TL2: the tiles do not fit");
  const std::uint64_t size = tensor_bytes(TensorType::tl2, shape.cols, shape.rows).value();
  ternary::require_sizes("TL2", shape, 1, weights, bytes, size);
  const std::uint64_t cols = shape.cols / tiles.cols * tiles.cols;
  const std::uint64_t signs = shape.rows * cols / 6;
  return {cols, signs, signs + shape.rows * cols / 24, size - kScaleSlotBytes};
}

// visit(row, column) for each byte in turn, `per_byte` columns in each, over columns `begin` to `end` in
// tiles of tile_rows x tile_cols.
template <class Visit>
void for_each_byte(std::uint64_t rows, std::uint64_t begin, std::uint64_t end, std::uint64_t tile_rows,
                   std::uint64_t tile_cols, std::uint64_t per_byte, Visit visit) {
  for (std::uint64_t tile_row = 0; tile_row < rows; tile_row += tile_rows)
    for (std::uint64_t tile_col = begin; tile_col < end; tile_col += tile_cols)
      for (std::uint64_t stripe = tile_row; stripe < tile_row + tile_rows; stripe += kStripe)
        for (std::uint64_t col = tile_col; col < tile_col + tile_cols; col += per_byte)
          for (const std::uint64_t eight : {0, 16, 8, 24})
            for (std::uint64_t row = stripe + eight; row < stripe + eight + 8; ++row) visit(row, col);
}

/// The sign of the triple that begins at a column: byte after the signs' begin, and bit.
struct Sign {
  std::uint64_t byte;
  int bit;
};
Sign sign_of(std::uint64_t triple_cols, TlTiles tiles, std::uint64_t row, std::uint64_t col) {
  const std::uint64_t tile = row / tiles.rows * (triple_cols / tiles.cols) + col / tiles.cols;
  const std::uint64_t stripe = tile * (tiles.rows / kStripe) + row % tiles.rows / kStripe;
  const std::uint64_t triple = col % tiles.cols / 3;
  const std::uint64_t block = stripe * (tiles.cols / 24) + triple / 8;
  const std::uint64_t r = row % kStripe;
  const int bit = 15 - static_cast<int>(2 * (triple % 8) + r / 16);  // of a little-endian word
  return {32 * block + 2 * (r % 16) + static_cast<std::uint64_t>(bit / 8), bit % 8};
}

}  // namespace

void encode(std::span<const std::int8_t> weights, TernaryShape shape, TlTiles tiles, float scale,
            std::span<std::byte> tensor) {
  const Parts parts = parts_of(shape, tiles, weights.size(), tensor.size());
  ternary::require_ternary("TL2", weights);
  std::ranges::fill(tensor, std::byte{0});
  std::byte* out = tensor.data();
  for_each_byte(shape.rows, 0, parts.triple_cols, tiles.rows, tiles.cols, 6,
                [&](std::uint64_t row, std::uint64_t col) {
                  int byte = 0;
                  for (const std::uint64_t c : {col, col + 3}) {
                    const std::int8_t* w = weights.data() + row * shape.cols + c;
                    const int value = 9 * w[0] + 3 * w[1] + w[2];
                    byte = byte << 4 | std::abs(value);
                    if (value >= 0) continue;
                    const Sign sign = sign_of(parts.triple_cols, tiles, row, c);
                    tensor[parts.signs + sign.byte] |= static_cast<std::byte>(1 << sign.bit);
                  }
                  *out++ = static_cast<std::byte>(byte);
                });
  out = tensor.data() + parts.pairs;
  for_each_byte(shape.rows, parts.triple_cols, shape.cols, tiles.rows, 32, 4,
                [&](std::uint64_t row, std::uint64_t col) {
                  const std::int8_t* w = weights.data() + row * shape.cols + col;
                  *out++ = tl_pair::encode(w, w + 2);
                });
  std::memcpy(tensor.data() + parts.scale, &scale, sizeof scale);
}

float decode(std::span<const std::byte> tensor, TernaryShape shape, TlTiles tiles,
             std::span<std::int8_t> weights) {
  const Parts parts = parts_of(shape, tiles, weights.size(), tensor.size());
  const std::byte* in = tensor.data();
  for_each_byte(
      shape.rows, 0, parts.triple_cols, tiles.rows, tiles.cols, 6, [&](std::uint64_t row, std::uint64_t col) {
        const auto byte = std::to_integer<int>(*in++);
        for (const int half : {0, 1}) {
          const std::uint64_t c = col + 3 * static_cast<std::uint64_t>(half);
          const int magnitude = half == 0 ? byte >> 4 : byte & 15;
          const Sign sign = sign_of(parts.triple_cols, tiles, row, c);
          const bool negative = (std::to_integer<int>(tensor[parts.signs + sign.byte]) >> sign.bit & 1) != 0;
          // In base 3, digits from -1 to 1. Magnitudes above 13 stand for nothing; as 14 and 15 they
          // have a first digit of 2.
          const int number = 13 + (negative && magnitude <= 13 ? -magnitude : magnitude);
          std::int8_t* w = weights.data() + row * shape.cols + c;
          w[0] = static_cast<std::int8_t>(number / 9 - 1);
          w[1] = static_cast<std::int8_t>(number / 3 % 3 - 1);
          w[2] = static_cast<std::int8_t>(number % 3 - 1);
        }
      });
  in = tensor.data() + parts.pairs;
  for_each_byte(shape.rows, parts.triple_cols, shape.cols, tiles.rows, 32, 4,
                [&](std::uint64_t row, std::uint64_t col) {
                  std::int8_t* w = weights.data() + row * shape.cols + col;
                  tl_pair::decode(*in++, w, w + 2);
                });
  for (const std::int8_t w : weights)
    if (w > 1) ternary::fail_invalid(shape, weights, 0);
  float scale = 0;
  std::memcpy(&scale, tensor.data() + parts.scale, sizeof scale);
  return scale;
}

}  // namespace bitnet::tl2
