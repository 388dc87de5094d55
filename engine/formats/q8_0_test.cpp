#include "engine/formats/q8_0.h"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>
#include <vector>

namespace bitnet::q8_0 {
namespace {

Block quantized(const std::vector<float>& weights) {
  Block block;
  quantize(weights, {&block, 1});
  return block;
}

TEST(Q8_0, OneBlockByHand) {
  // The greatest magnitude is 63.5, so d is a half.
  std::vector<float> w(32);
  w[0] = -63.5f;
  w[1] = 0.25f;  // a tie: 0.5 d
  w[2] = 0.75f;  // a tie: 1.5 d
  w[3] = -0.75f;
  w[30] = 0.7499999f;
  w[31] = 63.5f;
  const Block block = quantized(w);
  EXPECT_EQ(block.d, 0x3800);
  std::vector<int> expected(32);
  expected[0] = -127;
  expected[1] = 0;
  expected[2] = 2;
  expected[3] = -2;
  expected[30] = 1;
  expected[31] = 127;
  EXPECT_EQ(std::vector<int>(block.codes, block.codes + 32), expected);
}

TEST(Q8_0, CodesFollowTheRoundedScale) {
  // 1 / 127 is rounded to binary16 before the codes are taken.
  std::vector<float> w(32, 0.5f);
  w[7] = 1.0f;
  const Block block = quantized(w);
  EXPECT_EQ(block.d, f32_to_f16(1.0f / 127.0f));
  const float d = f16_to_f32(block.d);
  for (int k = 0; k < 32; ++k)
    EXPECT_NEAR(static_cast<double>(d) * block.codes[k], k == 7 ? 1.0 : 0.5, static_cast<double>(d) / 2);
}

TEST(Q8_0, ScalesThatVanishOrCannotBe) {
  for (const float tiny : {0.0f, 1e-38f, 1e-7f}) {
    const Block block = quantized(std::vector<float>(32, tiny));
    EXPECT_EQ(block.d, 0) << tiny;
    for (const auto code : block.codes) EXPECT_EQ(code, 0) << tiny;
  }
  // d is the least subnormal although the greatest weight is 1.4 times its 127-fold: codes end at 127.
  const Block cut = quantized(std::vector<float>(32, 1.4f * 127 * 0x1p-24f));
  EXPECT_EQ(cut.d, 1);
  EXPECT_EQ(cut.codes[5], 127);
  EXPECT_THROW(quantized(std::vector<float>(32, 1e7f)), std::invalid_argument);
  EXPECT_THROW(quantized(std::vector<float>(31)), std::invalid_argument);
}

}  // namespace
}  // namespace bitnet::q8_0
