#include "engine/formats/tq2_0.h"

#include <cstring>

#include "engine/formats/f16.h"
#include "engine/formats/two_bit_group.h"

namespace bitnet::tq2_0 {
namespace {

constexpr std::size_t kGroup = 32;  // bytes of 128 elements
constexpr std::size_t kScaleByte = 64;

void require_sizes(TernaryShape shape, std::size_t weights, std::size_t bytes) {
  ternary::require_sizes("TQ2_0", shape, kBlockElements, weights, bytes,
                         shape.elements() / kBlockElements * kBlockBytes);
}

}  // namespace

void encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
            std::span<std::byte> tensor) {
  require_sizes(shape, weights.size(), tensor.size());
  ternary::require_ternary("TQ2_0", weights);
  for (std::size_t b = 0; b < weights.size() / kBlockElements; ++b) {
    const auto w = weights.subspan(b * kBlockElements, kBlockElements);
    std::byte* block = tensor.data() + b * kBlockBytes;
    for (std::size_t h = 0; h < 2; ++h)
      two_bit_group::encode<kGroup, true>(w.data() + 4 * kGroup * h, block + kGroup * h);
    const f16 d = ternary::all_zero(w) ? f16{0} : f32_to_f16(scale);
    std::memcpy(block + kScaleByte, &d, sizeof d);
  }
}

float decode(std::span<const std::byte> tensor, TernaryShape shape, std::span<std::int8_t> weights) {
  require_sizes(shape, weights.size(), tensor.size());
  ternary::CommonScale scale(shape);
  for (std::size_t b = 0; b < weights.size() / kBlockElements; ++b) {
    const auto w = weights.subspan(b * kBlockElements, kBlockElements);
    const std::byte* block = tensor.data() + b * kBlockBytes;
    for (std::size_t h = 0; h < 2; ++h)
      if (two_bit_group::decode<kGroup, true>(block + kGroup * h, w.data() + 4 * kGroup * h))
        ternary::fail_invalid(shape, weights, b * kBlockElements);
    f16 d = 0;
    std::memcpy(&d, block + kScaleByte, sizeof d);
    if (!ternary::all_zero(w)) scale.add(f16_to_f32(d), b * kBlockElements);
  }
  return scale.value();
}

}  // namespace bitnet::tq2_0
