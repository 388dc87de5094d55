#include "engine/formats/float_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "engine/formats/q4_0.h"
#include "engine/formats/q4_k.h"
#include "engine/formats/q5_0.h"

namespace bitnet {
namespace {

std::vector<float> decoded(TensorType type, const std::vector<float>& values) {
  std::vector<std::byte> bytes(tensor_bytes(type, values.size(), 1).value());
  encode_floats(type, values, bytes);
  std::vector<float> back(values.size());
  decode_floats(type, bytes, back);
  return back;
}

TEST(Q4_0, OneBlockByHand) {
  // The greatest in magnitude is 4 and becomes -8: d is -0.5.
  std::vector<float> w(32);
  w[0] = 4.0f;
  w[1] = -3.5f;
  w[15] = 0.25f;  // a tie: -0.5 d
  w[16] = -4.0f;  // 8 d; 7 is the greatest
  w[31] = 1.0f;
  q4_0::Block block;
  q4_0::quantize(w, {&block, 1});
  EXPECT_EQ(block.d, 0xb800);
  // Codes 8 + (-8, 7, 0, 7, -2), the second sixteen in the upper nibbles.
  EXPECT_EQ(block.codes[0], 0xf0);
  EXPECT_EQ(block.codes[1], 0x8f);
  EXPECT_EQ(block.codes[15], 0x68);
  EXPECT_EQ(block.codes[2], 0x88);
  EXPECT_EQ(q4_0::value_at(block, 0), -8);
  EXPECT_EQ(q4_0::value_at(block, 16), 7);
  EXPECT_EQ(q4_0::value_at(block, 31), -2);
}

TEST(Q5_0, OneBlockByHand) {
  // The greatest in magnitude is -8 and becomes -16: d is 0.5.
  std::vector<float> w(32);
  w[0] = -8.0f;
  w[1] = 7.5f;
  w[17] = -0.5f;
  w[31] = 8.0f;  // 16 d; 15 is the greatest
  q5_0::Block block;
  q5_0::quantize(w, {&block, 1});
  EXPECT_EQ(block.d, 0x3800);
  // Codes 0, 31, 15 and 31; 16 for all others. The upper bits: all but those of 0 and 17.
  EXPECT_EQ(block.low[0], 0x00);
  EXPECT_EQ(block.low[1], 0xff);
  EXPECT_EQ(block.low[15], 0xf0);
  EXPECT_EQ(block.low[2], 0x00);
  EXPECT_EQ(block.high[0], 0xfe);
  EXPECT_EQ(block.high[1], 0xff);
  EXPECT_EQ(block.high[2], 0xfd);
  EXPECT_EQ(block.high[3], 0xff);
  EXPECT_EQ(q5_0::value_at(block, 17), -1);
}

TEST(Q4_K, PartsStandWhereTheFormatSays) {
  q4_k::Block block{};
  q4_k::set_part(block, 1, {63, 1});
  EXPECT_EQ(block.parts[1], 63);
  EXPECT_EQ(block.parts[5], 1);
  q4_k::set_part(block, 5, {0x2b, 0x16});  // lower halves b and 6, upper 2 and 1
  EXPECT_EQ(block.parts[9], 0x6b);
  EXPECT_EQ(block.parts[1], 63 | 0x80);
  EXPECT_EQ(block.parts[5], 1 | 0x40);
  for (int j = 0; j < 8; ++j) q4_k::set_part(block, j, {8 * j + 1, 62 - 7 * j});
  for (int j = 0; j < 8; ++j) {
    EXPECT_EQ(q4_k::part_at(block, j).scale, 8 * j + 1);
    EXPECT_EQ(q4_k::part_at(block, j).offset, 62 - 7 * j);
  }
}

TEST(Q4_K, OneBlockByHand) {
  // Part 0 runs from -63 to 882: scale 63, offset 63, of d and m 1. Part 1 from 0 to 15: scale 1.
  std::vector<float> w(256);
  w[0] = -63.0f;
  w[1] = 882.0f;
  w[2] = 63.0f;
  w[33] = 15.0f;
  q4_k::Block block;
  q4_k::quantize(w, {&block, 1});
  EXPECT_EQ(block.d, 0x3c00);
  EXPECT_EQ(block.m, 0x3c00);
  EXPECT_EQ(q4_k::part_at(block, 0).scale, 63);
  EXPECT_EQ(q4_k::part_at(block, 0).offset, 63);
  EXPECT_EQ(q4_k::part_at(block, 1).scale, 1);
  EXPECT_EQ(q4_k::part_at(block, 1).offset, 0);
  EXPECT_EQ(q4_k::part_at(block, 7).scale, 0);
  EXPECT_EQ(block.codes[0], 0x00);
  EXPECT_EQ(block.codes[1], 0xff);  // both 15
  EXPECT_EQ(block.codes[2], 0x02);
  EXPECT_EQ(block.codes[3], 0x01);  // zero is 63 above the lowest
  EXPECT_EQ(decoded(TensorType::q4_k, w), w);
}

TEST(FloatFormat, DecodesWithinHalfAStep) {
  std::vector<float> w(512);
  for (std::size_t i = 0; i < w.size(); ++i)
    w[i] = static_cast<float>(static_cast<int>(i * 7919 % 1001) - 500) / 500.0f;
  for (const FloatType& t : float_types()) {
    const auto back = decoded(t.type, w);
    const double step = t.name == "f32"    ? 0
                        : t.name == "f16"  ? 0x1p-10
                        : t.name == "bf16" ? 0x1p-7
                        : t.name == "q8_0" ? 1 / 127.0
                        : t.name == "q6_k" ? 1 / 31.0
                        : t.name == "q5_0" ? 1 / 16.0
                        : t.name == "q4_0" ? 1 / 8.0
                                           : 2 / 15.0;
    // One step where the greatest of the other sign is cut off.
    for (std::size_t i = 0; i < w.size(); ++i) ASSERT_NEAR(back[i], w[i], step * 1.05) << t.name << " " << i;
    EXPECT_EQ(parse_float_type(t.name), t.type);
    EXPECT_TRUE(is_float(t.type));
  }
  EXPECT_EQ(parse_float_type("q4_1"), std::nullopt);
  EXPECT_FALSE(is_float(TensorType::i2_s));
}

TEST(FloatFormat, RefusesWhatDoesNotFit) {
  std::vector<std::byte> bytes(200);
  for (const auto type : {TensorType::q4_0, TensorType::q5_0, TensorType::q4_k}) {
    const std::vector<float> great(256, 1e9f);
    std::vector<std::byte> room(tensor_bytes(type, 256, 1).value());
    EXPECT_THROW(encode_floats(type, great, room), std::invalid_argument);
    EXPECT_THROW(encode_floats(type, std::vector<float>(256), bytes), std::invalid_argument);
  }
  EXPECT_THROW(encode_floats(TensorType::i2_s, std::vector<float>(128), std::span(bytes).first(64)),
               std::invalid_argument);
}

TEST(FloatFormat, ZerosStayZero) {
  for (const FloatType& t : float_types())
    EXPECT_EQ(decoded(t.type, std::vector<float>(256)), std::vector<float>(256)) << t.name;
}

}  // namespace
}  // namespace bitnet
