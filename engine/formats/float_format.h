#pragma once
// The types of embeddings and heads behind one pair of functions.

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "engine/formats/tensor_type.h"

namespace bitnet {

struct FloatType {
  std::string_view name;  // "f16", as flags take it
  TensorType type;
};

/// f16, f32, bf16, q8_0, q6_k, q5_0, q4_k, q4_0.
std::span<const FloatType> float_types();

bool is_float(TensorType type);

/// The type of a name; nothing for another.
std::optional<TensorType> parse_float_type(std::string_view name);

/// Whole blocks of numbers, all finite. `bytes` must have the size for them (std::invalid_argument), and
/// weights that are too great for the type are std::invalid_argument too.
void encode_floats(TensorType type, std::span<const float> values, std::span<std::byte> bytes);
void decode_floats(TensorType type, std::span<const std::byte> bytes, std::span<float> values);

}  // namespace bitnet
