#include "engine/formats/q4_0.h"

#include "engine/formats/small_codes.h"

namespace bitnet::q4_0 {

void quantize(std::span<const float> weights, std::span<Block> blocks) {
  if (weights.size() != blocks.size() * Block::kElements)
    throw std::invalid_argument("Q4_0 packs whole blocks of 32 elements");
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const auto w = weights.subspan(b * Block::kElements, Block::kElements);
    Block& block = blocks[b];
    block.d = small_codes::scale_of(w, -8, "Q4_0");
    const float d = f16_to_f32(block.d);
    for (std::size_t p = 0; p < 16; ++p) {
      const int low = small_codes::value_of(w[p], d, -8) + 8;
      const int high = small_codes::value_of(w[p + 16], d, -8) + 8;
      block.codes[p] = static_cast<std::uint8_t>(low | high << 4);
    }
  }
}

}  // namespace bitnet::q4_0
