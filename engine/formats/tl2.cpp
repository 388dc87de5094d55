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

/// Where a byte's columns stand: the stripe, counted over all of them; row of the stripe and column of the
/// tile; the element of the first column.
struct Spot {
  std::uint64_t stripe;
  std::uint32_t row;
  std::uint32_t col;
  std::uint64_t element;
};

// visit(spot) for each byte in turn, `per_byte` columns in each, over columns `begin` to `end` in tiles of
// tile_rows x tile_cols.
template <class Visit>
void for_each_byte(TernaryShape shape, std::uint64_t begin, std::uint64_t end, std::uint32_t tile_rows,
                   std::uint32_t tile_cols, std::uint32_t per_byte, Visit visit) {
  Spot spot{};
  for (std::uint64_t tile_row = 0; tile_row < shape.rows; tile_row += tile_rows)
    for (std::uint64_t tile_col = begin; tile_col < end; tile_col += tile_cols)
      for (std::uint64_t row = tile_row; row < tile_row + tile_rows; row += kStripe, ++spot.stripe)
        for (spot.col = 0; spot.col < tile_cols; spot.col += per_byte)
          for (const std::uint32_t eight : {0u, 16u, 8u, 24u})
            for (spot.row = eight; spot.row < eight + 8; ++spot.row) {
              spot.element = (row + spot.row) * shape.cols + tile_col + spot.col;
              visit(spot);
            }
}

/// The sign of a triple: byte after the signs' begin, and bit. Tiles of `tile_cols` columns.
struct Sign {
  std::uint64_t byte;
  unsigned bit;
};
Sign sign_of(std::uint32_t tile_cols, const Spot& spot, std::uint32_t triple) {
  const std::uint64_t block = spot.stripe * (tile_cols / 24) + triple / 8;
  const unsigned bit = 15 - (2 * (triple % 8) + spot.row / 16);  // of a little-endian word
  return {32 * block + 2 * (spot.row % 16) + bit / 8, bit % 8};
}

}  // namespace

void encode(std::span<const std::int8_t> weights, TernaryShape shape, TlTiles tiles, float scale,
            std::span<std::byte> tensor) {
  const Parts parts = parts_of(shape, tiles, weights.size(), tensor.size());
  ternary::require_ternary("TL2", weights);
  std::ranges::fill(tensor, std::byte{0});
  std::byte* out = tensor.data();
  for_each_byte(shape, 0, parts.triple_cols, tiles.rows, tiles.cols, 6, [&](const Spot& spot) {
    int byte = 0;
    for (const std::uint32_t second : {0u, 1u}) {
      const std::int8_t* w = weights.data() + spot.element + 3 * second;
      const int value = 9 * w[0] + 3 * w[1] + w[2];
      byte = byte << 4 | std::abs(value);
      if (value >= 0) continue;
      const Sign sign = sign_of(tiles.cols, spot, spot.col / 3 + second);
      tensor[parts.signs + sign.byte] |= static_cast<std::byte>(1u << sign.bit);
    }
    *out++ = static_cast<std::byte>(byte);
  });
  out = tensor.data() + parts.pairs;
  for_each_byte(shape, parts.triple_cols, shape.cols, tiles.rows, 32, 4, [&](const Spot& spot) {
    const std::int8_t* w = weights.data() + spot.element;
    *out++ = tl_pair::encode(w, w + 2);
  });
  std::memcpy(tensor.data() + parts.scale, &scale, sizeof scale);
}

float decode(std::span<const std::byte> tensor, TernaryShape shape, TlTiles tiles,
             std::span<std::int8_t> weights) {
  const Parts parts = parts_of(shape, tiles, weights.size(), tensor.size());
  const std::byte* in = tensor.data();
  for_each_byte(shape, 0, parts.triple_cols, tiles.rows, tiles.cols, 6, [&](const Spot& spot) {
    const auto byte = std::to_integer<unsigned>(*in++);
    for (const std::uint32_t second : {0u, 1u}) {
      const auto magnitude = static_cast<int>(second == 0 ? byte >> 4 : byte & 15);
      const Sign sign = sign_of(tiles.cols, spot, spot.col / 3 + second);
      const bool negative =
          (std::to_integer<unsigned>(tensor[parts.signs + sign.byte]) >> sign.bit & 1u) != 0;
      // In base 3, digits from -1 to 1. Magnitudes above 13 stand for nothing: their first digit comes out
      // as 2.
      const int number = 13 + (negative && magnitude <= 13 ? -magnitude : magnitude);
      std::int8_t* w = weights.data() + spot.element + 3 * second;
      w[0] = static_cast<std::int8_t>(number / 9 - 1);
      w[1] = static_cast<std::int8_t>(number / 3 % 3 - 1);
      w[2] = static_cast<std::int8_t>(number % 3 - 1);
    }
  });
  in = tensor.data() + parts.pairs;
  for_each_byte(shape, parts.triple_cols, shape.cols, tiles.rows, 32, 4, [&](const Spot& spot) {
    std::int8_t* w = weights.data() + spot.element;
    tl_pair::decode(*in++, w, w + 2);
  });
  for (const std::int8_t w : weights)
    if (w > 1) ternary::fail_invalid(shape, weights, 0);
  float scale = 0;
  std::memcpy(&scale, tensor.data() + parts.scale, sizeof scale);
  return scale;
}

}  // namespace bitnet::tl2
