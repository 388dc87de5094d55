#include "engine/gguf/checks.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "engine/formats/i2s.h"
#include "engine/formats/q6_k.h"
#include "engine/formats/q8_0.h"

namespace bitnet::gguf {
namespace {

// The first element whose exponent bits are all ones; elements begin `pitch` bytes apart.
template <class Bits, std::size_t pitch = sizeof(Bits)>
std::optional<std::uint64_t> find_full_exponent(std::span<const std::byte> data, Bits mask) {
  // Blocks without an early exit let the compiler use vectors; the block at fault is searched again.
  constexpr std::size_t kBlock = 4096;
  const std::size_t n = (data.size() + pitch - sizeof(Bits)) / pitch;
  const auto full = [&](std::size_t i) {
    Bits bits;
    std::memcpy(&bits, data.data() + i * pitch, sizeof bits);
    return (bits & mask) == mask;
  };
  for (std::size_t begin = 0; begin < n; begin += kBlock) {
    const std::size_t end = std::min(n, begin + kBlock);
    bool any = false;
    for (std::size_t i = begin; i < end; ++i) any |= full(i);
    for (std::size_t i = begin; any; ++i)
      if (full(i)) return i;
  }
  return std::nullopt;
}

// The first element of the first block whose scale is not finite.
template <class Block>
std::optional<std::uint64_t> find_bad_scale(std::span<const std::byte> data) {
  const auto scales = data.subspan(std::min(offsetof(Block, d), data.size()));
  const auto block = find_full_exponent<std::uint16_t, sizeof(Block)>(scales, 0x7c00u);
  if (!block) return std::nullopt;
  return *block * Block::kElements;
}

std::string place_text(const Tensor& tensor, std::uint64_t element) {
  return "row " + std::to_string(element / tensor.ne[0]) + ", column " +
         std::to_string(element % tensor.ne[0]);
}

}  // namespace

void check_i2s(const File& file, const Tensor& tensor) {
  if (tensor.ne[0] % 128 != 0)
    file.fail(tensor.name, "I2_S needs a row length that is a multiple of 128, not " +
                               std::to_string(tensor.ne[0]) +
                               "; bitnet.cpp would drop the rest of each row in silence: pad the model");
  if (tensor.rows() % 4 != 0)
    file.fail(tensor.name, "I2_S needs a number of rows that is a multiple of 4, not " +
                               std::to_string(tensor.rows()) +
                               "; bitnet.cpp would run past the last row: pad the model");
  check_i2s_scale(file, tensor);
}

void check_i2s_scale(const File& file, const Tensor& tensor) {
  if (!std::isfinite(i2s::scale(tensor.data, tensor.elements())))
    file.fail(tensor.name,
              "its weight scale is not finite; the file is damaged or was written by a broken quantizer");
}

void check_i2s_codes(const File& file, const Tensor& tensor) {
  if (const auto e = i2s::find_invalid(tensor.data, tensor.elements()))
    file.fail(tensor.name,
              "the weight in " + place_text(tensor, *e) +
                  " has code 3, which no quantizer writes; the file is damaged or in another layout");
}

std::optional<std::uint64_t> find_not_finite(const Tensor& tensor) {
  if (tensor.type == TensorType::f32) return find_full_exponent<std::uint32_t>(tensor.data, 0x7f800000u);
  if (tensor.type == TensorType::f16) return find_full_exponent<std::uint16_t>(tensor.data, 0x7c00u);
  if (tensor.type == TensorType::bf16) return find_full_exponent<std::uint16_t>(tensor.data, 0x7f80u);
  if (tensor.type == TensorType::q8_0) return find_bad_scale<q8_0::Block>(tensor.data);
  if (tensor.type == TensorType::q6_k) return find_bad_scale<q6_k::Block>(tensor.data);
  return std::nullopt;
}

void check_finite(const File& file, const Tensor& tensor) {
  if (const auto e = find_not_finite(tensor))
    file.fail(tensor.name, "the value in " + place_text(tensor, *e) + " is not finite; the file is damaged");
}

}  // namespace bitnet::gguf
