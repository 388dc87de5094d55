#include "engine/formats/q4_k.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include "engine/formats/round.h"

namespace bitnet::q4_k {
namespace {

constexpr std::size_t kParts = 8;
constexpr std::size_t kPerPart = 32;

// value / unit as a number of six bits; the unit may have been rounded to zero.
int six_bits(float value, float unit) {
  return unit == 0 ? 0 : std::clamp(round_half_even(value / unit), 0, 63);
}

void quantize(std::span<const float, Block::kElements> w, Block& block) {
  std::array<float, kParts> scales{};
  std::array<float, kParts> offsets{};
  for (std::size_t j = 0; j < kParts; ++j) {
    const auto part = w.subspan(j * kPerPart, kPerPart);
    const float low = std::min(0.0f, *std::ranges::min_element(part));
    scales[j] = std::max(0.0f, (*std::ranges::max_element(part) - low) / 15.0f);
    offsets[j] = -low;
  }
  block = {f32_to_f16(*std::ranges::max_element(scales) / 63.0f),
           f32_to_f16(*std::ranges::max_element(offsets) / 63.0f),
           {},
           {}};
  const float d = f16_to_f32(block.d);
  const float m = f16_to_f32(block.m);
  if (!std::isfinite(d) || !std::isfinite(m)) throw std::invalid_argument("Q4_K: a weight is too great");
  for (std::size_t j = 0; j < kParts; ++j) {
    const Part part = {six_bits(scales[j], d), six_bits(offsets[j], m)};
    set_part(block, static_cast<std::int64_t>(j), part);
    const float scale = d * static_cast<float>(part.scale);
    const float offset = m * static_cast<float>(part.offset);
    for (std::size_t k = 0; k < kPerPart; ++k) {
      const float weight = w[j * kPerPart + k];
      const int code = scale == 0 ? 0 : std::clamp(round_half_even((weight + offset) / scale), 0, 15);
      std::uint8_t& byte = block.codes[j / 2 * 32 + k];
      byte = static_cast<std::uint8_t>(byte | code << (j % 2 * 4));
    }
  }
}

}  // namespace

void set_part(Block& block, std::int64_t j, Part part) {
  std::uint8_t* p = block.parts;
  const auto put = [](std::uint8_t& byte, int mask, int bits) {
    byte = static_cast<std::uint8_t>((byte & ~mask) | (bits & mask));
  };
  if (j < 4) {
    put(p[j], 63, part.scale);
    put(p[j + 4], 63, part.offset);
  } else {
    put(p[j + 4], 255, (part.scale & 15) | (part.offset & 15) << 4);
    put(p[j - 4], 0xc0, part.scale >> 4 << 6);
    put(p[j], 0xc0, part.offset >> 4 << 6);
  }
}

void quantize(std::span<const float> weights, std::span<Block> blocks) {
  if (weights.size() != blocks.size() * Block::kElements)
    throw std::invalid_argument("Q4_K packs whole blocks of 256 elements");
  for (std::size_t b = 0; b < blocks.size(); ++b)
    quantize(weights.subspan(b * Block::kElements).first<Block::kElements>(), blocks[b]);
}

}  // namespace bitnet::q4_k
