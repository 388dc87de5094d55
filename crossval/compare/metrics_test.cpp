#include "crossval/compare/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace crossval {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(CompareRows, EqualRowsAreOneAndZero) {
  const std::vector<float> x = {1, -2, 3e-30f, 0};
  const RowMetrics m = compare_rows(x, x);
  EXPECT_EQ(m.cosine, 1);
  EXPECT_EQ(m.nmse, 0);
  EXPECT_EQ(m.norm_ratio, 1);
  EXPECT_EQ(m.max_abs, 0);
  EXPECT_EQ(m.bits, 0);
}

TEST(CompareRows, KnownFigures) {
  // got = (3, 4), expected = (4, 3): dot 24, norms 5 and 5, difference (-1, 1).
  const std::vector<float> got = {3, 4}, expected = {4, 3};
  const RowMetrics m = compare_rows(got, expected);
  EXPECT_DOUBLE_EQ(m.cosine, 24.0 / 25);
  EXPECT_DOUBLE_EQ(m.nmse, 2.0 / 25);
  EXPECT_DOUBLE_EQ(m.norm_ratio, 1);
  EXPECT_EQ(m.max_abs, 1);
  EXPECT_EQ(m.at, 0);
  EXPECT_EQ(m.got, 3);
  EXPECT_EQ(m.expected, 4);
  EXPECT_EQ(m.bits, 2);
}

TEST(CompareRows, CosineIsBlindToScaleAndTheNormRatioIsNot) {
  std::vector<float> expected(100), got(100);
  for (std::size_t i = 0; i < 100; ++i) {
    expected[i] = static_cast<float>(i) - 50;
    got[i] = 1.5f * expected[i];
  }
  const RowMetrics m = compare_rows(got, expected);
  EXPECT_NEAR(m.cosine, 1, 1e-15);
  EXPECT_DOUBLE_EQ(m.norm_ratio, 1.5);
  EXPECT_DOUBLE_EQ(m.nmse, 0.25);
}

TEST(CompareRows, OneSharedOutlierHidesTheRestFromTheCosineOnly) {
  // 2,559 values that have nothing to do with each other beside one outlier of 3,000 that both share.
  std::vector<float> got(2560), expected(2560);
  std::uint32_t state = 1;
  const auto next = [&state] {
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(state >> 8) / 8388608.0f - 1;
  };
  for (std::size_t i = 0; i < got.size(); ++i) {
    got[i] = next();
    expected[i] = next();
  }
  got[7] = expected[7] = 3000;
  const RowMetrics m = compare_rows(got, expected);
  EXPECT_GT(m.cosine, 0.9997);
  EXPECT_LT(std::abs(m.cosine_trimmed), 0.1);
}

TEST(CompareRows, ZeroOnOneSideOnly) {
  const std::vector<float> zero(4, 0), x = {1, 2, 3, 4};
  EXPECT_EQ(compare_rows(zero, x).cosine, 0);
  EXPECT_EQ(compare_rows(zero, x).norm_ratio, 0);
  EXPECT_EQ(compare_rows(x, zero).cosine, 0);
  EXPECT_EQ(compare_rows(x, zero).norm_ratio, kInf);
  EXPECT_EQ(compare_rows(x, zero).nmse, kInf);
}

TEST(CompareRows, SignsOfZeroDifferInBitsAlone) {
  const std::vector<float> a = {0.0f}, b = {-0.0f};
  const RowMetrics m = compare_rows(a, b);
  EXPECT_EQ(m.bits, 1);
  EXPECT_EQ(m.cosine, 1);
  EXPECT_EQ(m.norm_ratio, 1);
}

TEST(CompareRows, AnythingNotFiniteIsNanAndNamesItsPlace) {
  for (const float bad : {kNan, kInf, -kInf}) {
    std::vector<float> got = {1, 2, 3, 4}, expected = {1, 2, 3, 4};
    got[2] = bad;
    const RowMetrics m = compare_rows(got, expected);
    EXPECT_TRUE(std::isnan(m.cosine));
    EXPECT_TRUE(std::isnan(m.nmse));
    EXPECT_TRUE(std::isnan(m.norm_ratio));
    EXPECT_EQ(m.at, 2);
    EXPECT_EQ(m.expected, 3);
    EXPECT_TRUE(std::isnan(compare_rows(expected, got).cosine));
    // Equal NaNs on both sides are no agreement.
    EXPECT_TRUE(std::isnan(compare_rows(got, got).cosine));
  }
}

TEST(CompareLogits, MarginTopOneAndOverlap) {
  std::vector<float> expected(20, 0.0f), got(20, 0.0f);
  expected[3] = 5;
  expected[4] = 4.5f;
  got[3] = 4.4f;
  got[4] = 4.5f;
  const LogitMetrics m = compare_logits(got, expected);
  EXPECT_EQ(m.top1_expected, 3);
  EXPECT_EQ(m.top1_got, 4);
  EXPECT_DOUBLE_EQ(m.margin, 0.5);
  EXPECT_EQ(m.topk_overlap, 1);
  EXPECT_GT(m.kl, 0);
}

TEST(CompareLogits, KlOfTwoKnownDistributions) {
  // Logits ln(p) of (3/4, 1/4) against (1/2, 1/2): KL = 3/4 ln(3/2) + 1/4 ln(1/2).
  const std::vector<float> expected = {std::log(3.0f), 0}, got = {0, 0};
  EXPECT_NEAR(compare_logits(got, expected).kl, 0.75 * std::log(1.5) + 0.25 * std::log(0.5), 1e-7);
  EXPECT_NEAR(compare_logits(expected, expected).kl, 0, 1e-12);
}

TEST(CompareLogits, TiesGoToTheLowestIndexAndNanIsNeverChosen) {
  const std::vector<float> x = {kNan, 2, 2, 1};
  EXPECT_EQ(compare_logits(x, x).top1_got, 1);
  EXPECT_EQ(compare_logits(x, x).margin, 0);
}

}  // namespace
}  // namespace crossval
