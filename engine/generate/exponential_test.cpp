#include "engine/generate/exponential.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace bitnet {
namespace {

TEST(Exponential, ExactWhereItMustBe) {
  EXPECT_EQ(exp_of_negative(0.0), 1.0);
  EXPECT_EQ(exp_of_negative(-0.0), 1.0);
  EXPECT_EQ(exp_of_negative(-709.0), 0.0);
  EXPECT_EQ(exp_of_negative(-std::numeric_limits<double>::infinity()), 0.0);
  EXPECT_EQ(exp_of_negative(std::numeric_limits<double>::quiet_NaN()), 0.0);
  EXPECT_GT(exp_of_negative(-708.0), 0.0);
}

TEST(Exponential, WithinTwoUlp) {
  double worst = 0;
  for (int i = 0; i <= 708000; ++i) {
    const double x = -i * 1.0000037e-3;
    if (x < -708) break;
    const double got = exp_of_negative(x);
    // The extended format of x87 where there is one; elsewhere long double may be double, still right to 1
    // ulp.
    const auto expected = static_cast<double>(std::exp(static_cast<long double>(x)));
    const double ulp = std::nextafter(expected, 2.0) - expected;
    const double error = std::fabs(got - expected) / ulp;
    worst = error > worst ? error : worst;
  }
  EXPECT_LE(worst, 2.0);
}

}  // namespace
}  // namespace bitnet
