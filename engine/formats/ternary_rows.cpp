#include "engine/formats/ternary_rows.h"

#include <algorithm>
#include <numeric>

#include "engine/formats/i2s.h"
#include "engine/formats/tl2.h"

namespace bitnet {
namespace {

/// Bytes that lie together in the tensor and in that of the rows alone.
struct Piece {
  std::uint64_t in_tensor;
  std::uint64_t in_part;
  std::uint64_t bytes;
};

struct Pieces {
  std::vector<Piece> rows;
  Piece scale;  // of the matrix; no bytes where rows or blocks have their own
  std::uint64_t part_bytes;
};

Pieces pieces_of(const TernaryFormat& format, TernaryShape shape, TernaryRows rows) {
  const TernaryShape part = {shape.cols, rows.count};
  const std::uint64_t bytes = tensor_bytes(format.type, part.cols, part.rows).value();
  switch (format.type) {
    case TensorType::i2_s:
    case TensorType::tl1:
      return {{{rows.first * shape.cols / 4, 0, part.elements() / 4}},
              {shape.elements() / 4, part.elements() / 4, i2s::kScaleSlotBytes},
              bytes};
    case TensorType::tl2: {
      const tl2::Parts from = tl2::parts_of(shape, format.tiles), to = tl2::parts_of(part, format.tiles);
      const std::uint64_t triples = to.triple_cols, pairs = shape.cols - triples;
      return {{{rows.first * triples / 6, 0, rows.count * triples / 6},
               {from.signs + rows.first * triples / 24, to.signs, rows.count * triples / 24},
               {from.pairs + rows.first * pairs / 4, to.pairs, rows.count * pairs / 4}},
              {from.scale, to.scale, bytes - to.scale},
              bytes};
    }
    default: {
      const std::uint64_t row = tensor_bytes(format.type, shape.cols, 1).value();
      return {{{rows.first * row, 0, bytes}}, {}, bytes};
    }
  }
}

}  // namespace

std::uint64_t rows_together(const TernaryFormat& format, TernaryShape shape) {
  if (format.type == TensorType::tl1 || format.type == TensorType::tl2) return format.tiles.rows;
  if (format.type == TensorType::iq2_bn_r4) return 4;
  if (format.type != TensorType::i2_s) return 1;
  const std::uint64_t block = i2s::block_elements(format.i2s);
  return format.i2s == I2sLayout::four_row ? block : block / std::gcd(block, shape.cols);
}

void cut_rows(const TernaryFormat& format, std::span<const std::byte> tensor, TernaryShape shape,
              TernaryRows rows, std::vector<std::byte>& part) {
  const Pieces pieces = pieces_of(format, shape, rows);
  part.assign(pieces.part_bytes, std::byte{0});
  const auto copy = [&](const Piece& p) {
    std::ranges::copy(tensor.subspan(p.in_tensor, p.bytes),
                      part.begin() + static_cast<std::ptrdiff_t>(p.in_part));
  };
  std::ranges::for_each(pieces.rows, copy);
  copy(pieces.scale);
}

void put_rows(const TernaryFormat& format, std::span<const std::byte> part, TernaryShape shape,
              TernaryRows rows, std::span<std::byte> tensor) {
  const Pieces pieces = pieces_of(format, shape, rows);
  const auto copy = [&](const Piece& p) {
    std::ranges::copy(part.subspan(p.in_part, p.bytes), tensor.subspan(p.in_tensor, p.bytes).begin());
  };
  std::ranges::for_each(pieces.rows, copy);
  if (rows.first == 0) copy(pieces.scale);
}

}  // namespace bitnet
