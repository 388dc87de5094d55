#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>

#include "engine/formats/f16.h"
#include "engine/formats/test_ternary.h"
#include "engine/formats/tq1_0.h"
#include "engine/formats/tq2_0.h"
#include "engine/formats/trits.h"

namespace bitnet {
namespace {

using testing_support::error_of;
using testing_support::ternary;
using testing_support::value;

std::vector<std::byte> tq1(const std::vector<std::int8_t>& w, TernaryShape shape, float scale) {
  std::vector<std::byte> tensor(w.size() / 256 * 54, std::byte{0xee});
  tq1_0::encode(w, shape, scale, tensor);
  return tensor;
}

std::vector<std::byte> tq2(const std::vector<std::int8_t>& w, TernaryShape shape, float scale) {
  std::vector<std::byte> tensor(w.size() / 256 * 66, std::byte{0xee});
  tq2_0::encode(w, shape, scale, tensor);
  return tensor;
}

void put(std::vector<std::byte>& tensor, std::size_t at, f16 scale) {
  std::memcpy(tensor.data() + at, &scale, sizeof scale);
}

TEST(Trits, EveryNumberHasAByte) {
  for (int number = 0; number < 243; ++number) {
    const auto& digits = trits::kDigits[trits::byte_of(number)];
    int back = 0;
    for (const auto digit : digits) back = 3 * back + digit;
    EXPECT_EQ(back, number);
  }
  EXPECT_EQ(trits::byte_of(242), 255);
}

TEST(Tq1, BytesAsSpecified) {
  std::vector<std::int8_t> w(256, 0);
  w[0] = 1;     // first of byte 0
  w[33] = -1;   // second of byte 1
  w[239] = 1;   // last of byte 47
  w[255] = -1;  // fourth of byte 51
  const auto tensor = tq1(w, {256, 1}, 0.5f);
  ASSERT_EQ(tensor.size(), 54u);
  // Trits 2 1 1 1 1 are 202, ceil(202 * 256 / 243) = 213; 1 0 1 1 1 are 94, so 100; 1 1 1 1 2 are 122, so
  // 129; 1 1 1 1 1 are 121, so 128; in the last four bytes 1 1 1 1 0 are 120, so 127, and 1 1 1 0 0 117, so
  // 124.
  for (std::size_t i = 0; i < 52; ++i) {
    const int expected = i == 0 ? 213 : i == 1 ? 100 : i == 47 ? 129 : i == 51 ? 124 : i < 48 ? 128 : 127;
    EXPECT_EQ(value(tensor[i]), expected) << i;
  }
  EXPECT_EQ(value(tensor[52]), 0x00);  // binary16 0.5 is 0x3800
  EXPECT_EQ(value(tensor[53]), 0x38);
}

TEST(Tq1, EveryElementHasItsPlace) {
  // By the formula of the format: elements 0 to 159 in bytes e % 32, then 16, then 4 bytes.
  for (std::size_t e = 0; e < 256; ++e) {
    std::vector<std::int8_t> w(256, -1);  // trit 0
    w[e] = 1;
    const auto tensor = tq1(w, {256, 1}, 1.0f);
    const std::size_t byte = e < 160 ? e % 32 : e < 240 ? 32 + e % 16 : 48 + e % 4;
    const std::size_t place = e < 160 ? e / 32 : e < 240 ? (e - 160) / 16 : (e - 240) / 4;
    const int powers[] = {81, 27, 9, 3, 1};
    for (std::size_t i = 0; i < 52; ++i)
      ASSERT_EQ(value(tensor[i]), i == byte ? (2 * powers[place] * 256 + 242) / 243 : 0) << e << " " << i;
    std::vector<std::int8_t> back(256);
    EXPECT_EQ(tq1_0::decode(tensor, {256, 1}, back), 1.0f);
    ASSERT_EQ(back, w) << e;
  }
}

TEST(Tq2, BytesAsSpecified) {
  std::vector<std::int8_t> w(256, 0);
  w[33] = 1;    // byte 1, bits 3:2
  w[128] = -1;  // byte 32, bits 1:0
  w[255] = 1;   // byte 63, bits 7:6
  const auto tensor = tq2(w, {256, 1}, 0.75f);
  ASSERT_EQ(tensor.size(), 66u);
  for (std::size_t i = 0; i < 64; ++i)
    EXPECT_EQ(value(tensor[i]), i == 1 ? 0x59 : i == 32 ? 0x54 : i == 63 ? 0x95 : 0x55) << i;
  EXPECT_EQ(value(tensor[64]), 0x00);  // 0x3a00
  EXPECT_EQ(value(tensor[65]), 0x3a);
}

TEST(Tq, DecodeIsTheInverseOfEncode) {
  const TernaryShape shape = {512, 5};
  const auto w = ternary(shape.elements(), 3);
  std::vector<std::int8_t> back(w.size());
  EXPECT_EQ(tq1_0::decode(tq1(w, shape, 1.25f), shape, back), 1.25f);
  EXPECT_EQ(back, w);
  back.assign(w.size(), 0);
  EXPECT_EQ(tq2_0::decode(tq2(w, shape, 1.25f), shape, back), 1.25f);
  EXPECT_EQ(back, w);
}

TEST(Tq, ScaleIsRoundedToBinary16) {
  const auto w = ternary(256, 3);
  std::vector<std::int8_t> back(256);
  EXPECT_EQ(tq1_0::decode(tq1(w, {256, 1}, 0.1f), {256, 1}, back), f16_to_f32(f32_to_f16(0.1f)));
  EXPECT_EQ(tq2_0::decode(tq2(w, {256, 1}, 0.1f), {256, 1}, back), f16_to_f32(f32_to_f16(0.1f)));
}

TEST(Tq, BlocksOfZerosSayNothingOfTheScale) {
  auto w = ternary(1024, 3);
  for (std::size_t i = 256; i < 512; ++i) w[i] = 0;
  const TernaryShape shape = {512, 2};
  std::vector<std::int8_t> back(w.size());
  auto one = tq1(w, shape, 2.0f);
  EXPECT_EQ(value(one[54 + 53]), 0);  // as llama.cpp writes it
  EXPECT_EQ(tq1_0::decode(one, shape, back), 2.0f);
  put(one, 54 + 52, f32_to_f16(7.0f));
  EXPECT_EQ(tq1_0::decode(one, shape, back), 2.0f);
  auto two = tq2(w, shape, 2.0f);
  EXPECT_EQ(value(two[66 + 65]), 0);
  put(two, 66 + 64, f32_to_f16(7.0f));
  EXPECT_EQ(tq2_0::decode(two, shape, back), 2.0f);
  const std::vector<std::int8_t> zeros(512, 0);
  EXPECT_EQ(tq2_0::decode(tq2(zeros, {512, 1}, 2.0f), {512, 1}, std::span(back).first(512)), 0.0f);
}

TEST(Tq, DifferentScalesAreNamed) {
  const auto w = ternary(1024, 3);
  const TernaryShape shape = {512, 2};
  std::vector<std::int8_t> back(w.size());
  auto one = tq1(w, shape, 2.0f);
  put(one, 3 * 54 + 52, f32_to_f16(0.5f));
  const std::string message = error_of([&] { tq1_0::decode(one, shape, back); });
  EXPECT_NE(message.find("its scales differ: 2 from row 0, column 0 and 0.5 from row 1, column 256"),
            std::string::npos)
      << message;
  auto two = tq2(w, shape, 2.0f);
  put(two, 66 + 64, f32_to_f16(0.0f));  // zero times weights that are not
  EXPECT_NE(error_of([&] { tq2_0::decode(two, shape, back); }).find("0 from row 0, column 256"),
            std::string::npos);
}

TEST(Tq2, CodeThreeIsRefused) {
  const auto w = ternary(1024, 3);
  const TernaryShape shape = {512, 2};
  std::vector<std::int8_t> back(w.size());
  auto tensor = tq2(w, shape, 2.0f);
  tensor[2 * 66 + 5] |= std::byte{0x0c};  // element 5 + 32 of row 1
  EXPECT_NE(error_of([&] { tq2_0::decode(tensor, shape, back); }).find("the weight in row 1, column 37 has"),
            std::string::npos);
}

TEST(Tq, RefusesWhatDoesNotFit) {
  std::vector<std::byte> tensor(54);
  EXPECT_THROW(tq1_0::encode(std::vector<std::int8_t>(128), {128, 1}, 1, tensor), std::invalid_argument);
  EXPECT_THROW(tq1_0::encode(std::vector<std::int8_t>(512), {512, 1}, 1, tensor), std::invalid_argument);
  EXPECT_THROW(tq1_0::encode(std::vector<std::int8_t>(256, 2), {256, 1}, 1, tensor), std::invalid_argument);
  EXPECT_THROW(tq2_0::encode(std::vector<std::int8_t>(256), {256, 1}, 1, tensor), std::invalid_argument);
}

}  // namespace
}  // namespace bitnet
