#include "engine/formats/tq1_0.h"

#include <cstring>

#include "engine/formats/f16.h"
#include "engine/formats/trits.h"

namespace bitnet::tq1_0 {
namespace {

// `bytes` bytes from byte `byte` on hold `trits` times as many elements from `element` on, that many apart.
struct Part {
  std::size_t byte;
  std::size_t bytes;
  std::size_t element;
  std::size_t trits;
};
constexpr Part kParts[] = {{0, 32, 0, 5}, {32, 16, 160, 5}, {48, 4, 240, 4}};
constexpr std::size_t kScaleByte = 52;

void require_sizes(TernaryShape shape, std::size_t weights, std::size_t bytes) {
  ternary::require_sizes("TQ1_0", shape, kBlockElements, weights, bytes,
                         shape.elements() / kBlockElements * kBlockBytes);
}

}  // namespace

void encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
            std::span<std::byte> tensor) {
  require_sizes(shape, weights.size(), tensor.size());
  ternary::require_ternary("TQ1_0", weights);
  for (std::size_t b = 0; b < weights.size() / kBlockElements; ++b) {
    const auto w = weights.subspan(b * kBlockElements, kBlockElements);
    const auto block = tensor.subspan(b * kBlockBytes, kBlockBytes);
    for (const Part& part : kParts)
      for (std::size_t p = 0; p < part.bytes; ++p) {
        int number = 0;
        for (std::size_t i = 0; i < 5; ++i)
          number = 3 * number + (i < part.trits ? w[part.element + p + i * part.bytes] + 1 : 0);
        block[part.byte + p] = static_cast<std::byte>(trits::byte_of(number));
      }
    const f16 d = ternary::all_zero(w) ? f16{0} : f32_to_f16(scale);
    std::memcpy(block.data() + kScaleByte, &d, sizeof d);
  }
}

float decode(std::span<const std::byte> tensor, TernaryShape shape, std::span<std::int8_t> weights) {
  require_sizes(shape, weights.size(), tensor.size());
  ternary::CommonScale scale(shape);
  for (std::size_t b = 0; b < weights.size() / kBlockElements; ++b) {
    const auto w = weights.subspan(b * kBlockElements, kBlockElements);
    const auto block = tensor.subspan(b * kBlockBytes, kBlockBytes);
    for (const Part& part : kParts) {
      int power = 1;
      for (std::size_t i = 0; i < part.trits; ++i, power *= 3)
        for (std::size_t p = 0; p < part.bytes; ++p)
          w[part.element + p + i * part.bytes] = static_cast<std::int8_t>(
              trits::digit(std::to_integer<std::uint8_t>(block[part.byte + p]), power) - 1);
    }
    f16 d = 0;
    std::memcpy(&d, block.data() + kScaleByte, sizeof d);
    if (!ternary::all_zero(w)) scale.add(f16_to_f32(d), b * kBlockElements);
  }
  return scale.value();
}

}  // namespace bitnet::tq1_0
