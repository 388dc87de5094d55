#include "engine/formats/q8_0.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "engine/formats/round.h"

namespace bitnet::q8_0 {

void quantize(std::span<const float> weights, std::span<Block> blocks) {
  if (weights.size() != blocks.size() * Block::kElements)
    throw std::invalid_argument("Q8_0 packs whole blocks of 32 elements");
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const auto w = weights.subspan(b * Block::kElements, Block::kElements);
    float greatest = 0;
    for (const float weight : w) greatest = std::max(greatest, std::abs(weight));
    Block& block = blocks[b];
    block.d = f32_to_f16(greatest / 127.0f);
    const float d = f16_to_f32(block.d);
    if (!std::isfinite(d)) throw std::invalid_argument("Q8_0: a weight is too great");
    for (std::size_t k = 0; k < w.size(); ++k) {
      // d may have been rounded down, or to zero.
      const int code = d == 0 ? 0 : round_half_even(w[k] / d);
      block.codes[k] = static_cast<std::int8_t>(std::clamp(code, -127, 127));
    }
  }
}

}  // namespace bitnet::q8_0
