#include "engine/formats/iq_bn.h"

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>

#include "engine/formats/f16.h"
#include "engine/formats/test_ternary.h"

namespace bitnet {
namespace {

using testing_support::error_of;
using testing_support::ternary;
using testing_support::value;

std::vector<std::byte> iq2(const std::vector<std::int8_t>& w, TernaryShape shape, float scale) {
  std::vector<std::byte> tensor(shape.rows * iq2_bn::row_bytes(shape.cols), std::byte{0xee});
  iq2_bn::encode(w, shape, scale, tensor);
  return tensor;
}

std::vector<std::byte> iq1(const std::vector<std::int8_t>& w, TernaryShape shape, float scale) {
  std::vector<std::byte> tensor(shape.rows * iq1_bn::row_bytes(shape.cols), std::byte{0xee});
  iq1_bn::encode(w, shape, scale, tensor);
  return tensor;
}

TEST(Iq2Bn, BytesAsSpecified) {
  std::vector<std::int8_t> w(128, 0);
  w[17] = 1;    // byte 1 of block 0, bits 3:2
  w[64] = -1;   // byte 0 of block 1, bits 1:0
  w[127] = -1;  // byte 15 of block 1, bits 7:6
  const auto tensor = iq2(w, {128, 1}, 0.3f);
  ASSERT_EQ(tensor.size(), 36u);
  float scale = 0;
  std::memcpy(&scale, tensor.data(), 4);
  EXPECT_EQ(scale, 0.3f);
  for (std::size_t i = 0; i < 32; ++i)
    EXPECT_EQ(value(tensor[4 + i]), i == 1 ? 0x59 : i == 16 ? 0x54 : i == 31 ? 0x15 : 0x55) << i;
}

TEST(Iq2BnR4, EveryElementHasItsPlace) {
  for (std::size_t row = 0; row < 8; ++row)
    for (std::size_t k = 0; k < 128; ++k) {
      std::vector<std::int8_t> w(8 * 128, -1);
      w[row * 128 + k] = 1;
      std::vector<std::byte> tensor(8 * iq2_bn::row_bytes(128), std::byte{0xee});
      iq2_bn_r4::encode(w, {128, 8}, 0.75f, tensor);
      const std::size_t e = k % 64;
      const std::size_t at = row / 4 * 144 + 16 + k / 64 * 64 + e / 16 * 16 + row % 4 * 4 + e % 4;
      for (std::size_t i = 0; i < tensor.size(); ++i) {
        if (i % 144 < 16) continue;  // scales
        ASSERT_EQ(value(tensor[i]), i == at ? 2 << e / 4 % 4 * 2 : 0) << row << " " << k;
      }
      float scale = 0;
      std::memcpy(&scale, tensor.data() + row / 4 * 144 + row % 4 * 4, 4);
      EXPECT_EQ(scale, 0.75f);
    }
}

TEST(Iq2BnR4, RowsComeFourByFour) {
  std::vector<std::byte> tensor(3 * iq2_bn::row_bytes(64));
  std::vector<std::int8_t> w(3 * 64);
  EXPECT_THROW(iq2_bn_r4::encode(w, {64, 3}, 1, tensor), std::invalid_argument);
  EXPECT_THROW(iq2_bn_r4::decode(tensor, {64, 3}, w), std::invalid_argument);
}

TEST(Iq1Bn, BytesAsSpecified) {
  std::vector<std::int8_t> w(64, 0);
  w[0] = 1;    // lowest place of byte 0
  w[9] = 1;    // highest place of byte 1
  w[63] = -1;  // fourth place of the last byte
  const auto tensor = iq1(w, {64, 1}, 0.5f);
  ASSERT_EQ(tensor.size(), 15u);
  EXPECT_EQ(value(tensor[0]), 0x00);
  EXPECT_EQ(value(tensor[1]), 0x38);
  // 121 + 1, 121 + 81, 121 for the others; the last byte 1 + 3 + 9.
  for (std::size_t i = 0; i < 13; ++i) {
    const int number = i == 0 ? 122 : i == 1 ? 202 : i == 12 ? 13 : 121;
    EXPECT_EQ(value(tensor[2 + i]), (number * 256 + 242) / 243) << i;
  }
}

TEST(Iq1Bn, EveryElementHasItsPlace) {
  const int powers[] = {1, 3, 9, 27, 81};
  for (std::size_t e = 0; e < 64; ++e) {
    std::vector<std::int8_t> w(64, -1);
    w[e] = 1;
    const auto tensor = iq1(w, {64, 1}, 1.0f);
    const bool last = e % 16 == 15;
    const std::size_t byte = last ? 12 : e / 16 * 3 + e % 16 / 5;
    const int number = 2 * powers[last ? e / 16 : e % 16 % 5];
    for (std::size_t i = 0; i < 13; ++i)
      ASSERT_EQ(value(tensor[2 + i]), i == byte ? (number * 256 + 242) / 243 : 0) << e;
    std::vector<std::int8_t> back(64);
    iq1_bn::decode(tensor, {64, 1}, back);
    ASSERT_EQ(back, w);
  }
}

TEST(IqBn, DecodeIsTheInverseOfEncode) {
  const TernaryShape shape = {192, 7};
  const auto w = ternary(shape.elements(), 9);
  std::vector<std::int8_t> back(w.size());
  EXPECT_EQ(iq2_bn::decode(iq2(w, shape, 0.1f), shape, back), 0.1f);
  EXPECT_EQ(back, w);
  back.assign(w.size(), 0);
  EXPECT_EQ(iq1_bn::decode(iq1(w, shape, 0.1f), shape, back), f16_to_f32(f32_to_f16(0.1f)));
  EXPECT_EQ(back, w);
}

TEST(IqBn, RowsOfZerosAreWrittenAsIkLlamaDoesAndReadBack) {
  const TernaryShape shape = {64, 3};
  auto w = ternary(shape.elements(), 9);
  for (std::size_t k = 64; k < 128; ++k) w[k] = 0;
  std::vector<std::int8_t> back(w.size());
  const auto two = iq2(w, shape, 3.0f);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(value(two[20 + i]), i < 4 ? 0 : 0xaa) << i;
  EXPECT_EQ(iq2_bn::decode(two, shape, back), 3.0f);
  EXPECT_EQ(back, w);
  const auto one = iq1(w, shape, 3.0f);
  for (std::size_t i = 0; i < 15; ++i) EXPECT_EQ(value(one[15 + i]), i < 2 ? 0 : i < 14 ? 255 : 85) << i;
  EXPECT_EQ(iq1_bn::decode(one, shape, back), 3.0f);
  EXPECT_EQ(back, w);
}

TEST(IqBn, DifferentScalesAndInvalidCodesAreNamed) {
  const TernaryShape shape = {64, 3};
  const auto w = ternary(shape.elements(), 9);
  std::vector<std::int8_t> back(w.size());
  auto two = iq2(w, shape, 3.0f);
  const float other = 3.5f;
  std::memcpy(two.data() + 40, &other, 4);
  EXPECT_NE(error_of([&] {
              iq2_bn::decode(two, shape, back);
            }).find("its scales differ: 3 from row 0, column 0 and 3.5 from row 2, column 0"),
            std::string::npos);
  two = iq2(w, shape, 3.0f);
  two[20 + 4 + 2] |= std::byte{0x30};
  EXPECT_NE(error_of([&] { iq2_bn::decode(two, shape, back); }).find("the weight in row 1, column 34 has"),
            std::string::npos);
}

TEST(IqBn, RefusesWhatDoesNotFit) {
  std::vector<std::byte> tensor(iq2_bn::row_bytes(64));
  EXPECT_THROW(iq2_bn::encode(std::vector<std::int8_t>(32), {32, 1}, 1, tensor), std::invalid_argument);
  EXPECT_THROW(iq2_bn::encode(std::vector<std::int8_t>(128), {64, 2}, 1, tensor), std::invalid_argument);
  EXPECT_THROW(iq2_bn::encode(std::vector<std::int8_t>(64, -2), {64, 1}, 1, tensor), std::invalid_argument);
}

}  // namespace
}  // namespace bitnet
