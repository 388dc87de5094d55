#include "engine/formats/ternary_format.h"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

#include "engine/formats/f16.h"
#include "engine/formats/test_ternary.h"

namespace bitnet {
namespace {

using testing_support::all_formats;
using testing_support::error_of;
using testing_support::ternary;

TEST(TernaryFormat, AllHoldTheSameMatrix) {
  const TernaryShape shape = {768, 96};
  const auto w = ternary(shape.elements(), 1);
  for (const TernaryFormat& format : all_formats(shape)) {
    ASSERT_EQ(misfit(format, shape), "") << type_name(format.type);
    EXPECT_TRUE(is_ternary(format.type));
    std::vector<std::byte> tensor(tensor_bytes(format.type, shape.cols, shape.rows).value());
    std::vector<std::int8_t> back(w.size());
    for (const float scale : {1.75f, 0.1f}) {
      encode_ternary(format, w, shape, scale, tensor);
      const float stored = rounds_scale(format.type) ? f16_to_f32(f32_to_f16(scale)) : scale;
      EXPECT_EQ(decode_ternary(format, tensor, shape, back), stored) << type_name(format.type);
      EXPECT_EQ(back, w) << type_name(format.type);
    }
  }
}

TEST(TernaryFormat, OthersAreRefused) {
  std::vector<std::int8_t> w(256);
  std::vector<std::byte> tensor(512);
  EXPECT_THROW(encode_ternary({TensorType::f16, {}, {}}, w, {256, 1}, 1, tensor), std::invalid_argument);
  EXPECT_THROW(decode_ternary({TensorType::q8_0, {}, {}}, tensor, {256, 1}, w), std::invalid_argument);
  EXPECT_FALSE(is_ternary(TensorType::q8_0));
  EXPECT_NE(misfit({TensorType::tq2_0, {}, {}}, {384, 4}).find("384 is no multiple of 256"),
            std::string::npos);
  EXPECT_NE(misfit({TensorType::i2_s, I2sLayout::four_row, {}}, {128, 6}).find("rows 6"), std::string::npos);
  EXPECT_NE(misfit({TensorType::i2_s, I2sLayout::x86, {}}, {64, 1}).find("64 is no multiple of 128"),
            std::string::npos);
}

TEST(CommonScale, NothingNeverDiffers) {
  ternary::CommonScale scale({64, 2});
  EXPECT_EQ(scale.value(), 0.0f);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  scale.add(nan, 0);
  EXPECT_EQ(error_of([&] { scale.add(nan, 64); }), "");
  EXPECT_NE(
      error_of([&] { scale.add(1.0f, 64); }).find("nan from row 0, column 0 and 1 from row 1, column 0"),
      std::string::npos);
}

}  // namespace
}  // namespace bitnet
