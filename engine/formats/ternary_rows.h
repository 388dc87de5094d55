#pragma once
// Some rows of a ternary tensor as a tensor of their own, so that many threads can work on one matrix with
// the functions for whole ones.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/formats/ternary_format.h"

namespace bitnet {

struct TernaryRows {
  std::uint64_t first = 0;  // a multiple of rows_together
  std::uint64_t count = 0;  // likewise
};

/// The fewest rows whose bytes lie by themselves.
std::uint64_t rows_together(const TernaryFormat& format, TernaryShape shape);

/// Makes `part` the tensor of the rows alone.
void cut_rows(const TernaryFormat& format, std::span<const std::byte> tensor, TernaryShape shape,
              TernaryRows rows, std::vector<std::byte>& part);

/// The reverse: puts `part` where the rows stand in `tensor`, with the scale of the matrix if they are its
/// first. Bytes that belong to no row are left alone.
void put_rows(const TernaryFormat& format, std::span<const std::byte> part, TernaryShape shape,
              TernaryRows rows, std::span<std::byte> tensor);

}  // namespace bitnet
