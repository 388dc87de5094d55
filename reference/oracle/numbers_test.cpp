#include "reference/oracle/numbers.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "engine/formats/f16.h"

namespace crossval {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The engine's conversion works on bits, the oracle's on values: two ways to the same table.
double engine_value(std::uint32_t bits) {
  return static_cast<double>(bitnet::f16_to_f32(static_cast<bitnet::f16>(bits)));
}
double engine_rounded(float x) {
  return engine_value(bitnet::f32_to_f16(x));
}

TEST(OracleF16, EveryNumberHasTheValueOfTheEnginesConversion) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const double ours = numbers::f16_value(static_cast<std::uint16_t>(bits));
    const double theirs = engine_value(bits);
    if (std::isnan(theirs))
      ASSERT_TRUE(std::isnan(ours)) << bits;
    else
      ASSERT_EQ(std::bit_cast<std::uint64_t>(ours), std::bit_cast<std::uint64_t>(theirs)) << bits;
  }
}

// Rounding is monotone, so it is known when every number and every place where it steps to the next one is
// known.
TEST(OracleF16, RoundsToNearestEvenAtEveryStep) {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const double low = engine_value(bits);
    const double high = bits == 0x7bff ? 65536 : engine_value(bits + 1);  // 65536 stands for infinity
    const double above = bits == 0x7bff ? kInfinity : high;
    const double middle = (low + high) / 2;
    for (double sign : {1.0, -1.0}) {
      ASSERT_EQ(numbers::to_f16(sign * low), sign * low);
      ASSERT_EQ(numbers::to_f16(sign * middle), sign * (bits % 2 == 0 ? low : above)) << middle;
      ASSERT_EQ(numbers::to_f16(sign * std::nextafter(middle, 0.0)), sign * low) << middle;
      ASSERT_EQ(numbers::to_f16(sign * std::nextafter(middle, kInfinity)), sign * above) << middle;

      const auto step = static_cast<float>(sign * middle);  // exact
      for (float x :
           {step, std::nextafterf(step, 0.0f), std::nextafterf(step, 1e9f), std::nextafterf(step, -1e9f)})
        ASSERT_EQ(numbers::to_f16(static_cast<double>(x)), engine_rounded(x)) << x;
    }
  }
}

TEST(OracleF16, AgreesWithTheEngineAcrossAllFloats) {
  for (std::uint64_t bits = 0; bits < (1ull << 32); bits += 4099) {
    const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    const double ours = numbers::to_f16(static_cast<double>(x));
    if (std::isnan(x))
      ASSERT_TRUE(std::isnan(ours)) << bits;
    else
      ASSERT_EQ(std::bit_cast<std::uint64_t>(ours), std::bit_cast<std::uint64_t>(engine_rounded(x))) << x;
  }
}

TEST(OracleF16, RoundsOnceAndNotByWayOfBinary32) {
  const double x =
      1 + 0x1p-11 + 0x1p-40;  // just above a tie; binary32 would make it the tie, which goes down
  EXPECT_EQ(numbers::to_f16(x), 1 + 0x1p-10);
  EXPECT_EQ(numbers::to_f16(numbers::to_f32(x)), 1);
}

// One rounding error of the argument's reduction and one or two of the series' last steps: 2 ulp = 2^-51
// relative.
constexpr long double kTwoUlp = 0x1p-51L;

TEST(OracleExp, IsWithinTwoUlp) {
  for (int i = -7080; i <= 7090; ++i) {
    const double x = i * 0.09997;
    const long double exact = std::exp(static_cast<long double>(x));
    ASSERT_LE(std::fabs((static_cast<long double>(numbers::exp(x)) - exact) / exact), kTwoUlp) << x;
  }
  EXPECT_EQ(numbers::exp(0), 1);
  EXPECT_EQ(numbers::exp(-kInfinity), 0);
  EXPECT_EQ(numbers::exp(kInfinity), kInfinity);
  EXPECT_EQ(numbers::exp(709.9), kInfinity);
  EXPECT_TRUE(std::isnan(numbers::exp(std::numeric_limits<double>::quiet_NaN())));
}

TEST(OracleLog, IsWithinTwoUlp) {
  for (int i = -1000; i < 2400; ++i) {
    const double x = std::exp2(i * 0.01003);
    const long double exact = std::log(static_cast<long double>(x));
    ASSERT_LE(std::fabs(static_cast<long double>(numbers::log(x)) - exact), kTwoUlp * std::fabs(exact)) << x;
  }
  EXPECT_EQ(numbers::log(1), 0);
}

// Each of `log` and the product is off by at most two ulp of an exponent of at most 20.
TEST(OraclePow, IsWithinTheErrorOfItsExponent) {
  for (double base : {10000.0, 500000.0, 1000000.0, 7.5})
    for (int i = 0; i < 128; ++i) {
      const double exponent = -2.0 * i / 256;
      const long double exact = std::pow(static_cast<long double>(base), static_cast<long double>(exponent));
      ASSERT_LE(std::fabs((static_cast<long double>(numbers::pow(base, exponent)) - exact) / exact),
                20 * kTwoUlp)
          << base << " " << exponent;
    }
  EXPECT_EQ(numbers::pow(500000, 0), 1);
}

TEST(OracleSineCosine, IsWithinTwoUlpOfOne) {
  const auto check = [](double x) {
    const auto [sine, cosine] = numbers::sine_cosine(x);
    ASSERT_LE(std::fabs(static_cast<long double>(sine) - std::sin(static_cast<long double>(x))), kTwoUlp / 2)
        << x;
    ASSERT_LE(std::fabs(static_cast<long double>(cosine) - std::cos(static_cast<long double>(x))),
              kTwoUlp / 2)
        << x;
  };
  for (int i = 0; i < 12000; ++i) check(i * 0.00171);
  for (int i = 0; i < 2390; ++i) check(std::exp2(i * 0.01003));
  for (int i = 0; i < 131072; i += 7) check(i);
  for (int k = 1; k < 10000; ++k) check(k * 1.5707963267948966);  // next to the zeros
  EXPECT_EQ(numbers::sine_cosine(0).sine, 0);
  EXPECT_EQ(numbers::sine_cosine(0).cosine, 1);
}

}  // namespace
}  // namespace crossval
