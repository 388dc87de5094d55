#include "engine/formats/q5_0.h"

#include "engine/formats/small_codes.h"

namespace bitnet::q5_0 {

void quantize(std::span<const float> weights, std::span<Block> blocks) {
  if (weights.size() != blocks.size() * Block::kElements)
    throw std::invalid_argument("Q5_0 packs whole blocks of 32 elements");
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const auto w = weights.subspan(b * Block::kElements, Block::kElements);
    Block& block = blocks[b];
    block = {small_codes::scale_of(w, -16, "Q5_0"), {}, {}};
    const float d = f16_to_f32(block.d);
    for (std::size_t e = 0; e < w.size(); ++e) {
      const int code = small_codes::value_of(w[e], d, -16) + 16;
      block.low[e % 16] = static_cast<std::uint8_t>(block.low[e % 16] | (code & 15) << (e / 16 * 4));
      block.high[e / 8] = static_cast<std::uint8_t>(block.high[e / 8] | code >> 4 << (e % 8));
    }
  }
}

}  // namespace bitnet::q5_0
