// The scalar kernels, which all others are compared with, against values worked out by hand and against a
// second reading of the specification (reference-semantics 2 to 6) that shares no code with them.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "engine/error.h"
#include "engine/formats/float_format.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/scalar/exp.h"
#include "engine/kernels/test_values.h"

namespace bitnet {
namespace {

using testing_support::draw_f16;
using testing_support::draw_f32;
using testing_support::Random;
using testing_support::same_bits;
using testing_support::Values;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

const Kernels& kernels() {
  return select_kernels("scalar");
}

struct Quantized {
  std::vector<std::int8_t> codes;
  float scale = 0;
  std::int32_t sum = 0;
};

Quantized quantize(const std::vector<float>& x) {
  Quantized q;
  q.codes.resize(x.size());
  kernels().quantize_row(x.data(), static_cast<std::int64_t>(x.size()), q.codes.data(), &q.scale, &q.sum);
  return q;
}

TEST(QuantizeRow, RoundsTheProductBeforeTheInteger) {
  // The fingerprint of reference-semantics 9.4: the fused form gives -23.
  const Quantized q = quantize({2.92578125f, -0x1.15306p-1f});
  EXPECT_EQ(q.scale, 0x1.5b41f8p+5f);
  EXPECT_EQ(q.codes[0], 127);
  EXPECT_EQ(q.codes[1], -24);
  EXPECT_EQ(q.sum, 103);
}

TEST(QuantizeRow, RoundsTiesToEven) {
  const Quantized q = quantize({127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f, -127.0f});
  EXPECT_EQ(q.scale, 1.0f);
  EXPECT_EQ(q.codes, (std::vector<std::int8_t>{127, 0, 2, 2, 0, -2, -2, 126, -127}));
  EXPECT_EQ(q.sum, 126);
}

TEST(QuantizeRow, FloorsTheGreatestMagnitude) {
  const Quantized zero = quantize({0.0f, -0.0f, 0.0f});
  EXPECT_EQ(zero.scale, 12700000.0f);
  EXPECT_EQ(zero.codes, (std::vector<std::int8_t>{0, 0, 0}));
  const Quantized small = quantize({1e-6f, -4e-7f});
  EXPECT_EQ(small.scale, 12700000.0f);
  EXPECT_EQ(small.codes, (std::vector<std::int8_t>{13, -5}));
  EXPECT_EQ(quantize({}).sum, 0);
}

/// One row per entry of `weights`, in the layout of reference-semantics 2.2 written the other way round:
/// element by element over the flat tensor.
std::vector<std::uint8_t> pack(const std::vector<std::vector<int>>& codes) {
  std::vector<int> flat;
  for (const std::vector<int>& row : codes) flat.insert(flat.end(), row.begin(), row.end());
  std::vector<std::uint8_t> bytes(flat.size() / 4, 0);
  for (std::size_t e = 0; e < flat.size(); ++e) {
    const std::size_t j = e % 128;
    bytes[e / 128 * 32 + j % 32] |= static_cast<std::uint8_t>(flat[e] << (6 - 2 * (j / 32)));
  }
  return bytes;
}

TEST(TernaryMatmul, DoesNotWrapInSixteenBits) {
  // bitnet.cpp gives -8192 (reference-semantics 3.3).
  const std::vector<std::uint8_t> codes = pack({std::vector<int>(4096, 2)});
  const std::vector<std::int8_t> x(4096, 127);
  const float scale = 1;
  const std::int32_t sum = 0;
  float y = 0;
  kernels().ternary_matmul({codes.data(), 1, 4096, 1.0f}, 0, 1, {x.data(), &scale, &sum, 1, 4096}, &y, 1);
  EXPECT_EQ(y, 1040384.0f);
}

TEST(TernaryMatmul, FindsEveryWeightAtItsPlace) {
  for (std::size_t column = 0; column < 256; ++column) {
    std::vector<std::vector<int>> codes(3, std::vector<int>(256, 1));
    codes[1][column] = 2;
    const std::vector<std::uint8_t> bytes = pack(codes);
    std::vector<std::int8_t> x(256);
    std::int32_t sum = 0;
    for (std::size_t k = 0; k < 256; ++k) {
      x[k] = static_cast<std::int8_t>(static_cast<int>(k) - 128);
      sum += x[k];
    }
    const float scale = 4;
    float y[3] = {};
    kernels().ternary_matmul({bytes.data(), 3, 256, 0.5f}, 0, 3, {x.data(), &scale, &sum, 1, 256}, y, 3);
    EXPECT_EQ(y[0], 0.0f);
    EXPECT_EQ(y[1], static_cast<float>(static_cast<int>(column) - 128) / 8) << column;
    EXPECT_EQ(y[2], 0.0f);
  }
}

TEST(TernaryMatmul, AgreesWithWeightsTakenOneByOne) {
  Random random(1);
  for (int trial = 0; trial < 50; ++trial) {
    const std::size_t cols = 128 * static_cast<std::size_t>(1 + random.below(9));
    std::vector<std::vector<int>> codes(5, std::vector<int>(cols));
    for (std::vector<int>& row : codes) {
      for (int& code : row) code = static_cast<int>(random.below(3));
    }
    const std::vector<std::uint8_t> bytes = pack(codes);
    std::vector<std::int8_t> x(2 * cols);
    for (std::int8_t& q : x) q = static_cast<std::int8_t>(random.below(255) - 127);
    const float scales[2] = {37.25f + random.unit(), 0.7f};
    std::int32_t sums[2] = {};
    for (std::size_t k = 0; k < 2 * cols; ++k) sums[k / cols] += x[k];
    const float weight_scale = 1.0f + random.unit();
    const auto stride = static_cast<std::int64_t>(cols);
    float y[10] = {};
    kernels().ternary_matmul({bytes.data(), 5, stride, weight_scale}, 0, 5,
                             {x.data(), scales, sums, 2, stride}, y, 5);
    for (std::size_t t = 0; t < 2; ++t) {
      for (std::size_t m = 0; m < 5; ++m) {
        long long dot = 0;
        for (std::size_t k = 0; k < cols; ++k) dot += (codes[m][k] - 1) * x[t * cols + k];
        // Quotients and products of binary32 numbers may be rounded through double without harm.
        const auto quotient = static_cast<float>(static_cast<double>(dot) / static_cast<double>(scales[t]));
        const auto expected =
            static_cast<float>(static_cast<double>(quotient) * static_cast<double>(weight_scale));
        EXPECT_TRUE(same_bits(y[t * 5 + m], expected)) << dot;
      }
    }
  }
}

/// Section 6.3 by index: element k belongs to accumulator (k / 16) mod 4, lane k mod 16. `fused` rounds
/// product and sum once.
float lanes_by_index(const std::vector<float>& x, const std::vector<float>& y, std::size_t stepped) {
  float acc[4][16] = {};
  for (std::size_t k = 0; k < stepped; ++k) {
    float& a = acc[k / 16 % 4][k % 16];
    a = std::fma(x[k], y[k], a);
  }
  std::vector<float> v(16);
  for (std::size_t l = 0; l < 16; ++l) {
    const float even = acc[0][l] + acc[2][l];
    const float odd = acc[1][l] + acc[3][l];
    v[l] = even + odd;
  }
  while (v.size() > 1) {
    std::vector<float> half(v.size() / 2);
    for (std::size_t l = 0; l < half.size(); ++l) half[l] = v[l] + v[l + half.size()];
    v = half;
  }
  return v[0];
}

TEST(MatmulF16, FollowsTheLanesOfTheSpecification) {
  Random random(2);
  for (const std::size_t n : {0, 1, 15, 63, 64, 80, 96, 100, 128, 200, 256, 2560}) {
    std::vector<f16> w(n);
    std::vector<f16> x(n);
    std::vector<float> wide_w(n);
    std::vector<float> wide_x(n);
    for (std::size_t k = 0; k < n; ++k) {
      w[k] = draw_f16(Values::ordinary, random);
      x[k] = draw_f16(Values::ordinary, random);
      wide_w[k] = f16_to_f32(w[k]);
      wide_x[k] = f16_to_f32(x[k]);
    }
    const std::size_t stepped = n / 64 * 64;
    double sum = static_cast<double>(lanes_by_index(wide_w, wide_x, stepped));
    for (std::size_t k = stepped; k < n; ++k)
      sum += static_cast<double>(wide_w[k]) * static_cast<double>(wide_x[k]);
    float y = -1;
    kernels().matmul_f16(w.data(), static_cast<std::int64_t>(n), 0, 1, x.data(), 1,
                         static_cast<std::int64_t>(n), &y, 1);
    EXPECT_TRUE(same_bits(y, static_cast<float>(sum))) << n;
  }
}

TEST(MatmulF32, FollowsTheLanesOfTheSpecification) {
  Random random(3);
  for (const std::size_t n : {0, 1, 15, 63, 64, 80, 100, 128, 200, 2560}) {
    std::vector<float> w(n);
    std::vector<float> x(n);
    for (std::size_t k = 0; k < n; ++k) {
      w[k] = draw_f32(Values::ordinary, random);
      x[k] = draw_f32(Values::ordinary, random);
    }
    const std::size_t stepped = n / 64 * 64;
    float sum = lanes_by_index(w, x, stepped);
    for (std::size_t k = stepped; k < n; ++k) sum = std::fma(w[k], x[k], sum);
    float y = -1;
    kernels().matmul_f32(w.data(), static_cast<std::int64_t>(n), 0, 1, x.data(), 1,
                         static_cast<std::int64_t>(n), &y, 1);
    EXPECT_TRUE(same_bits(y, sum)) << n;
  }
}

TEST(MatmulBf16, IsThatOfTheDecodedWeights) {
  Random random(4);
  for (const std::int64_t n : {1, 63, 64, 100, 640}) {
    std::vector<bf16> w(static_cast<std::size_t>(2 * n));
    std::vector<float> x(static_cast<std::size_t>(3 * n));
    testing_support::fill(w.data(), w.data() + w.size(), Values::ordinary, random);
    testing_support::fill(x.data(), x.data() + x.size(), Values::ordinary, random);
    std::vector<float> wide;
    for (const bf16 weight : w) wide.push_back(bf16_to_f32(weight));
    std::vector<float> decoded(w.size());
    kernels().decode_bf16(w.data(), 2 * n, decoded.data());
    EXPECT_EQ(decoded, wide);
    std::vector<float> y(6);
    std::vector<float> expected(6);
    kernels().matmul_bf16(w.data(), n, 0, 2, x.data(), 3, n, y.data(), 2);
    kernels().matmul_f32(wide.data(), n, 0, 2, x.data(), 3, n, expected.data(), 2);
    EXPECT_EQ(y, expected) << n;
  }
}

TEST(MatmulQ80, IsThatOfTheDecodedWeights) {
  Random random(5);
  for (const std::int64_t blocks : {1, 2, 3, 20}) {
    const std::int64_t n = 32 * blocks;
    std::vector<q8_0::Block> w(static_cast<std::size_t>(2 * blocks));
    std::vector<float> x(static_cast<std::size_t>(3 * n));
    testing_support::fill(w.data(), w.data() + w.size(), Values::ordinary, random);
    testing_support::fill(x.data(), x.data() + x.size(), Values::ordinary, random);
    std::vector<float> wide;
    for (const q8_0::Block& block : w) {
      for (const std::int8_t code : block.codes)
        wide.push_back(static_cast<float>(static_cast<double>(f16_to_f32(block.d)) * code));  // exact
    }
    std::vector<float> decoded(wide.size());
    kernels().decode_q8_0(w.data(), 2 * n, decoded.data());
    EXPECT_EQ(decoded, wide);
    std::vector<float> y(6);
    std::vector<float> expected(6);
    kernels().matmul_q8_0(w.data(), n, 0, 2, x.data(), 3, n, y.data(), 2);
    kernels().matmul_f32(wide.data(), n, 0, 2, x.data(), 3, n, expected.data(), 2);
    EXPECT_EQ(y, expected) << n;
  }
}

template <class Block, class Matmul, class Decode>
void expect_product_of_decoded(TensorType type, Matmul matmul, Decode decode) {
  Random random(6);
  for (const std::int64_t blocks : {1, 2, 3, 20}) {
    const std::int64_t n = Block::kElements * blocks;
    std::vector<Block> w(static_cast<std::size_t>(2 * blocks));
    std::vector<float> x(static_cast<std::size_t>(3 * n));
    testing_support::fill(w.data(), w.data() + w.size(), Values::ordinary, random);
    testing_support::fill(x.data(), x.data() + x.size(), Values::ordinary, random);
    std::vector<float> wide(static_cast<std::size_t>(2 * n));
    decode_floats(type, std::as_bytes(std::span(w)), wide);
    std::vector<float> decoded(wide.size());
    decode(w.data(), 2 * n, decoded.data());
    EXPECT_EQ(decoded, wide);
    std::vector<float> y(6);
    std::vector<float> expected(6);
    matmul(w.data(), n, 0, 2, x.data(), 3, n, y.data(), 2);
    kernels().matmul_f32(wide.data(), n, 0, 2, x.data(), 3, n, expected.data(), 2);
    EXPECT_EQ(y, expected) << n;
  }
}

TEST(MatmulSmallTypes, AreThoseOfTheDecodedWeights) {
  expect_product_of_decoded<q5_0::Block>(TensorType::q5_0, kernels().matmul_q5_0, kernels().decode_q5_0);
  expect_product_of_decoded<q4_k::Block>(TensorType::q4_k, kernels().matmul_q4_k, kernels().decode_q4_k);
  expect_product_of_decoded<q4_0::Block>(TensorType::q4_0, kernels().matmul_q4_0, kernels().decode_q4_0);
}

std::vector<ActivationBlock> quantize_blocks(const std::vector<float>& x) {
  std::vector<ActivationBlock> blocks(x.size() / 256);
  kernels().quantize_blocks(x.data(), static_cast<std::int64_t>(x.size()), blocks.data());
  return blocks;
}

TEST(QuantizeBlocks, ByHand) {
  // Three blocks: greatest +127 first among equals, greatest -254, and none.
  std::vector<float> x(3 * 256);
  x[0] = 2.5f;  // -2.5: a tie
  x[1] = -3.5f;
  x[10] = 127;
  x[11] = -127;
  x[256 + 255] = -254;
  x[256 + 254] = 100;
  x[256 + 2] = 3;  // 1.5: a tie
  const std::vector<ActivationBlock> q = quantize_blocks(x);
  EXPECT_EQ(q[0].scale, -1);
  EXPECT_EQ(q[1].scale, 2);
  EXPECT_EQ(q[2].scale, 0);
  std::vector<int> expected(3 * 256);
  expected[0] = -2;
  expected[1] = 4;
  expected[10] = -127;
  expected[11] = 127;
  expected[256 + 255] = -127;
  expected[256 + 254] = 50;
  expected[256 + 2] = 2;
  for (std::size_t k = 0; k < expected.size(); ++k) EXPECT_EQ(q[k / 256].codes[k % 256], expected[k]) << k;
  for (std::size_t k = 0; k < expected.size(); k += 4) {
    const std::int16_t* offset = &q[k / 256].offsets[k % 256 / 2];
    EXPECT_EQ(offset[0], -32 * (expected[k] + expected[k + 1] + expected[k + 2] + expected[k + 3])) << k;
    EXPECT_EQ(offset[1], 0) << k;
  }
}

TEST(QuantizeBlocks, WhatIsTooSmallToInvertCountsAsZero) {
  std::vector<float> x(256, -1e-38f);
  const std::vector<ActivationBlock> tiny = quantize_blocks(x);
  EXPECT_EQ(tiny[0].scale, 0.0f);
  for (const std::int8_t code : tiny[0].codes) EXPECT_EQ(code, 0);
  x[3] = 1e-36f;  // 127e36 is finite
  EXPECT_NE(quantize_blocks(x)[0].scale, 0.0f);
  EXPECT_EQ(quantize_blocks(x)[0].codes[3], -127);
  EXPECT_EQ(quantize_blocks(x)[0].codes[4], 1);
}

/// Section 6.11 read once more: weights by their place in the block's bytes, lanes by the element's place.
float q6_k_dot(const std::vector<q6_k::Block>& w, const std::vector<ActivationBlock>& x) {
  float lanes[8] = {};
  for (std::size_t b = 0; b < w.size(); ++b) {
    std::int64_t sums[8] = {};
    for (int h = 0; h < 2; ++h) {
      for (int k = 0; k < 4; ++k) {
        for (int l = 0; l < 32; ++l) {
          const int byte = w[b].low[64 * h + 32 * (k & 1) + l];
          const int low = k < 2 ? byte & 15 : byte >> 4;
          const int high = w[b].high[32 * h + l] >> (2 * k) & 3;
          const int q = x[b].codes[128 * h + 32 * k + l];
          sums[l / 4] += (low + 16 * high - 32) * w[b].scales[8 * h + 2 * k + l / 16] * q;
        }
      }
    }
    const float d = x[b].scale * f16_to_f32(w[b].d);
    for (int i = 0; i < 8; ++i) lanes[i] = std::fma(d, static_cast<float>(sums[i]), lanes[i]);
  }
  float t[4];
  for (int i = 0; i < 4; ++i) t[i] = lanes[i + 4] + lanes[i];
  return (t[0] + t[2]) + (t[1] + t[3]);
}

TEST(MatmulQ6K, FollowsTheLanesOfTheSpecification) {
  Random random(6);
  for (const std::size_t blocks : {1, 2, 10, 27}) {
    for (const Values values : {Values::ordinary, Values::huge, Values::tiny}) {
      std::vector<q6_k::Block> w(blocks);
      std::vector<float> x(256 * blocks);
      testing_support::fill(w.data(), w.data() + w.size(), values, random);
      testing_support::fill(x.data(), x.data() + x.size(), Values::ordinary, random);
      const std::vector<ActivationBlock> q = quantize_blocks(x);
      float y = -1;
      kernels().matmul_q6_k(w.data(), static_cast<std::int64_t>(x.size()), 0, 1, q.data(), 1, &y, 1);
      EXPECT_TRUE(same_bits(y, q6_k_dot(w, q))) << blocks;
    }
  }
}

TEST(MatmulQ6K, FindsEveryWeightAtItsPlace) {
  // One weight and one activation that are not zero: their product, and zero everywhere else.
  for (int e = 0; e < 256; ++e) {
    q6_k::Block block = {};
    for (int k = 0; k < 256; ++k) q6_k::set_value(block, k, k == e ? 21 : 0);
    for (int i = 0; i < 16; ++i) block.scales[i] = static_cast<std::int8_t>(i + 1);
    block.d = 0x3c00;  // 1
    std::vector<float> decoded(256);
    kernels().decode_q6_k(&block, 256, decoded.data());
    for (const int other : {e, e ^ 1, e ^ 4, e ^ 32, e ^ 64, e ^ 128}) {
      const auto k = static_cast<std::size_t>(other);
      const float weight = other == e ? 21.0f * static_cast<float>(e / 16 + 1) : 0.0f;
      EXPECT_EQ(decoded[k], weight);
      std::vector<float> x(256);
      x[k] = 127;
      const std::vector<ActivationBlock> q = quantize_blocks(x);
      float y = -1;
      kernels().matmul_q6_k(&block, 256, 0, 1, q.data(), 1, &y, 1);
      EXPECT_EQ(y, 127 * weight) << e << " " << other;
    }
  }
}

TEST(DecodeQ6K, IsExact) {
  // 11, 7 and 5 bits.
  q6_k::Block block = {};
  block.d = 0x3bff;  // 2047 * 2^-11
  block.scales[0] = 127;
  q6_k::set_value(block, 0, 31);
  block.scales[1] = -128;
  q6_k::set_value(block, 16, -32);
  std::vector<float> y(256);
  kernels().decode_q6_k(&block, 256, y.data());
  EXPECT_EQ(static_cast<double>(y[0]), 2047.0 / 2048 * 127 * 31);
  EXPECT_EQ(static_cast<double>(y[16]), 2047.0 / 2048 * 128 * 32);
}

TEST(MatmulF16, OfSmallIntegersIsExact) {
  // 0 + 1 + 4 + ... and so on: every order of additions gives the same integer.
  std::vector<f16> w(3 * 100);
  std::vector<f16> x(2 * 100);
  for (std::size_t i = 0; i < w.size(); ++i)
    w[i] = f32_to_f16(static_cast<float>(i % 100) * (i < 200 ? 1.0f : -1.0f));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = f32_to_f16(i < 100 ? 1.0f : static_cast<float>(i - 100));
  float y[6] = {};
  kernels().matmul_f16(w.data(), 100, 0, 3, x.data(), 2, 100, y, 3);
  EXPECT_EQ(std::vector<float>(y, y + 6), (std::vector<float>{4950, 4950, -4950, 328350, 328350, -328350}));
}

std::vector<float> rms_norm(const std::vector<float>& x, float eps) {
  const std::vector<float> ones(x.size(), 1.0f);
  std::vector<float> y(x.size());
  const auto n = static_cast<std::int64_t>(x.size());
  kernels().rms_norm(x.data(), 1, n, ones.data(), n, eps, y.data(), n);
  return y;
}

TEST(RmsNorm, ByHand) {
  EXPECT_EQ(rms_norm({2, -2, 2, 2}, 0.0f), (std::vector<float>{1, -1, 1, 1}));
  EXPECT_EQ(rms_norm({0, 0, 0}, 0.25f), (std::vector<float>{0, 0, 0}));
  EXPECT_EQ(rms_norm({3, 4, 0, 0}, 0.0f), (std::vector<float>{3 * 0.4f, 4 * 0.4f, 0, 0}));
  float x[2] = {1, 1};
  const float weight[2] = {3, -5};
  kernels().rms_norm(x, 1, 2, weight, 2, 0.0f, x, 2);
  EXPECT_EQ(x[0], 3.0f);
  EXPECT_EQ(x[1], -5.0f);
}

/// Squares that a sum in order loses one by one and that together would move the mean by its last bit: every
/// table must lose them. The negative eps takes away all but that bit.
TEST(RmsNorm, AddsInOrder) {
  for (const Kernels* table : compiled_kernels()) {
    if (!supported(*table)) continue;
    std::vector<float> x(1024, 0x1p-27f);
    x[0] = 1.0f;
    x[1] = 0x1p-12f;  // 1 + 2^-24, halfway between two means
    const std::vector<float> ones(x.size(), 1.0f);
    std::vector<float> y(x.size());
    const float eps = -0x1p-10f + 0x1p-33f;
    table->rms_norm(x.data(), 1, 1024, ones.data(), 1024, eps, y.data(), 1024);
    EXPECT_EQ(y[0], 1.0f / std::sqrt(0x1p-33f))
        << table->name;  // not 2^-32, which a mean rounded up would leave
  }
}

TEST(Rope, RotatesPairs) {
  const float cos[2] = {0, 0.5f};
  const float sin[2] = {1, 0.25f};
  float halves[10] = {1, 2, 3, 4, 9, 10, 20, 30, 40, 90};
  kernels().rope(halves, 2, 5, 4, RopePairing::neox, cos, sin);
  EXPECT_EQ(std::vector<float>(halves, halves + 10),
            (std::vector<float>{-3, 1 - 1, 1, 0.5f + 2, 9, -30, 10 - 10, 10, 5 + 20, 90}));
  float adjacent[4] = {1, 2, 3, 4};
  kernels().rope(adjacent, 1, 4, 4, RopePairing::adjacent, cos, sin);
  EXPECT_EQ(std::vector<float>(adjacent, adjacent + 4), (std::vector<float>{-2, 1, 1.5f - 1, 0.75f + 2}));
}

TEST(Rope, FusesTheFirstProduct) {
  Random random(4);
  for (int trial = 0; trial < 1000; ++trial) {
    const float c = random.unit();
    const float s = random.unit();
    const float x0 = random.unit();
    const float x1 = random.unit();
    float pair[2] = {x0, x1};
    kernels().rope(pair, 1, 2, 2, RopePairing::adjacent, &c, &s);
    EXPECT_EQ(pair[0], std::fma(x0, c, -(x1 * s)));
    EXPECT_EQ(pair[1], std::fma(x0, s, x1 * c));
  }
}

TEST(AttnScores, FindsEveryCell) {
  // Key of cell c: one-hot at c mod 64, of height c + 1; the query counts 1, 2, ..., 64.
  constexpr std::int64_t kCells = 150;
  std::vector<std::vector<f16>> pages(3, std::vector<f16>(64 * 70, 0));
  const std::vector<const f16*> pointers = {pages[0].data(), pages[1].data(), pages[2].data()};
  for (std::size_t c = 0; c < kCells; ++c) {
    pages[c / 64][c % 64 * 70 + 3 + c % 64] = f32_to_f16(static_cast<float>(c + 1));
  }
  std::vector<f16> q(64);
  for (std::size_t k = 0; k < 64; ++k) q[k] = f32_to_f16(static_cast<float>(k + 1));
  std::vector<float> scores(kCells);
  kernels().attn_scores({1, 1, kCells}, q.data(), 64, pointers.data(), 70, 3, 64, scores.data(), kCells);
  for (std::size_t c = 0; c < kCells; ++c) EXPECT_EQ(scores[c], static_cast<float>((c + 1) * (c % 64 + 1)));
}

/// The context of one channel whose first value is 1 and all others 2^-24, under probabilities of 1.
float context_of_small_values(std::int64_t cells) {
  std::vector<f16> page(64 * 3, 0x7e00);  // NaN wherever nothing is stored
  for (std::int64_t c = 0; c < cells; ++c) page[static_cast<std::size_t>(128 + c)] = c == 0 ? 0x3c00 : 0x0001;
  const f16* pages[1] = {page.data()};
  std::vector<float> p(static_cast<std::size_t>(cells), 1.0f);
  float out = -1;
  kernels().attn_context({1, 1, cells}, p.data(), cells, pages, 2, 1, &out, 1);
  return out;
}

TEST(AttnContext, GroupsCellsAsTheirNumberRoundedUpTo32) {
  // 32 cells are a tail: 1 + 31 * 2^-24 in double, rounded once (a tie, to even).
  EXPECT_EQ(context_of_small_values(32), 1.0f + 16 * 0x1p-23f);
  EXPECT_EQ(context_of_small_values(31), 1.0f + 15 * 0x1p-23f);
  // 64 cells are one step: 1 + 2^-24 is rounded off in its lane, the others add up.
  EXPECT_EQ(context_of_small_values(64), 1.0f + 31 * 0x1p-23f);
  // So are 33, as if followed by 31 zeros: cells 16 and 32 meet cell 0 in its lane and are rounded off.
  EXPECT_EQ(context_of_small_values(33), 1.0f + 15 * 0x1p-23f);
  EXPECT_EQ(context_of_small_values(1), 1.0f);
}

TEST(AttnContext, RoundsProbabilitiesToF16) {
  std::vector<f16> page(64, 0x3c00);
  const f16* pages[1] = {page.data()};
  float p[1] = {1.0f / 3.0f};
  float out = 0;
  kernels().attn_context({1, 1, 1}, p, 1, pages, 0, 1, &out, 1);
  EXPECT_EQ(out, f16_to_f32(0x3555));
}

TEST(AttnContext, PicksOutACellByOneHotProbabilities) {
  constexpr std::int64_t kCells = 200;
  std::vector<std::vector<f16>> pages(4, std::vector<f16>(64 * 7));
  std::vector<const f16*> pointers;
  for (std::size_t page = 0; page < 4; ++page) {
    for (std::size_t d = 0; d < 7; ++d) {
      for (std::size_t c = 0; c < 64; ++c) {
        pages[page][d * 64 + c] = f32_to_f16(static_cast<float>(d * 200 + page * 64 + c));
      }
    }
    pointers.push_back(pages[page].data());
  }
  for (std::size_t c = 0; c < kCells; ++c) {
    std::vector<float> p(kCells, 0.0f);
    p[c] = 1.0f;
    float out[5] = {};
    kernels().attn_context({1, 1, kCells}, p.data(), kCells, pointers.data(), 2, 5, out, 5);
    for (std::size_t d = 0; d < 5; ++d)
      EXPECT_EQ(out[d], f16_to_f32(f32_to_f16(static_cast<float>((d + 2) * 200 + c))));
  }
}

/// Two tokens of three heads, the keys and values of one head: where each number is read and written.
TEST(Attention, OfAGroupIsTheAttentionOfEachQuery) {
  constexpr std::int64_t kDim = 2;
  constexpr std::int64_t kCells = 65;   // of the second token
  constexpr std::int64_t kQueries = 9;  // a row of q: three heads and three more numbers
  constexpr std::int64_t kRow = 70;     // of scores
  const QueryGroup group = {2, 3, kCells - 1};
  // Cell c has the key and the value (c, 1).
  std::vector<std::vector<f16>> keys(2, std::vector<f16>(64 * kDim));
  std::vector<std::vector<f16>> values = keys;
  std::vector<const f16*> key_pages;
  std::vector<const f16*> value_pages;
  for (std::size_t page = 0; page < 2; ++page) {
    for (std::size_t c = 0; c < 64; ++c) {
      const f16 number = f32_to_f16(static_cast<float>(64 * page + c));
      keys[page][2 * c] = values[page][c] = number;
      keys[page][2 * c + 1] = values[page][64 + c] = 0x3c00;
    }
    key_pages.push_back(keys[page].data());
    value_pages.push_back(values[page].data());
  }
  std::vector<f16> q(2 * kQueries);
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = f32_to_f16(static_cast<float>(i));
  std::vector<float> scores(6 * kRow, -1.0f);
  kernels().attn_scores(group, q.data(), kQueries, key_pages.data(), kDim, 0, kDim, scores.data(), kRow);
  std::vector<float> p(6 * kRow, -1.0f);
  for (std::int64_t row = 0; row < 6; ++row) {
    const std::int64_t token = row / 3;
    const std::int64_t at = token * kQueries + row % 3 * kDim;
    for (std::int64_t c = 0; c < kRow; ++c) {
      const auto expected = static_cast<float>(c < kCells - 1 + token ? at * c + at + 1 : -1);
      EXPECT_EQ(scores[static_cast<std::size_t>(row * kRow + c)], expected) << row << " " << c;
    }
    // All its weight on the last cell but `row`, which only the first token has as its last cell.
    for (std::int64_t c = 0; c < kCells; ++c) p[static_cast<std::size_t>(row * kRow + c)] = 0.0f;
    p[static_cast<std::size_t>(row * kRow + kCells - 2 - row)] = 1.0f;
  }
  std::vector<float> out(2 * 7, -1.0f);
  kernels().attn_context(group, p.data(), kRow, value_pages.data(), 0, kDim, out.data(), 7);
  const std::vector<float> expected = {63, 1, 62, 1, 61, 1, -1, 60, 1, 59, 1, 58, 1, -1};
  EXPECT_EQ(out, expected);
}

/// Section 6.7 as written, with the C library's scaling.
float exponential_as_written(float x) {
  const float z = std::fma(x, 0x1.715476p+0f, 0x1.8p23f);
  const float n = z - 0x1.8p23f;
  const float b = std::fma(-n, 0x1.7f7d1cp-20f, std::fma(-n, 0x1.62e4p-1f, x));
  const float u = b * b;
  const float upper = std::fma(0x1.0e4020p-7f, b, 0x1.573e2ep-5f);
  const float lower = std::fma(0x1.555e66p-3f, b, 0x1.fffdb6p-2f);
  const float t = std::fma(0x1.ffffecp-1f, b, 1.0f);
  const float p = std::fma(std::fma(upper, u, lower), u, t);
  if (std::fabs(n) > 192) return n <= 0 ? 0.0f : kInfinity;
  return std::ldexp(p, static_cast<int>(n));
}

TEST(Exponential, IsTheOneWrittenDown) {
  Random random(5);
  for (int trial = 0; trial < 300000; ++trial) {
    const float x = random.unit() * (trial % 3 == 0 ? 200.0f : 20.0f);
    EXPECT_TRUE(same_bits(scalar::polynomial_exp(x), exponential_as_written(x))) << std::hexfloat << x;
  }
}

/// The polynomial itself is within 1.45 units of the last place (Arm's optimized routines, where it comes
/// from); the sums 1 + c b and P add half a unit each by rounding.
TEST(Exponential, IsWithinTwoAndAHalfUnitsOfTheLastPlace) {
  Random random(6);
  for (int trial = 0; trial < 300000; ++trial) {
    const float x = random.unit() * 87.0f;
    const double exact = std::exp(static_cast<double>(x));
    const double unit = std::ldexp(1.0, std::ilogb(exact) - 23);
    EXPECT_LE(std::abs(static_cast<double>(scalar::polynomial_exp(x)) - exact), 2.45 * unit)
        << std::hexfloat << x;
  }
}

TEST(Exponential, BeyondItsRange) {
  EXPECT_EQ(scalar::polynomial_exp(0.0f), 1.0f);
  EXPECT_EQ(scalar::polynomial_exp(-0.0f), 1.0f);
  EXPECT_EQ(scalar::polynomial_exp(89.0f), kInfinity);
  EXPECT_EQ(scalar::polynomial_exp(1e30f), kInfinity);
  EXPECT_EQ(scalar::polynomial_exp(kInfinity), kInfinity);
  EXPECT_TRUE(same_bits(scalar::polynomial_exp(-200.0f), 0.0f));
  EXPECT_TRUE(same_bits(scalar::polynomial_exp(-kInfinity), 0.0f));
  EXPECT_TRUE(std::isnan(scalar::polynomial_exp(kNaN)));
  // Subnormal results are rounded once.
  EXPECT_EQ(scalar::polynomial_exp(-103.0f), static_cast<float>(std::exp(-103.0)));
  EXPECT_LT(scalar::polynomial_exp(88.5f), kInfinity);
}

TEST(Softmax, ByHand) {
  std::vector<float> equal(4, 3.5f);
  kernels().softmax(equal.data(), 4, 0.125f);
  EXPECT_EQ(equal, std::vector<float>(4, 0.25f));
  std::vector<float> masked = {-kInfinity, 7.0f, -kInfinity};
  kernels().softmax(masked.data(), 3, 1.0f);
  EXPECT_EQ(masked, (std::vector<float>{0, 1, 0}));
  std::vector<float> poisoned = {1.0f, kNaN, 2.0f};
  kernels().softmax(poisoned.data(), 3, 1.0f);
  for (const float p : poisoned) EXPECT_TRUE(std::isnan(p));
}

TEST(Softmax, SumsChunksOfSixteenInDouble) {
  Random random(7);
  for (const std::size_t n : {1, 15, 16, 17, 100, 777}) {
    std::vector<float> x(n);
    for (float& value : x) value = 8 * random.unit();
    std::vector<float> expected = x;
    float greatest = -kInfinity;
    for (float& value : expected) {
      value *= 0.125f;
      greatest = std::max(greatest, value);
    }
    double sum = 0;
    for (std::size_t chunk = 0; chunk < n; chunk += 16) {
      std::vector<float> v(16, 0.0f);
      for (std::size_t l = 0; l < 16 && chunk + l < n; ++l) {
        v[l] = exponential_as_written(expected[chunk + l] - greatest);
        expected[chunk + l] = v[l];
      }
      while (v.size() > 1) {
        std::vector<float> half(v.size() / 2);
        for (std::size_t l = 0; l < half.size(); ++l) half[l] = v[l] + v[l + half.size()];
        v = half;
      }
      sum += static_cast<double>(v[0]);
    }
    for (float& value : expected) value *= static_cast<float>(1.0 / sum);
    kernels().softmax(x.data(), static_cast<std::int64_t>(n), 0.125f);
    for (std::size_t k = 0; k < n; ++k) EXPECT_TRUE(same_bits(x[k], expected[k])) << n << " " << k;
  }
}

TEST(Elementwise, ByHand) {
  const float x[6] = {-2, -0.0f, 0.5f, 3, kNaN, -kInfinity};
  float y[6] = {};
  kernels().relu_squared(x, 6, y);
  EXPECT_EQ(std::vector<float>(y, y + 6), (std::vector<float>{0, 0, 0.25f, 9, 0, 0}));
  const float b[6] = {1, 2, 4, -3, 1, kInfinity};
  kernels().add(x, b, 4, y);
  EXPECT_EQ(std::vector<float>(y, y + 4), (std::vector<float>{-1, 2, 4.5f, 0}));
  kernels().mul(x, b, 4, y);
  EXPECT_EQ(std::vector<float>(y, y + 4), (std::vector<float>{-2, 0, 2, -9}));
  kernels().silu(x, 3, y);
  EXPECT_EQ(y[0], -2.0f / (1.0f + exponential_as_written(2.0f)));
  EXPECT_TRUE(same_bits(y[1], -0.0f));
  EXPECT_EQ(y[2], 0.5f / (1.0f + exponential_as_written(-0.5f)));
  const float far[3] = {-1000.0f, 1000.0f, kNaN};
  kernels().silu(far, 3, y);
  EXPECT_TRUE(same_bits(y[0], -0.0f));
  EXPECT_EQ(y[1], 1000.0f);
  EXPECT_TRUE(std::isnan(y[2]));
}

TEST(Argmax, TakesTheLowestOfEqualsAndNeverNaN) {
  const auto argmax = [](const std::vector<float>& x) {
    return kernels().argmax(x.data(), static_cast<std::int64_t>(x.size()));
  };
  EXPECT_EQ(argmax({1, 3, 2, 3}), 1);
  EXPECT_EQ(argmax({kNaN, -5, kNaN, -4, kNaN}), 3);
  EXPECT_EQ(argmax({kNaN, kNaN}), 0);
  EXPECT_EQ(argmax({kNaN, -kInfinity, -kInfinity}), 1);
  EXPECT_EQ(argmax({-0.0f, 0.0f}), 0);
  EXPECT_EQ(argmax({0.0f, kInfinity, kInfinity}), 1);
}

}  // namespace
}  // namespace bitnet
