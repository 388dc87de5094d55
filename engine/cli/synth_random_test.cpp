#include "engine/cli/synth_random.h"

#include <gtest/gtest.h>

#include <cmath>

namespace bitnet {
namespace {

TEST(SynthRandom, NamesHaveStreamsOfTheirOwn) {
  EXPECT_NE(SynthRandom(1, "a").next(), SynthRandom(1, "b").next());
  EXPECT_NE(SynthRandom(1, "a").next(), SynthRandom(2, "a").next());
  EXPECT_EQ(SynthRandom(1, "a").next(), SynthRandom(1, "a").next());
}

TEST(SynthRandom, UniformStaysInItsRange) {
  SynthRandom r(3, "u");
  double sum = 0;
  float low = 1e9f;
  float high = -1e9f;
  for (int i = 0; i < 100000; ++i) {
    const float x = r.uniform(-2.0f, 6.0f);
    low = std::fmin(low, x);
    high = std::fmax(high, x);
    sum += x;
  }
  EXPECT_GE(low, -2.0f);
  EXPECT_LE(high, 6.0f);
  EXPECT_NEAR(sum / 100000, 2.0, 0.03);  // 4 standard errors
  EXPECT_LT(low, -1.99f);
  EXPECT_GT(high, 5.99f);
}

TEST(SynthRandom, BellHasUnitVariance) {
  SynthRandom r(4, "b");
  double sum = 0;
  double squares = 0;
  constexpr int kDraws = 200000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = r.bell();
    ASSERT_LE(std::fabs(x), 3.4642);
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0.0, 0.009);      // 4 standard errors
  EXPECT_NEAR(squares / kDraws, 1.0, 0.012);  // the fourth moment is 2.7
}

}  // namespace
}  // namespace bitnet
