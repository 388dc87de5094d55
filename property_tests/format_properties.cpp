// Ternary formats: whatever matrix a format can hold comes back as it went in, from every layout it has; and
// bytes that nobody wrote are refused or are a matrix.

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <vector>

#include "engine/error.h"
#include "engine/formats/f16.h"
#include "engine/formats/float_format.h"
#include "engine/formats/ternary_format.h"
#include "property_tests/property.h"

namespace bitnet {
namespace {

// Weights, of which more or fewer are zero; all of some rows.
std::vector<std::int8_t> draw_weights(TernaryShape shape) {
  const int zeros = *rc::gen::inRange(0, 10);
  const auto seed = *rc::gen::arbitrary<std::uint64_t>();
  std::vector<std::int8_t> w(shape.elements());
  std::uint64_t state = seed | 1;
  for (std::size_t e = 0; e < w.size(); ++e) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const auto draw = static_cast<int>(state >> 33);
    const bool zero_row = zeros > 7 && (e / shape.cols + seed) % 3 == 0;
    w[e] = static_cast<std::int8_t>(draw % 10 < zeros || zero_row ? 0 : draw / 10 % 2 == 0 ? -1 : 1);
  }
  return w;
}

struct Drawn {
  TernaryFormat format;
  TernaryShape shape;
};

// A format and a shape that it can hold.
Drawn draw_format() {
  const auto type = *rc::gen::element(TensorType::i2_s, TensorType::tl1, TensorType::tl2, TensorType::tq1_0,
                                      TensorType::tq2_0, TensorType::iq1_bn, TensorType::iq2_bn,
                                      TensorType::iq2_bn_r4, TensorType::bitnet32_f16);
  const auto n = [](int low, int high) { return static_cast<std::uint32_t>(*rc::gen::inRange(low, high)); };
  if (type == TensorType::tl1) {
    const std::uint32_t stripe = *rc::gen::element(16u, 32u, 64u);
    const TlTiles tiles = {stripe * n(1, 4), 256 / stripe * n(1, 17), stripe};
    return {{type, I2sLayout::x86, tiles},
            {std::uint64_t{tiles.cols} * n(1, 4), std::uint64_t{tiles.rows} * n(1, 4)}};
  }
  if (type == TensorType::tl2) {
    // Columns in triples, and up to 256 in pairs, fewer than fill a tile.
    const TlTiles tiles = {32 * n(1, 4), 24 * n(1, 13), 32};
    const std::uint64_t pairs = 32 * n(0, static_cast<int>((std::min(tiles.cols, 257u) - 1) / 32 + 1));
    std::uint64_t cols = std::uint64_t{tiles.cols} * n(1, 4) + pairs;
    while (cols < 256) cols += tiles.cols;
    return {{type, I2sLayout::x86, tiles}, {cols, std::uint64_t{tiles.rows} * n(1, 4)}};
  }
  if (type == TensorType::i2_s) {
    const I2sLayout layout = *rc::gen::element(I2sLayout::x86, I2sLayout::arm, I2sLayout::four_row);
    return {{type, layout, {}}, {128 * std::uint64_t{n(1, 6)}, 4 * std::uint64_t{n(1, 6)}}};
  }
  const std::uint32_t rows = type == TensorType::iq2_bn_r4 ? 4 * n(1, 4) : n(1, 9);  // it takes them by fours
  return {{type, I2sLayout::x86, {}}, {block_elements(type) * n(1, 6), rows}};
}

CROSSVAL_PROPERTY(TernaryFormats, AnyMatrixComesBack, ()) {
  const Drawn d = draw_format();
  RC_ASSERT(misfit(d.format, d.shape).empty());
  auto w = draw_weights(d.shape);
  // What its codes stand for is told by all three occurring.
  if (d.format.type == TensorType::bitnet32_f16) w[0] = -1, w[1] = 0, w[2] = 1;
  const float scale = static_cast<float>(*rc::gen::inRange(1, 100000)) / 7000.0f;
  std::vector<std::byte> tensor(tensor_bytes(d.format.type, d.shape.cols, d.shape.rows).value());
  encode_ternary(d.format, w, d.shape, scale, tensor);
  std::vector<std::int8_t> back(w.size(), 77);
  const float got = decode_ternary(d.format, tensor, d.shape, back);
  RC_ASSERT(back == w);
  const float stored = rounds_scale(d.format.type) ? f16_to_f32(f32_to_f16(scale)) : scale;
  RC_ASSERT(got == stored || (got == 0 && ternary::all_zero(w)));
  // The same bytes again: nothing in them is left to chance.
  std::vector<std::byte> again(tensor.size(), std::byte{0xff});
  encode_ternary(d.format, back, d.shape, scale, again);
  RC_ASSERT(again == tensor);
}

CROSSVAL_PROPERTY(TernaryFormats, AnyBytesAreAMatrixOrRefused, ()) {
  const Drawn d = draw_format();
  std::vector<std::byte> tensor(tensor_bytes(d.format.type, d.shape.cols, d.shape.rows).value());
  auto state = *rc::gen::arbitrary<std::uint64_t>();
  const bool sound = *rc::gen::arbitrary<bool>();
  if (sound) encode_ternary(d.format, draw_weights(d.shape), d.shape, 1.5f, tensor);
  // All of them, or one.
  const auto one = static_cast<std::size_t>(*rc::gen::inRange<std::uint64_t>(0, tensor.size()));
  for (std::size_t i = sound ? one : 0; i < (sound ? one + 1 : tensor.size()); ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    tensor[i] = static_cast<std::byte>(state >> 40);
  }
  std::vector<std::int8_t> w(d.shape.elements());
  try {
    decode_ternary(d.format, tensor, d.shape, w);
  } catch (const InputError& e) {
    RC_ASSERT(std::string(e.what()).size() > 10);
    return;
  }
  for (const std::int8_t x : w) RC_ASSERT(x >= -1 && x <= 1);
}

CROSSVAL_PROPERTY(FloatFormats, EncodingWhatWasDecodedLosesNothingMore, ()) {
  // Binary types hold their own numbers; of the others d may round anew, so they are held to their step.
  const auto type = *rc::gen::element(TensorType::f16, TensorType::bf16, TensorType::f32);
  std::vector<float> x(256);
  auto state = *rc::gen::arbitrary<std::uint64_t>();
  for (float& value : x) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<float>(static_cast<std::int64_t>(state >> 20)) * 0x1p-40f - 2.0f;
  }
  std::vector<std::byte> bytes(tensor_bytes(type, x.size(), 1).value());
  encode_floats(type, x, bytes);
  std::vector<float> y(x.size()), z(x.size());
  decode_floats(type, bytes, y);
  encode_floats(type, y, bytes);
  decode_floats(type, bytes, z);
  RC_ASSERT(y == z);
}

}  // namespace
}  // namespace bitnet
