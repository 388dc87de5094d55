#include "crossval/compare/bounds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "crossval/compare/gates.h"
#include "engine/formats/f16.h"

namespace crossval {
namespace {

using Values = std::vector<float>;

// The same stream on every system.
Values values(std::size_t n, std::uint64_t seed, double scale = 1) {
  std::mt19937_64 bits(seed);
  Values out(n);
  for (float& v : out) v = static_cast<float>(scale * (static_cast<double>(bits() >> 11) * 0x1p-52 - 1));
  return out;
}

float through_f16(float x) {
  return bitnet::f16_to_f32(bitnet::f32_to_f16(x));
}

// Sums in binary32: one after another, or in lanes.
float sum_of(std::span<const float> terms, std::size_t lanes) {
  std::vector<float> partial(lanes, 0.0f);
  for (std::size_t k = 0; k < terms.size(); ++k) partial[k % lanes] += terms[k];
  float sum = 0;
  for (const float p : partial) sum += p;
  return sum;
}

Values rms_norm(std::span<const float> x, float eps, std::size_t lanes) {
  Values squares, y;
  for (const float v : x) squares.push_back(v * v);
  const float root = std::sqrt(sum_of(squares, lanes) / static_cast<float>(x.size()) + eps);
  for (const float v : x) y.push_back(v / root);
  return y;
}

TEST(Bounds, NormsInAnyOrderAreWithinAndAnotherEpsilonIsNot) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    const Values x = values(2560, seed, 0.05);
    const Values y = rms_norm(x, 1e-5f, 16);
    const auto bounds = bounds_of_rms_norm(y);
    for (const std::size_t lanes : {1, 4, 8}) {
      const BoundFigures f = held_to(bounds, rms_norm(x, 1e-5f, lanes), y);
      EXPECT_LE(f.share, 1) << lanes;
      if (lanes == 1) {
        EXPECT_GT(f.share, 0);
      }
    }
    // Half a per cent of the mean square: the norm ratio moves by 0.5e-2, a tenth of it would pass 1e-3.
    EXPECT_GT(held_to(bounds, rms_norm(x, 1.1e-5f, 16), y).share, 1);
  }
}

TEST(Bounds, ScoresWithoutRoundingToHalfAreWithinAndOneLostTermIsNot) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Values q = values(128, seed), k = values(128, seed + 1000);
    Values ours, theirs;
    for (std::size_t d = 0; d < q.size(); ++d) {
      ours.push_back(through_f16(q[d]) * through_f16(k[d]));
      theirs.push_back(q[d] * k[d]);
    }
    const double bound = bound_of_score(q, k), score = sum_of(ours, 16);
    EXPECT_LE(std::abs(sum_of(theirs, 1) - score), bound);
    theirs[seed % 128] = 0;
    if (std::abs(ours[seed % 128]) > 0.05f) {
      EXPECT_GT(std::abs(sum_of(theirs, 1) - score), bound) << seed;
    }
  }
}

TEST(Bounds, RopeByAnotherPowerIsWithinAndTheNextPositionIsNot) {
  const std::int64_t half = 64;
  for (const double position : {1.0, 17.0, 4095.0})
    for (std::int64_t pair = 0; pair < half; ++pair) {
      const float frequency = std::pow(10000.0f, -2.0f * static_cast<float>(pair) / 128.0f);
      float by_recurrence = static_cast<float>(position);
      for (std::int64_t i = 0; i < pair; ++i) by_recurrence *= std::pow(10000.0f, -2.0f / 128.0f);
      const float x0 = 0.75f, x1 = -0.5f, angle = static_cast<float>(position) * frequency;
      const auto turned = [&](float t) { return x0 * std::cos(t) - x1 * std::sin(t); };
      const double bound = bound_of_rope(x0, x1, angle, pair);
      EXPECT_LE(std::abs(turned(angle) - turned(by_recurrence)), bound) << position << " " << pair;
      if (position < 100) {
        EXPECT_GT(std::abs(turned(angle) - turned(angle + frequency)), bound) << pair;
      }
    }
}

TEST(Bounds, SoftmaxInBinary32IsWithinAndAForgottenCellIsNot) {
  const Values scores = values(300, 7, 20);
  const double scale = 1 / std::sqrt(128.0);
  const float greatest = *std::ranges::max_element(scores);
  const auto probabilities = [&](std::size_t from, std::size_t lanes) {
    Values y(scores.size(), 0.0f);
    for (std::size_t c = from; c < y.size(); ++c)
      y[c] = std::exp(static_cast<float>(scale) * scores[c] - static_cast<float>(scale) * greatest);
    const float sum = sum_of(y, lanes);
    for (float& p : y) p /= sum;
    return y;
  };
  const Values y = probabilities(0, 16);
  const auto bounds = bounds_of_soft_max(y, scores, scale);
  EXPECT_LE(held_to(bounds, probabilities(0, 1), y).share, 1);
  EXPECT_GT(held_to(bounds, probabilities(1, 16), y).share, 1);
}

TEST(Bounds, ContextWithoutRoundingToHalfIsWithinAndOneCellMoreIsNot) {
  constexpr std::int64_t kWidth = 16, kStride = 48;
  const std::size_t cells = 200;
  Values p = values(cells, 3);
  double sum = 0;
  for (float& x : p) sum += x = x * x;
  for (float& x : p) x = static_cast<float>(x / sum);
  const Values v = values(cells * kStride, 4);
  const auto context = [&](bool half, std::size_t n) {
    Values y(kWidth, 0.0f);
    for (std::size_t c = 0; c < n; ++c)
      for (std::size_t d = 0; d < kWidth; ++d) {
        const float value = v[c * kStride + d];
        y[d] += half ? through_f16(p[c]) * through_f16(value) : p[c] * value;
      }
    return y;
  };
  const Values y = context(true, cells);
  const auto bounds = bounds_of_context(p, v.data(), kStride, kWidth);
  const double share = held_to(bounds, context(false, cells), y).share;
  EXPECT_LE(share, 1);
  EXPECT_GT(share, 0.05);
  EXPECT_GT(held_to(bounds, context(false, cells - 1), y).share, 1);
}

TEST(Bounds, WhatIsNoNumberIsOutside) {
  const Values y = {1, 2, 3};
  const auto bounds = bounds_of_roundings(y, 4);
  for (const float wrong :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const BoundFigures f = held_to(bounds, Values{1, wrong, 3}, y);
    EXPECT_FALSE(f.share <= 1);
    EXPECT_EQ(f.at, 1);
  }
  EXPECT_LE(held_to(bounds, Values{1, 2, 3.0000002f}, y).share, 1);
  EXPECT_GT(held_to(bounds, Values{1, 2, 3.000002f}, y).share, 1);
}

TEST(Bounds, TheGateSaysWhereAndHowMuch) {
  Measured m;
  m.bound = BoundFigures{.share = 50, .difference = 0.5, .bound = 0.01, .at = 7};
  const GateSet gates = default_gates(0.999);
  const Judgement j = judge(gates, Mode::local, {bitnet::Tap::attn_norm, 0}, 0, m);
  EXPECT_FALSE(j.pass);
  EXPECT_EQ(j.gate->name, "local.bound");
  EXPECT_EQ(j.why, "0.5 at 7 where rounding allows 0.01");
  EXPECT_EQ(j.gate->source, source_of_bounds());
  m.bound->share = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(judge(gates, Mode::local, {bitnet::Tap::attn_norm, 0}, 0, m).pass);
}

}  // namespace
}  // namespace crossval
