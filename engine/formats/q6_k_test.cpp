#include "engine/formats/q6_k.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace bitnet::q6_k {
namespace {

Block zeroed() {
  Block block;
  std::memset(&block, 0, sizeof block);
  return block;
}

TEST(Q6K, BitsOfOneElementAsSpecified) {
  // Element 200 = 128 + 2 * 32 + 8: half 1, quarter 2, place 8. Upper nibble of low[64 + 8], bits 5:4 of
  // high[32 + 8].
  Block block = zeroed();
  EXPECT_EQ(value_at(block, 200), -32);
  block.low[72] = 0xb0;
  EXPECT_EQ(value_at(block, 200), 11 - 32);
  block.high[40] = 0x20;
  EXPECT_EQ(value_at(block, 200), 11 + 32 - 32);
  // Its neighbours in those bytes: 136 and 136 + 32 * {0, 1, 3} of the high bits.
  EXPECT_EQ(value_at(block, 136), -32);
  block.low[72] |= 0x05;
  EXPECT_EQ(value_at(block, 136), 5 - 32);
  EXPECT_EQ(value_at(block, 200), 11);
  // Element 33: half 0, quarter 1, place 1.
  block.low[33] = 0x0f;
  block.high[1] = 0x0c;
  EXPECT_EQ(value_at(block, 33), 31);
  EXPECT_EQ(value_at(block, 97), -32);  // quarter 3 shares both bytes
}

TEST(Q6K, EveryPlaceOfABlockIsItsOwn) {
  for (int e = 0; e < Block::kElements; ++e) {
    Block block;
    std::memset(&block, 0xff, sizeof block);
    for (const int value : {-32, -1, 0, 21}) {
      set_value(block, e, value);
      for (int other = 0; other < Block::kElements; ++other)
        ASSERT_EQ(value_at(block, other), other == e ? value : 31) << e << " " << other;
    }
  }
}

TEST(Q6K, OneBlockByHand) {
  // Scales: weights of piece i reach -32 * 0.5 * s_i with s_i = 127, -127, 1, ..., so d is a half.
  std::vector<float> w(256);
  const int scales[4] = {127, -127, 1, 4};
  for (int i = 0; i < 4; ++i) {
    const float scale = 0.5f * static_cast<float>(scales[i]);
    w[static_cast<std::size_t>(16 * i)] = -32 * scale;
    w[static_cast<std::size_t>(16 * i + 1)] = 31 * scale;
    w[static_cast<std::size_t>(16 * i + 2)] = 31.75f * scale;  // 32 does not exist
    w[static_cast<std::size_t>(16 * i + 3)] = 2.5f * scale;    // ties
    w[static_cast<std::size_t>(16 * i + 4)] = -3.5f * scale;
  }
  Block block;
  quantize(w, {&block, 1});
  EXPECT_EQ(block.d, 0x3800);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(block.scales[i], i < 4 ? scales[i] : 0) << i;
    const int expected[16] = {-32, 31, 31, 2, -4};
    for (int k = 0; k < 16; ++k)
      EXPECT_EQ(value_at(block, 16 * i + k), i < 4 ? expected[k] : 0) << i << " " << k;
  }
}

TEST(Q6K, WeightsComeBackWithinHalfAStep) {
  std::vector<float> w(2 * 256);
  std::uint64_t state = 1;
  for (float& weight : w) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    weight = (static_cast<float>(state >> 40) * 0x1p-24f - 0.5f) * 0.2f;
  }
  Block blocks[2];
  quantize(w, blocks);
  for (int k = 0; k < 512; ++k) {
    const Block& block = blocks[k / 256];
    const float step = f16_to_f32(block.d) * static_cast<float>(block.scales[k % 256 / 16]);
    const float back = step * static_cast<float>(value_at(block, k % 256));
    // A whole step at the end of the range that has 31 and not 32, and what rounding the scale to 8 bits
    // cuts.
    EXPECT_LE(std::abs(back - w[static_cast<std::size_t>(k)]), 1.3f * std::abs(step)) << k;
    if (std::abs(value_at(block, k % 256)) < 31) {
      EXPECT_LE(std::abs(back - w[static_cast<std::size_t>(k)]), 0.5001f * std::abs(step)) << k;
    }
  }
}

TEST(Q6K, ScalesThatVanishOrCannotBe) {
  for (const float tiny : {0.0f, 1e-38f, 1e-5f}) {
    Block block;
    quantize(std::vector<float>(256, tiny), {&block, 1});
    EXPECT_EQ(block.d, 0) << tiny;
    for (int e = 0; e < 256; ++e) EXPECT_EQ(value_at(block, e), 0) << tiny;
  }
  Block block;
  EXPECT_THROW(quantize(std::vector<float>(256, 1e9f), {&block, 1}), std::invalid_argument);
  EXPECT_THROW(quantize(std::vector<float>(128), {&block, 1}), std::invalid_argument);
}

}  // namespace
}  // namespace bitnet::q6_k
