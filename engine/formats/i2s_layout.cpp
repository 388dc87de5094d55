#include "engine/formats/i2s_layout.h"

#include <algorithm>
#include <cstring>

#include "engine/formats/i2s.h"
#include "engine/formats/two_bit_group.h"

namespace bitnet {
namespace {

constexpr std::string_view kNames[] = {"x86", "arm", "4-row"};
static_assert(std::size(kNames) == std::size(kI2sLayouts));

// n bytes of each block of 4 n elements.
template <std::size_t n>
void encode_blocks(std::span<const std::int8_t> weights, std::byte* out) {
  for (std::size_t e = 0; e < weights.size(); e += 4 * n, out += n)
    two_bit_group::encode<n, false>(weights.data() + e, out);
}

template <std::size_t n>
bool decode_blocks(const std::byte* in, std::span<std::int8_t> weights) {
  bool invalid = false;
  for (std::size_t e = 0; e < weights.size(); e += 4 * n, in += n)
    invalid |= two_bit_group::decode<n, false>(in, weights.data() + e);
  return invalid;
}

void encode_rows(std::span<const std::int8_t> weights, TernaryShape shape, std::byte* out) {
  for (std::uint64_t row = 0; row < shape.rows; row += 4) {
    const std::int8_t* w = weights.data() + row * shape.cols;
    for (std::uint64_t k = 0; k < shape.cols; ++k) {
      int byte = 0;
      for (std::uint64_t r = 0; r < 4; ++r) byte = byte << 2 | (w[r * shape.cols + k] + 1);
      *out++ = static_cast<std::byte>(byte);
    }
  }
}

bool decode_rows(const std::byte* in, TernaryShape shape, std::span<std::int8_t> weights) {
  bool invalid = false;
  for (std::uint64_t row = 0; row < shape.rows; row += 4, in += shape.cols)
    for (std::uint64_t r = 0; r < 4; ++r) {
      std::int8_t* w = weights.data() + (row + r) * shape.cols;
      for (std::uint64_t k = 0; k < shape.cols; ++k) {
        const int code = std::to_integer<int>(in[k]) >> (6 - 2 * r) & 3;
        w[k] = static_cast<std::int8_t>(code - 1);
        invalid |= code == 3;
      }
    }
  return invalid;
}

void require_sizes(I2sLayout layout, TernaryShape shape, std::size_t weights, std::size_t bytes) {
  // Blocks run over the ends of rows.
  const TernaryShape flat = layout == I2sLayout::four_row ? TernaryShape{shape.rows, shape.cols}
                                                          : TernaryShape{shape.elements(), 1};
  ternary::require_sizes("I2_S", flat, i2s::block_elements(layout), weights, bytes,
                         i2s::tensor_bytes(shape.elements()));
}

}  // namespace

std::string_view to_string(I2sLayout layout) {
  return kNames[static_cast<std::size_t>(layout)];
}

std::optional<I2sLayout> parse_i2s_layout(std::string_view name) {
  for (const I2sLayout layout : kI2sLayouts)
    if (to_string(layout) == name) return layout;
  return std::nullopt;
}

void i2s::encode(I2sLayout layout, std::span<const std::int8_t> weights, TernaryShape shape, float scale,
                 std::span<std::byte> tensor) {
  require_sizes(layout, shape, weights.size(), tensor.size());
  ternary::require_ternary("I2_S", weights);
  if (layout == I2sLayout::x86) encode_blocks<32>(weights, tensor.data());
  if (layout == I2sLayout::arm) encode_blocks<16>(weights, tensor.data());
  if (layout == I2sLayout::four_row) encode_rows(weights, shape, tensor.data());
  put_scale(tensor, weights.size(), scale);
}

float i2s::decode(I2sLayout layout, std::span<const std::byte> tensor, TernaryShape shape,
                  std::span<std::int8_t> weights) {
  require_sizes(layout, shape, weights.size(), tensor.size());
  bool invalid = false;
  if (layout == I2sLayout::x86) invalid = decode_blocks<32>(tensor.data(), weights);
  if (layout == I2sLayout::arm) invalid = decode_blocks<16>(tensor.data(), weights);
  if (layout == I2sLayout::four_row) invalid = decode_rows(tensor.data(), shape, weights);
  if (invalid) ternary::fail_invalid(shape, weights, 0);
  return i2s::scale(tensor, weights.size());
}

}  // namespace bitnet
