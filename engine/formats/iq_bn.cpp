#include "engine/formats/iq_bn.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "engine/formats/f16.h"
#include "engine/formats/trits.h"
#include "engine/formats/two_bit_group.h"

namespace bitnet {
namespace {

constexpr std::size_t kBlock = 64;

// What stands in a row of zeros.
using Block = std::array<std::int8_t, kBlock>;
constexpr Block kOnes = [] {
  Block ones{};
  ones.fill(1);
  return ones;
}();

/// How a block and a row's scale are written.
struct TwoBits {
  using Scale = float;
  static constexpr const char* kName = "IQ2_BN";
  static constexpr std::size_t kBytes = 16;
  static constexpr auto row_bytes = iq2_bn::row_bytes;
  static float stored(float scale) { return scale; }
  static float value(float scale) { return scale; }
  static void encode(const std::int8_t* w, std::byte* bytes) { two_bit_group::encode<16, true>(w, bytes); }
  static bool decode(const std::byte* bytes, std::int8_t* w) {
    return two_bit_group::decode<16, true>(bytes, w);
  }
};

struct Trits {
  // The five weights of each byte: the first is its last trit.
  static constexpr auto kWeights = [] {
    std::array<std::array<std::int8_t, 5>, 256> weights{};
    for (std::size_t byte = 0; byte < 256; ++byte)
      for (std::size_t i = 0; i < 5; ++i)
        weights[byte][i] = static_cast<std::int8_t>(trits::kDigits[byte][4 - i] - 1);
    return weights;
  }();

  using Scale = f16;
  static constexpr const char* kName = "IQ1_BN";
  static constexpr std::size_t kBytes = 13;
  static constexpr auto row_bytes = iq1_bn::row_bytes;
  static f16 stored(float scale) { return f32_to_f16(scale); }
  static float value(f16 scale) { return f16_to_f32(scale); }

  static void encode(const std::int8_t* w, std::byte* bytes) {
    int last = 0;
    for (int g = 3; g >= 0; --g) {
      for (int i = 0; i < 3; ++i) {
        int number = 0;
        for (int j = 4; j >= 0; --j) number = 3 * number + w[16 * g + 5 * i + j] + 1;
        bytes[3 * g + i] = static_cast<std::byte>(trits::byte_of(number));
      }
      last = 3 * last + w[16 * g + 15] + 1;
    }
    bytes[12] = static_cast<std::byte>(trits::byte_of(last));
  }

  // There is no code that stands for nothing.
  static bool decode(const std::byte* bytes, std::int8_t* w) {
    const auto weights_of = [&](std::size_t byte) {
      return kWeights[std::to_integer<std::size_t>(bytes[byte])].data();
    };
    for (std::size_t g = 0; g < 4; ++g) {
      for (std::size_t i = 0; i < 3; ++i) std::memcpy(w + 16 * g + 5 * i, weights_of(3 * g + i), 5);
      w[16 * g + 15] = weights_of(12)[g];
    }
    return false;
  }
};

template <class Format>
void require_sizes(TernaryShape shape, std::size_t weights, std::size_t bytes) {
  ternary::require_sizes(Format::kName, shape, kBlock, weights, bytes,
                         shape.rows * Format::row_bytes(shape.cols));
}

template <class Format>
void encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
            std::span<std::byte> tensor) {
  require_sizes<Format>(shape, weights.size(), tensor.size());
  ternary::require_ternary(Format::kName, weights);
  std::byte* out = tensor.data();
  for (std::uint64_t row = 0; row < shape.rows; ++row) {
    const auto w = weights.subspan(row * shape.cols, shape.cols);
    const bool zero = ternary::all_zero(w);
    const typename Format::Scale d = Format::stored(zero ? 0.0f : scale);
    std::memcpy(out, &d, sizeof d);
    out += sizeof d;
    for (std::size_t k = 0; k < w.size(); k += kBlock, out += Format::kBytes)
      Format::encode(zero ? kOnes.data() : w.data() + k, out);
  }
}

template <class Format>
float decode(std::span<const std::byte> tensor, TernaryShape shape, std::span<std::int8_t> weights) {
  require_sizes<Format>(shape, weights.size(), tensor.size());
  ternary::CommonScale scale(shape);
  const std::byte* in = tensor.data();
  for (std::uint64_t row = 0; row < shape.rows; ++row) {
    const auto w = weights.subspan(row * shape.cols, shape.cols);
    typename Format::Scale d{};
    std::memcpy(&d, in, sizeof d);
    in += sizeof d;
    bool invalid = false;
    for (std::size_t k = 0; k < w.size(); k += kBlock, in += Format::kBytes)
      invalid |= Format::decode(in, w.data() + k);
    if (invalid) ternary::fail_invalid(shape, weights, row * shape.cols);
    if (Format::value(d) == 0) std::ranges::fill(w, std::int8_t{0});
    if (!ternary::all_zero(w)) scale.add(Format::value(d), row * shape.cols);
  }
  return scale.value();
}

// ---- Four rows together ----

constexpr std::uint64_t kTogether = 4;

void require_sizes_r4(TernaryShape shape, std::size_t weights, std::size_t bytes) {
  ternary::require_sizes("IQ2_BN_R4", shape, kBlock, weights, bytes,
                         shape.rows * iq2_bn::row_bytes(shape.cols));
  if (shape.rows % kTogether != 0) throw std::invalid_argument("IQ2_BN_R4 takes rows four by four");
}

// Where the code of a column of a row lies among the bytes of four rows.
struct Place {
  std::uint64_t byte;
  unsigned shift;
};
Place place_of(std::uint64_t row, std::uint64_t k) {
  const std::uint64_t e = k % kBlock;
  return {kTogether * sizeof(float) + k / kBlock * kBlock + e / 16 * 16 + row * 4 + e % 4,
          static_cast<unsigned>(e / 4 % 4 * 2)};
}

}  // namespace

void iq2_bn_r4::encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
                       std::span<std::byte> tensor) {
  require_sizes_r4(shape, weights.size(), tensor.size());
  ternary::require_ternary("IQ2_BN_R4", weights);
  std::ranges::fill(tensor, std::byte{0});
  for (std::uint64_t row = 0; row < shape.rows; ++row) {
    std::byte* four = tensor.data() + row / kTogether * kTogether * iq2_bn::row_bytes(shape.cols);
    const auto w = weights.subspan(row * shape.cols, shape.cols);
    const bool zero = ternary::all_zero(w);
    const float d = zero ? 0.0f : scale;
    std::memcpy(four + row % kTogether * sizeof d, &d, sizeof d);
    for (std::uint64_t k = 0; k < shape.cols; ++k) {
      const Place at = place_of(row % kTogether, k);
      four[at.byte] |= static_cast<std::byte>((zero ? 2 : w[k] + 1) << at.shift);
    }
  }
}

float iq2_bn_r4::decode(std::span<const std::byte> tensor, TernaryShape shape,
                        std::span<std::int8_t> weights) {
  require_sizes_r4(shape, weights.size(), tensor.size());
  ternary::CommonScale scale(shape);
  for (std::uint64_t row = 0; row < shape.rows; ++row) {
    const std::byte* four = tensor.data() + row / kTogether * kTogether * iq2_bn::row_bytes(shape.cols);
    const auto w = weights.subspan(row * shape.cols, shape.cols);
    float d = 0;
    std::memcpy(&d, four + row % kTogether * sizeof d, sizeof d);
    bool invalid = false;
    for (std::uint64_t k = 0; k < shape.cols; ++k) {
      const Place at = place_of(row % kTogether, k);
      w[k] = static_cast<std::int8_t>((std::to_integer<int>(four[at.byte]) >> at.shift & 3) - 1);
      invalid |= w[k] == 2;
    }
    if (invalid) ternary::fail_invalid(shape, weights, row * shape.cols);
    if (d == 0) std::ranges::fill(w, std::int8_t{0});
    if (!ternary::all_zero(w)) scale.add(d, row * shape.cols);
  }
  return scale.value();
}

void iq2_bn::encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
                    std::span<std::byte> tensor) {
  bitnet::encode<TwoBits>(weights, shape, scale, tensor);
}
float iq2_bn::decode(std::span<const std::byte> tensor, TernaryShape shape, std::span<std::int8_t> weights) {
  return bitnet::decode<TwoBits>(tensor, shape, weights);
}
void iq1_bn::encode(std::span<const std::int8_t> weights, TernaryShape shape, float scale,
                    std::span<std::byte> tensor) {
  bitnet::encode<Trits>(weights, shape, scale, tensor);
}
float iq1_bn::decode(std::span<const std::byte> tensor, TernaryShape shape, std::span<std::int8_t> weights) {
  return bitnet::decode<Trits>(tensor, shape, weights);
}

}  // namespace bitnet
