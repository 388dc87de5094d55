#include "engine/formats/tl1.h"

#include <cstring>
#include <stdexcept>

#include "engine/formats/i2s.h"
#include "engine/formats/tl_pair.h"

namespace bitnet::tl1 {
namespace {

void require_sizes(TernaryShape shape, TlTiles tiles, std::size_t weights, std::size_t bytes) {
  if (!misfit(TensorType::tl1, shape, tiles).empty())
    throw std::invalid_argument("TL1: the tiles do not fit");
  ternary::require_sizes("TL1", shape, 1, weights, bytes, i2s::tensor_bytes(shape.elements()));
}

// visit(byte, element): the byte and the first of the four weights in it.
template <class Visit>
void for_each_byte(TernaryShape shape, TlTiles tiles, Visit visit) {
  const std::uint64_t columns = 256 / tiles.stripe;
  std::size_t byte = 0;
  for (std::uint64_t tile_row = 0; tile_row < shape.rows; tile_row += tiles.rows)
    for (std::uint64_t tile_col = 0; tile_col < shape.cols; tile_col += tiles.cols)
      for (std::uint64_t stripe = tile_row; stripe < tile_row + tiles.rows; stripe += tiles.stripe)
        for (std::uint64_t part = tile_col; part < tile_col + tiles.cols; part += columns)
          for (std::uint64_t sixteen = stripe; sixteen < stripe + tiles.stripe; sixteen += 16)
            for (std::uint64_t col = part; col < part + columns; col += 4)
              for (std::uint64_t row = sixteen; row < sixteen + 16; ++row)
                visit(byte++, row * shape.cols + col);
}

}  // namespace

void encode(std::span<const std::int8_t> weights, TernaryShape shape, TlTiles tiles, float scale,
            std::span<std::byte> tensor) {
  require_sizes(shape, tiles, weights.size(), tensor.size());
  ternary::require_ternary("TL1", weights);
  for_each_byte(shape, tiles, [&](std::size_t byte, std::uint64_t element) {
    tensor[byte] = tl_pair::encode(weights.data() + element);
  });
  i2s::put_scale(tensor, weights.size(), scale);
}

float decode(std::span<const std::byte> tensor, TernaryShape shape, TlTiles tiles,
             std::span<std::int8_t> weights) {
  require_sizes(shape, tiles, weights.size(), tensor.size());
  for_each_byte(shape, tiles, [&](std::size_t byte, std::uint64_t element) {
    tl_pair::decode(tensor[byte], weights.data() + element);
  });
  ternary::require_valid(shape, weights);
  return i2s::scale(tensor, weights.size());
}

}  // namespace bitnet::tl1
