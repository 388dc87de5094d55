#include "engine/formats/float_format.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "engine/formats/bf16.h"
#include "engine/formats/f16.h"
#include "engine/formats/q4_0.h"
#include "engine/formats/q4_k.h"
#include "engine/formats/q5_0.h"
#include "engine/formats/q6_k.h"
#include "engine/formats/q8_0.h"

namespace bitnet {
namespace {

constexpr FloatType kTypes[] = {{"f16", TensorType::f16},   {"f32", TensorType::f32},
                                {"bf16", TensorType::bf16}, {"q8_0", TensorType::q8_0},
                                {"q6_k", TensorType::q6_k}, {"q5_0", TensorType::q5_0},
                                {"q4_k", TensorType::q4_k}, {"q4_0", TensorType::q4_0}};

float value_of(const q8_0::Block& b, std::size_t e) {
  return f16_to_f32(b.d) * static_cast<float>(b.codes[e]);
}
float value_of(const q6_k::Block& b, std::size_t e) {
  return f16_to_f32(b.d) * static_cast<float>(b.scales[e / 16]) *
         static_cast<float>(q6_k::value_at(b, static_cast<int>(e)));
}
float value_of(const q5_0::Block& b, std::size_t e) {
  return f16_to_f32(b.d) * static_cast<float>(q5_0::value_at(b, static_cast<std::int64_t>(e)));
}
float value_of(const q4_0::Block& b, std::size_t e) {
  return f16_to_f32(b.d) * static_cast<float>(q4_0::value_at(b, static_cast<std::int64_t>(e)));
}
float value_of(const q4_k::Block& b, std::size_t e) {
  const auto i = static_cast<std::int64_t>(e);
  const q4_k::Part part = q4_k::part_at(b, i / 32);
  return f16_to_f32(b.d) * static_cast<float>(part.scale * q4_k::code_at(b, i)) -
         f16_to_f32(b.m) * static_cast<float>(part.offset);
}

void require_sizes(TensorType type, std::size_t values, std::size_t bytes) {
  if (tensor_bytes(type, values, 1) != bytes || !is_float(type))
    throw std::invalid_argument("wrong type, or number of values or bytes");
}

template <class T, class Encode>
void encode_numbers(std::span<const float> values, std::span<std::byte> bytes, Encode encode) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const T number = encode(values[i]);
    std::memcpy(bytes.data() + i * sizeof number, &number, sizeof number);
  }
}

template <class T, class Decode>
void decode_numbers(std::span<const std::byte> bytes, std::span<float> values, Decode decode) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    T number;
    std::memcpy(&number, bytes.data() + i * sizeof number, sizeof number);
    values[i] = decode(number);
  }
}

template <class Block>
void encode_blocks(std::span<const float> values, std::span<std::byte> bytes,
                   void (*quantize)(std::span<const float>, std::span<Block>)) {
  std::vector<Block> blocks(values.size() / Block::kElements);
  quantize(values, blocks);
  std::memcpy(bytes.data(), blocks.data(), bytes.size());
}

template <class Block>
void decode_blocks(std::span<const std::byte> bytes, std::span<float> values) {
  for (std::size_t b = 0; b < values.size() / Block::kElements; ++b) {
    Block block;
    std::memcpy(&block, bytes.data() + b * sizeof block, sizeof block);
    for (std::size_t e = 0; e < Block::kElements; ++e) values[b * Block::kElements + e] = value_of(block, e);
  }
}

}  // namespace

std::span<const FloatType> float_types() {
  return kTypes;
}

bool is_float(TensorType type) {
  return std::ranges::find(kTypes, type, &FloatType::type) != std::end(kTypes);
}

std::optional<TensorType> parse_float_type(std::string_view name) {
  const auto* found = std::ranges::find(kTypes, name, &FloatType::name);
  return found == std::end(kTypes) ? std::nullopt : std::optional(found->type);
}

void encode_floats(TensorType type, std::span<const float> values, std::span<std::byte> bytes) {
  require_sizes(type, values.size(), bytes.size());
  switch (type) {
    case TensorType::f16:
      return encode_numbers<f16>(values, bytes, f32_to_f16);
    case TensorType::bf16:
      return encode_numbers<bf16>(values, bytes, f32_to_bf16);
    case TensorType::q8_0:
      return encode_blocks(values, bytes, q8_0::quantize);
    case TensorType::q6_k:
      return encode_blocks(values, bytes, q6_k::quantize);
    case TensorType::q5_0:
      return encode_blocks(values, bytes, q5_0::quantize);
    case TensorType::q4_k:
      return encode_blocks(values, bytes, q4_k::quantize);
    case TensorType::q4_0:
      return encode_blocks(values, bytes, q4_0::quantize);
    default:
      std::memcpy(bytes.data(), values.data(), bytes.size());
  }
}

void decode_floats(TensorType type, std::span<const std::byte> bytes, std::span<float> values) {
  require_sizes(type, values.size(), bytes.size());
  switch (type) {
    case TensorType::f16:
      return decode_numbers<f16>(bytes, values, f16_to_f32);
    case TensorType::bf16:
      return decode_numbers<bf16>(bytes, values, bf16_to_f32);
    case TensorType::q8_0:
      return decode_blocks<q8_0::Block>(bytes, values);
    case TensorType::q6_k:
      return decode_blocks<q6_k::Block>(bytes, values);
    case TensorType::q5_0:
      return decode_blocks<q5_0::Block>(bytes, values);
    case TensorType::q4_k:
      return decode_blocks<q4_k::Block>(bytes, values);
    case TensorType::q4_0:
      return decode_blocks<q4_0::Block>(bytes, values);
    default:
      std::memcpy(values.data(), bytes.data(), bytes.size());
  }
}

}  // namespace bitnet
