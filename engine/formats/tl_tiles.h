#pragma once
// TL1 and TL2 store a matrix tile by tile. bitnet.cpp takes the sizes of the tiles from kernel_config.ini
// when it converts a model and generates its kernels for them; its files do not say them
// (reference-semantics 4.1).

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/formats/tensor_type.h"
#include "engine/formats/ternary.h"

namespace bitnet {

/// BM, BK and bm of bitnet.cpp.
struct TlTiles {
  std::uint32_t rows = 0;
  std::uint32_t cols = 0;
  std::uint32_t stripe = 0;  // rows whose bytes lie together
  bool operator==(const TlTiles&) const = default;
};

/// Tiles of matrices of one shape.
struct TlEntry {
  TernaryShape shape;
  TlTiles tiles;
};
using TlTable = std::vector<TlEntry>;

/// The tiles of the shape in the table, if it names it.
std::optional<TlTiles> find_tiles(const TlTable& table, TernaryShape shape);

/// Those that bitnet.cpp's preset kernels and its set-up script use for the shape: none, one, or several
/// where they disagree. `type` is tl1 or tl2.
std::vector<TlTiles> preset_tiles(TensorType type, TernaryShape shape);

/// Tiles for a shape that no preset has: the highest that divide it. Nothing where none fit.
std::optional<TlTiles> fitting_tiles(TensorType type, TernaryShape shape);

/// Why a matrix cannot be stored in such tiles, or "".
std::string misfit(TensorType type, TernaryShape shape, TlTiles tiles);

/// Reads kernel_config.ini: sections of m, k, bm, bk and bmm. Throws InputError, for a line that it does not
/// understand too.
TlTable parse_kernel_config(std::string_view text);

}  // namespace bitnet
