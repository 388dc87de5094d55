#include "engine/formats/i2s.h"

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>
#include <vector>

#include "engine/formats/test_ternary.h"

namespace bitnet::i2s {
namespace {

using testing_support::ternary;

std::vector<std::byte> packed(const std::vector<std::int8_t>& w, float scale) {
  std::vector<std::byte> tensor(tensor_bytes(w.size()), std::byte{0xee});
  pack(w, scale, tensor);
  return tensor;
}

TEST(I2s, BytesOfOneBlockAsSpecified) {
  // reference-semantics 9.4, probe 2: a single +1 at (row 0, column 33) of 4 x 128 sets byte 1, bits 5:4.
  std::vector<std::int8_t> w(512, 0);
  w[33] = 1;
  const auto tensor = packed(w, 1.0f);
  ASSERT_EQ(tensor.size(), 160u);
  EXPECT_EQ(std::to_integer<int>(tensor[0]), 0x55);
  EXPECT_EQ(std::to_integer<int>(tensor[1]), 0x65);
  for (std::size_t i = 2; i < 128; ++i) EXPECT_EQ(std::to_integer<int>(tensor[i]), 0x55) << i;
}

TEST(I2s, EveryPlaceOfABlockIsItsOwn) {
  for (std::size_t e = 0; e < 256; ++e) {
    std::vector<std::int8_t> w(256, -1);  // code 0: all other bits are zero
    w[e] = 1;
    const auto tensor = packed(w, 0.0f);
    // Byte p of a block holds p, p + 32, p + 64, p + 96 in bits 7:6, 5:4, 3:2, 1:0.
    const std::size_t byte = e / 128 * 32 + e % 32;
    const int expected[4] = {0x80, 0x20, 0x08, 0x02};
    for (std::size_t i = 0; i < 64; ++i)
      ASSERT_EQ(std::to_integer<int>(tensor[i]), i == byte ? expected[e % 128 / 32] : 0) << e;
  }
}

TEST(I2s, PackAndUnpackAreInverse) {
  const auto w = ternary(128 * 40, 7);
  const auto tensor = packed(w, 1.25f);
  std::vector<std::int8_t> back(w.size());
  unpack(tensor, back);
  EXPECT_EQ(back, w);
  EXPECT_EQ(scale(tensor, w.size()), 1.25f);
  for (std::size_t i = w.size() / 4 + 4; i < tensor.size(); ++i) EXPECT_EQ(tensor[i], std::byte{0});
  for (std::uint64_t row = 0; row < 20; ++row)
    for (std::uint64_t k = 0; k < 256; ++k) ASSERT_EQ(code_at(tensor, 256, row, k), w[row * 256 + k] + 1);
}

TEST(I2s, SetCodeChangesOneElement) {
  const auto w = ternary(512, 3);
  auto tensor = packed(w, 1.0f);
  for (const int code : {0, 1, 2, 3}) {
    set_code(tensor, 128, 2, 77, code);
    std::vector<std::int8_t> back(512);
    unpack(tensor, back);
    for (std::size_t e = 0; e < 512; ++e) ASSERT_EQ(back[e], e == 2 * 128 + 77 ? code - 1 : w[e]);
  }
}

TEST(I2s, CensusCountsCodes) {
  auto w = ternary(128 * 33, 11);
  auto tensor = packed(w, 1.0f);
  set_code(tensor, w.size(), 0, 5, 3);
  Census expected;
  for (const std::int8_t x : w) ++expected.count[x + 1];
  --expected.count[w[5] + 1];
  ++expected.count[3];
  const Census got = census(tensor, w.size());
  for (int c = 0; c < 4; ++c) EXPECT_EQ(got.count[c], expected.count[c]) << c;
}

TEST(I2s, FindsTheFirstInvalidCode) {
  const auto w = ternary(128 * 8, 5);
  const auto clean = packed(w, 1.0f);
  EXPECT_EQ(find_invalid(clean, w.size()), std::nullopt);
  for (std::uint64_t e = 0; e < w.size(); ++e) {
    auto tensor = clean;
    set_code(tensor, w.size(), 0, e, 3);
    ASSERT_EQ(find_invalid(tensor, w.size()), e);
    set_code(tensor, w.size(), 0, w.size() - 1, 3);
    ASSERT_EQ(find_invalid(tensor, w.size()), e);
  }
  // Element 32 stands in byte 0, element 1 in byte 1: element order decides, not byte order.
  auto tensor = clean;
  set_code(tensor, w.size(), 0, 32, 3);
  set_code(tensor, w.size(), 0, 1, 3);
  EXPECT_EQ(find_invalid(tensor, w.size()), 1u);
  // What stands in the scale slot is no code.
  tensor = clean;
  std::memset(tensor.data() + w.size() / 4, 0xff, 32);
  EXPECT_EQ(find_invalid(tensor, w.size()), std::nullopt);
}

TEST(I2s, RefusesWhatDoesNotFit) {
  std::vector<std::byte> tensor(tensor_bytes(128));
  EXPECT_THROW(pack(std::vector<std::int8_t>(100), 1.0f, tensor), std::invalid_argument);
  EXPECT_THROW(pack(std::vector<std::int8_t>(256), 1.0f, tensor), std::invalid_argument);
  EXPECT_THROW(pack(std::vector<std::int8_t>(128, 2), 1.0f, tensor), std::invalid_argument);
  EXPECT_THROW(pack(std::vector<std::int8_t>(128, -2), 1.0f, tensor), std::invalid_argument);
}

}  // namespace
}  // namespace bitnet::i2s
