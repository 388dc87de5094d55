#include "engine/formats/ternary_rows.h"

#include <gtest/gtest.h>

#include "engine/formats/test_ternary.h"

namespace bitnet {
namespace {

constexpr TernaryShape kShape = {768, 384};
constexpr float kScale = 0.75f;

std::vector<std::byte> encoded(const TernaryFormat& format, std::span<const std::int8_t> w,
                               TernaryShape shape) {
  std::vector<std::byte> tensor(tensor_bytes(format.type, shape.cols, shape.rows).value());
  encode_ternary(format, w, shape, kScale, tensor);
  return tensor;
}

TEST(TernaryRows, AreTheTensorOfTheseRowsAlone) {
  const auto w = testing_support::ternary(kShape.elements(), 1);
  for (const TernaryFormat& format : testing_support::all_formats(kShape)) {
    SCOPED_TRACE(type_name(format.type));
    const auto tensor = encoded(format, w, kShape);
    const std::uint64_t n = rows_together(format, kShape);
    ASSERT_EQ(kShape.rows % n, 0u);
    std::vector<std::byte> part;
    for (std::uint64_t first = 0; first < kShape.rows; first += n) {
      cut_rows(format, tensor, kShape, {first, n}, part);
      EXPECT_EQ(part,
                encoded(format, std::span(w).subspan(first * kShape.cols, n * kShape.cols), {kShape.cols, n}))
          << first;
    }
  }
}

TEST(TernaryRows, PutBackMakeTheTensor) {
  const auto w = testing_support::ternary(kShape.elements(), 2);
  for (const TernaryFormat& format : testing_support::all_formats(kShape)) {
    SCOPED_TRACE(type_name(format.type));
    const auto tensor = encoded(format, w, kShape);
    const std::uint64_t n = rows_together(format, kShape);
    std::vector<std::byte> part, back(tensor.size());
    for (std::uint64_t first = 0; first < kShape.rows; first += n) {
      cut_rows(format, tensor, kShape, {first, n}, part);
      put_rows(format, part, kShape, {first, n}, back);
    }
    EXPECT_EQ(back, tensor);
  }
}

TEST(TernaryRows, AsManyAsTheBlocksOfI2sNeed) {
  const auto rows = [](I2sLayout layout, std::uint64_t cols) {
    return rows_together({TensorType::i2_s, layout, {}}, {cols, 64});
  };
  EXPECT_EQ(rows(I2sLayout::x86, 256), 1u);
  EXPECT_EQ(rows(I2sLayout::x86, 96), 4u);
  EXPECT_EQ(rows(I2sLayout::arm, 96), 2u);
  EXPECT_EQ(rows(I2sLayout::four_row, 256), 4u);
  EXPECT_EQ(rows_together({TensorType::tl1, {}, {48, 128, 16}}, {128, 96}), 48u);
  EXPECT_EQ(rows_together({TensorType::qk256, {}, {}}, {100, 7}), 1u);
}

}  // namespace
}  // namespace bitnet
