#include "engine/formats/bitnet_rs.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/error.h"
#include "engine/formats/f16.h"

namespace bitnet {
namespace {

// Four codes of each byte as what they stand for.
using Weights = std::array<std::array<std::int8_t, 4>, 256>;
constexpr Weights weights_of(std::array<std::int8_t, 4> of_code) {
  Weights weights{};
  for (std::size_t byte = 0; byte < 256; ++byte)
    for (std::size_t i = 0; i < 4; ++i) weights[byte][i] = of_code[byte >> 2 * i & 3];
  return weights;
}

void add_code(std::byte* codes, std::size_t e, int code) {
  codes[e / 4] |= static_cast<std::byte>(code << 2 * (e % 4));
}

}  // namespace

void bitnet32_f16::encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
                          std::span<std::byte> tensor) {
  ternary::require_sizes("BitNet32-F16", shape, kBlockElements, weights.size(), tensor.size(),
                         shape.elements() / kBlockElements * kBlockBytes);
  ternary::require_ternary("BitNet32-F16", weights);
  std::ranges::fill(tensor, std::byte{0});
  const f16 d = f32_to_f16(scale);
  std::byte* block = tensor.data();
  for (std::size_t e = 0; e < weights.size(); e += kBlockElements, block += kBlockBytes) {
    for (std::size_t i = 0; i < kBlockElements; ++i) add_code(block, i, weights[e + i] + 2);
    std::memcpy(block + kBlockElements / 4, &d, sizeof d);
  }
}

float bitnet32_f16::decode(std::span<const std::byte> tensor, TernaryShape shape,
                           std::span<std::int8_t> weights) {
  ternary::require_sizes("BitNet32-F16", shape, kBlockElements, weights.size(), tensor.size(),
                         shape.elements() / kBlockElements * kBlockBytes);
  static constexpr Weights kWeights = weights_of({-2, -1, 0, 1});
  ternary::CommonScale scale(shape);
  bool bytes[256] = {};
  const std::byte* block = tensor.data();
  for (std::size_t e = 0; e < weights.size(); e += kBlockElements, block += kBlockBytes) {
    for (std::size_t i = 0; i < kBlockElements / 4; ++i) {
      const auto byte = std::to_integer<std::size_t>(block[i]);
      bytes[byte] = true;
      std::memcpy(weights.data() + e + 4 * i, kWeights[byte].data(), 4);
    }
    f16 d = 0;
    std::memcpy(&d, block + kBlockElements / 4, sizeof d);
    if (!ternary::all_zero(weights.subspan(e, kBlockElements))) scale.add(f16_to_f32(d), e);
  }
  bool seen[4] = {};
  for (std::size_t byte = 0; byte < 256; ++byte)
    for (std::size_t i = 0; i < 4; ++i) seen[byte >> 2 * i & 3] |= bytes[byte];
  if (seen[0]) ternary::fail_invalid(shape, weights, 0);
  if (!seen[1] || !seen[2] || !seen[3])
    throw InputError(
        "not all of the codes 1, 2 and 3 occur in it, so it is not clear whether they stand for -1, 0 and +1 "
        "(BitNet-rs's quantizer) or for -1, +1 and +2 (its loader); quantize the model again");
  return scale.value();
}

void qk256::encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
                   std::span<std::byte> tensor) {
  ternary::require_sizes("QK256", shape, 1, weights.size(), tensor.size(),
                         shape.rows * row_bytes(shape.cols));
  ternary::require_ternary("QK256", weights);
  if (const auto* zero = std::ranges::find(weights, 0).operator->(); zero != weights.data() + weights.size())
    throw InputError("QK256 has no code for the weight 0 in " +
                     ternary::place_text(shape, static_cast<std::uint64_t>(zero - weights.data())));
  if (scale != 1.0f) throw InputError("QK256 has no scale, and that of the matrix is not 1");
  std::ranges::fill(tensor, std::byte{0});
  for (std::uint64_t row = 0; row < shape.rows; ++row)
    for (std::uint64_t k = 0; k < shape.cols; ++k)
      add_code(tensor.data() + row * row_bytes(shape.cols), k, weights[row * shape.cols + k] < 0 ? 1 : 2);
}

float qk256::decode(std::span<const std::byte> tensor, TernaryShape shape, std::span<std::int8_t> weights) {
  ternary::require_sizes("QK256", shape, 1, weights.size(), tensor.size(),
                         shape.rows * row_bytes(shape.cols));
  static constexpr Weights kWeights = weights_of({-2, -1, 1, 2});
  bool invalid = false;
  for (std::uint64_t row = 0; row < shape.rows; ++row) {
    const std::byte* in = tensor.data() + row * row_bytes(shape.cols);
    std::int8_t* w = weights.data() + row * shape.cols;
    for (std::uint64_t k = 0; k < shape.cols; k += 4)
      std::memcpy(w + k, kWeights[std::to_integer<std::size_t>(*in++)].data(),
                  std::min<std::uint64_t>(4, shape.cols - k));
  }
  for (const std::int8_t w : weights) invalid |= w < -1 || w > 1;
  if (!invalid) return 1.0f;
  if (const auto two = std::ranges::find(weights, 2); two != weights.end())
    throw InputError(
        "the weight in " + ternary::place_text(shape, static_cast<std::uint64_t>(two - weights.begin())) +
        " is +2, which no ternary matrix has; in Split32 of BitNet-rs, which takes the same space "
        "and is not supported, its code is +1. Quantize or convert the model again");
  ternary::fail_invalid(shape, weights, 0);
}

}  // namespace bitnet
