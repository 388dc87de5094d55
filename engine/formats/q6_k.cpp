#include "engine/formats/q6_k.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include "engine/formats/round.h"

namespace bitnet::q6_k {
namespace {

constexpr std::size_t kScales = std::size(Block{}.scales);
constexpr std::size_t kPerScale = Block::kElements / kScales;

void quantize(std::span<const float, Block::kElements> w, Block& block) {
  std::array<float, kScales> scales{};
  float greatest_scale = 0;
  for (std::size_t i = 0; i < kScales; ++i) {
    float greatest = 0;  // with its sign
    for (const float weight : w.subspan(i * kPerScale, kPerScale))
      if (std::abs(weight) > std::abs(greatest)) greatest = weight;
    scales[i] = greatest / -32.0f;
    greatest_scale = std::max(greatest_scale, std::abs(scales[i]));
  }
  block.d = f32_to_f16(greatest_scale / 127.0f);
  const float d = f16_to_f32(block.d);
  if (!std::isfinite(d)) throw std::invalid_argument("Q6_K: a weight is too great");
  for (std::size_t i = 0; i < kScales; ++i) {
    // d may have been rounded down, or to zero.
    const int scale = d == 0 ? 0 : std::clamp(round_half_even(scales[i] / d), -128, 127);
    block.scales[i] = static_cast<std::int8_t>(scale);
    for (std::size_t k = i * kPerScale; k < (i + 1) * kPerScale; ++k) {
      const int value = scale == 0 ? 0 : round_half_even(w[k] / (d * static_cast<float>(scale)));
      set_value(block, static_cast<int>(k), std::clamp(value, -32, 31));
    }
  }
}

}  // namespace

void set_value(Block& block, int e, int value) {
  const int h = e / 128;
  const int k = e % 128 / 32;
  const int l = e % 32;
  const auto put = [](std::uint8_t& byte, int mask, int shift, int bits) {
    byte = static_cast<std::uint8_t>((byte & ~(mask << shift)) | (bits & mask) << shift);
  };
  put(block.low[64 * h + 32 * (k % 2) + l], 15, 4 * (k / 2), value + 32);
  put(block.high[32 * h + l], 3, 2 * k, (value + 32) >> 4);
}

void quantize(std::span<const float> weights, std::span<Block> blocks) {
  if (weights.size() != blocks.size() * Block::kElements)
    throw std::invalid_argument("Q6_K packs whole blocks of 256 elements");
  for (std::size_t b = 0; b < blocks.size(); ++b)
    quantize(weights.subspan(b * Block::kElements).first<Block::kElements>(), blocks[b]);
}

}  // namespace bitnet::q6_k
