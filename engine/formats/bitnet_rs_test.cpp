#include "engine/formats/bitnet_rs.h"

#include <gtest/gtest.h>

#include <cstring>

#include "engine/formats/f16.h"
#include "engine/formats/test_ternary.h"

namespace bitnet {
namespace {

using testing_support::error_of;
using testing_support::ternary;
using testing_support::value;

std::vector<std::byte> blocks32(const std::vector<std::int8_t>& w, TernaryShape shape) {
  std::vector<std::byte> tensor(w.size() / 32 * 10, std::byte{0xee});
  bitnet32_f16::encode(w, shape, 0.5f, tensor);
  return tensor;
}

TEST(BitNet32, BytesAsSpecified) {
  std::vector<std::int8_t> w(64, 0);  // code 2
  w[1] = -1;                          // byte 0, bits 3:2
  w[63] = 1;                          // byte 7 of block 1, bits 7:6
  const auto tensor = blocks32(w, {64, 1});
  ASSERT_EQ(tensor.size(), 20u);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(value(tensor[i]), i == 0 ? 0xa6 : 0xaa) << i;
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(value(tensor[10 + i]), i == 7 ? 0xea : 0xaa) << i;
  for (const std::size_t scale : {8, 18}) {
    EXPECT_EQ(value(tensor[scale]), 0x00);
    EXPECT_EQ(value(tensor[scale + 1]), 0x38);
  }
  std::vector<std::int8_t> back(64);
  EXPECT_EQ(bitnet32_f16::decode(tensor, {64, 1}, back), 0.5f);
  EXPECT_EQ(back, w);
}

TEST(BitNet32, TheTwoMapsAreToldApartOrRefused) {
  const TernaryShape shape = {64, 2};
  std::vector<std::int8_t> back(128);
  const auto message_of = [&](std::vector<std::byte> tensor) {
    return error_of([&] { bitnet32_f16::decode(tensor, shape, back); });
  };
  auto w = ternary(128, 4);
  EXPECT_EQ(message_of(blocks32(w, shape)), "");
  // Without a +1 its codes are those of -1 and +1 by the loader's map.
  for (auto& x : w) x = std::min<std::int8_t>(x, 0);
  EXPECT_NE(message_of(blocks32(w, shape)).find("not all of the codes 1, 2 and 3 occur"), std::string::npos);
  // Code 0 is -2 by both.
  auto tensor = blocks32(ternary(128, 4), shape);
  tensor[20] &= std::byte{0xfc};
  EXPECT_NE(message_of(tensor).find("row 1, column 0"), std::string::npos);
  tensor = blocks32(ternary(128, 4), shape);
  const f16 other = f32_to_f16(0.25f);
  std::memcpy(tensor.data() + 38, &other, 2);
  EXPECT_NE(
      message_of(tensor).find("its scales differ: 0.5 from row 0, column 0 and 0.25 from row 1, column 32"),
      std::string::npos);
}

TEST(Qk256, BytesAsSpecified) {
  // Rows of 300 are filled up to two blocks.
  const TernaryShape shape = {300, 2};
  std::vector<std::int8_t> w(600, 1);  // code 2
  w[5] = -1;                           // byte 1, bits 3:2
  w[300 + 299] = -1;                   // byte 74 of row 1, bits 7:6
  std::vector<std::byte> tensor(256, std::byte{0xee});
  qk256::encode(w, shape, 1.0f, tensor);
  for (std::size_t i = 0; i < 128; ++i) {
    EXPECT_EQ(value(tensor[i]), i == 1 ? 0xa6 : i < 75 ? 0xaa : 0) << i;
    EXPECT_EQ(value(tensor[128 + i]), i == 74 ? 0x6a : i < 75 ? 0xaa : 0) << i;
  }
  std::vector<std::int8_t> back(600);
  EXPECT_EQ(qk256::decode(tensor, shape, back), 1.0f);
  EXPECT_EQ(back, w);
  tensor[128 + 3] |= std::byte{0xc0};  // column 15: code 3 is +2
  const std::string message = error_of([&] { qk256::decode(tensor, shape, back); });
  EXPECT_NE(message.find("the weight in row 1, column 15 is +2"), std::string::npos) << message;
  EXPECT_NE(message.find("Split32"), std::string::npos) << message;
  tensor[128 + 3] &= std::byte{0x3f};  // code 0 is -2
  EXPECT_NE(error_of([&] { qk256::decode(tensor, shape, back); }).find("row 1, column 15"),
            std::string::npos);
}

TEST(Qk256, HasNoZeroAndNoScale) {
  std::vector<std::int8_t> w(256, 1);
  std::vector<std::byte> tensor(64);
  EXPECT_NE(error_of([&] { qk256::encode(w, {256, 1}, 0.5f, tensor); }).find("no scale"), std::string::npos);
  w[77] = 0;
  EXPECT_NE(error_of([&] {
              qk256::encode(w, {256, 1}, 1.0f, tensor);
            }).find("row 0, column 77"),
            std::string::npos);
}

}  // namespace
}  // namespace bitnet
