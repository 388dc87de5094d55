#pragma once
// Ternary tensors of a file, whatever their format: how their bytes lie is settled by the file, by what the
// user says, and by nothing else.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/formats/ternary_format.h"
#include "engine/gguf/gguf.h"

namespace bitnet::gguf {

/// Keys that this project writes, since nothing else in a file says it: the layout's name, and five numbers
/// for each shape (rows, columns, BM, BK, bm).
inline constexpr std::string_view kI2sLayoutKey = "crossval.i2_s.layout";
inline constexpr std::string_view kTl1TilesKey = "crossval.tl1.tiles";
inline constexpr std::string_view kTl2TilesKey = "crossval.tl2.tiles";

/// What the user says of a file. It must not contradict the file.
struct TernaryOptions {
  std::optional<I2sLayout> layout;  // of I2_S; x86 where nobody says
  TlTable tiles;                    // of TL1 and TL2: kernel_config.ini
};

/// The layout that the file itself names.
std::optional<I2sLayout> named_layout(const File& file);

/// Throws InputError that names the tensor where that cannot be known: tiles that nobody names, or that two
/// sources name differently; and where the matrix does not fit.
TernaryFormat ternary_format(const File& file, const Tensor& tensor, const TernaryOptions& options);

struct TernaryWeights {
  std::vector<std::int8_t> weights;  // rows of -1, 0, +1
  float scale = 0;
};

inline TernaryShape ternary_shape(const Tensor& tensor) {
  return {tensor.ne[0], tensor.rows()};
}

/// Throws InputError that names the tensor for bytes that stand for no ternary matrix with one finite scale.
TernaryWeights decode_ternary(const File& file, const Tensor& tensor, const TernaryOptions& options);

}  // namespace bitnet::gguf
