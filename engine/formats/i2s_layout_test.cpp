#include "engine/formats/i2s_layout.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "engine/formats/i2s.h"
#include "engine/formats/test_ternary.h"

namespace bitnet {
namespace {

using testing_support::error_of;
using testing_support::ternary;
using testing_support::value;

std::vector<std::byte> packed(I2sLayout layout, const std::vector<std::int8_t>& w, TernaryShape shape) {
  std::vector<std::byte> tensor(i2s::tensor_bytes(w.size()), std::byte{0xee});
  i2s::encode(layout, w, shape, 1.5f, tensor);
  return tensor;
}

TEST(I2sLayout, TheProbeTellsThemApart) {
  // reference-semantics 9.4, probe 2: a single +1 at (row 0, column 33) of 4 x 128; all other codes are 1.
  std::vector<std::int8_t> w(512, 0);
  w[33] = 1;
  const struct {
    I2sLayout layout;
    std::size_t byte;
    int expected;
  } cases[] = {{I2sLayout::x86, 1, 0x65}, {I2sLayout::arm, 1, 0x59}, {I2sLayout::four_row, 33, 0x95}};
  for (const auto& c : cases) {
    const auto tensor = packed(c.layout, w, {128, 4});
    for (std::size_t i = 0; i < 128; ++i)
      EXPECT_EQ(value(tensor[i]), i == c.byte ? c.expected : 0x55) << to_string(c.layout) << i;
  }
}

TEST(I2sLayout, EveryElementHasItsPlace) {
  const TernaryShape shape = {128, 8};
  for (std::size_t e = 0; e < shape.elements(); ++e) {
    std::vector<std::int8_t> w(shape.elements(), -1);
    w[e] = 0;
    const std::size_t row = e / 128, k = e % 128;
    const auto only = [&](I2sLayout layout, std::size_t byte, std::size_t shift) {
      const auto tensor = packed(layout, w, shape);
      for (std::size_t i = 0; i < shape.elements() / 4; ++i)
        ASSERT_EQ(value(tensor[i]), i == byte ? 1 << shift : 0) << to_string(layout) << " " << e;
    };
    only(I2sLayout::arm, e / 64 * 16 + e % 16, 6 - 2 * (e % 64 / 16));
    only(I2sLayout::four_row, row / 4 * 128 + k, 6 - 2 * (row % 4));
    only(I2sLayout::x86, e / 128 * 32 + e % 32, 6 - 2 * (e % 128 / 32));
  }
}

TEST(I2sLayout, DecodeIsTheInverseOfEncode) {
  const TernaryShape shape = {384, 12};
  const auto w = ternary(shape.elements(), 2);
  for (const I2sLayout layout : kI2sLayouts) {
    std::vector<std::int8_t> back(w.size());
    EXPECT_EQ(i2s::decode(layout, packed(layout, w, shape), shape, back), 1.5f);
    EXPECT_EQ(back, w) << to_string(layout);
  }
  std::vector<std::byte> plain(i2s::tensor_bytes(w.size()));
  i2s::pack(w, 1.5f, plain);
  EXPECT_EQ(packed(I2sLayout::x86, w, shape), plain);
  EXPECT_NE(packed(I2sLayout::arm, w, shape), plain);
  EXPECT_NE(packed(I2sLayout::four_row, w, shape), plain);
}

TEST(I2sLayout, CodeThreeIsRefusedByItsPlace) {
  const TernaryShape shape = {128, 4};
  const auto w = ternary(shape.elements(), 2);
  for (const I2sLayout layout : kI2sLayouts) {
    auto tensor = packed(layout, w, shape);
    tensor[40] |= std::byte{0x0c};  // bits 3:2
    const std::size_t e = layout == I2sLayout::x86   ? 128 + 8 + 64
                          : layout == I2sLayout::arm ? 128 + 8 + 32
                                                     : 2 * 128 + 40;
    std::vector<std::int8_t> back(w.size());
    EXPECT_NE(error_of([&] {
                i2s::decode(layout, tensor, shape, back);
              }).find("the weight in " + ternary::place_text(shape, e) + " has a code"),
              std::string::npos)
        << to_string(layout);
  }
}

TEST(I2sLayout, Names) {
  for (const I2sLayout layout : kI2sLayouts) EXPECT_EQ(parse_i2s_layout(to_string(layout)), layout);
  EXPECT_EQ(to_string(I2sLayout::four_row), "4-row");
  EXPECT_EQ(parse_i2s_layout("ARM"), std::nullopt);
}

TEST(I2sLayout, RefusesWhatDoesNotFit) {
  std::vector<std::byte> tensor(i2s::tensor_bytes(128));
  std::vector<std::int8_t> w(128);
  EXPECT_THROW(i2s::encode(I2sLayout::four_row, w, {64, 2}, 1, tensor), std::invalid_argument);
  EXPECT_THROW(i2s::encode(I2sLayout::x86, std::span(w).first(64), {64, 1}, 1, tensor),
               std::invalid_argument);
  w[7] = 2;
  EXPECT_THROW(i2s::encode(I2sLayout::arm, w, {128, 1}, 1, tensor), std::invalid_argument);
}

}  // namespace
}  // namespace bitnet
