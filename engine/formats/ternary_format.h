#pragma once
// All ternary formats behind one pair of functions.

#include <span>
#include <string>

#include "engine/formats/i2s_layout.h"
#include "engine/formats/tensor_type.h"
#include "engine/formats/ternary.h"
#include "engine/formats/tl_tiles.h"

namespace bitnet {

/// How the bytes of a ternary tensor lie.
struct TernaryFormat {
  TensorType type = TensorType::i2_s;
  I2sLayout i2s = I2sLayout::x86;  // of I2_S
  TlTiles tiles;                   // of TL1 and TL2
};

/// Whether the type is one of those that hold ternary weights.
bool is_ternary(TensorType type);

/// Whether scales are rounded to binary16.
bool rounds_scale(TensorType type);

/// Why a matrix cannot be stored in the format, or "".
std::string misfit(const TernaryFormat& format, TernaryShape shape);

/// The functions of the format (ternary.h). The matrix must fit it.
void encode_ternary(const TernaryFormat& format, std::span<const std::int8_t> weights, TernaryShape shape,
                    float scale, std::span<std::byte> tensor);
float decode_ternary(const TernaryFormat& format, std::span<const std::byte> tensor, TernaryShape shape,
                     std::span<std::int8_t> weights);

}  // namespace bitnet
