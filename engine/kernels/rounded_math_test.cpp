// Sine, cosine and power against MPFR, whose results are correctly rounded by construction.

#include "engine/kernels/rounded_math.h"

#include <gtest/gtest.h>
#include <mpfr.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include "engine/kernels/two_over_pi.h"
#include "engine/kernels/wide_fixed.h"

namespace bitnet {
namespace {

std::uint32_t bits(float x) {
  return std::bit_cast<std::uint32_t>(x);
}
float from_bits(std::uint32_t b) {
  return std::bit_cast<float>(b);
}

/// MPFR in binary32: 24 bits, its exponent range, subnormals rounded once.
class Mpfr {
 public:
  Mpfr() {
    mpfr_set_emin(-148);
    mpfr_set_emax(128);
    mpfr_init2(x_, 24);
    mpfr_init2(y_, 24);
    mpfr_init2(r_, 24);
  }
  ~Mpfr() { mpfr_clears(x_, y_, r_, static_cast<mpfr_ptr>(nullptr)); }
  Mpfr(const Mpfr&) = delete;
  Mpfr& operator=(const Mpfr&) = delete;

  float sin(float x) {
    mpfr_set_flt(x_, x, MPFR_RNDN);
    return finish(mpfr_sin(r_, x_, MPFR_RNDN));
  }
  float cos(float x) {
    mpfr_set_flt(x_, x, MPFR_RNDN);
    return finish(mpfr_cos(r_, x_, MPFR_RNDN));
  }
  float pow(float x, float y) {
    mpfr_set_flt(x_, x, MPFR_RNDN);
    mpfr_set_flt(y_, y, MPFR_RNDN);
    return finish(mpfr_pow(r_, x_, y_, MPFR_RNDN));
  }

 private:
  float finish(int ternary) {
    mpfr_subnormalize(r_, ternary, MPFR_RNDN);
    return mpfr_get_flt(r_, MPFR_RNDN);
  }
  mpfr_t x_, y_, r_;
};

class RoundedMath : public testing::Test {
 protected:
  void expect_sin_cos(float x) {
    ASSERT_EQ(bits(rounded_sin(x)), bits(mpfr_.sin(x))) << std::hexfloat << "sin(" << x << ")";
    ASSERT_EQ(bits(rounded_cos(x)), bits(mpfr_.cos(x))) << std::hexfloat << "cos(" << x << ")";
  }
  void expect_pow(float x, float y) {
    ASSERT_EQ(bits(rounded_pow(x, y)), bits(mpfr_.pow(x, y)))
        << std::hexfloat << "pow(" << x << ", " << y << ")";
  }

  Mpfr mpfr_;
  std::mt19937_64 random_{20240611};
};

TEST_F(RoundedMath, SineAndCosineOfRandomNumbersOfEverySize) {
  for (int i = 0; i < 400000; ++i) {
    const float x = from_bits(static_cast<std::uint32_t>(random_()));
    if (!std::isfinite(x)) continue;
    expect_sin_cos(x);
  }
}

TEST_F(RoundedMath, SineAndCosineWhereAnglesOfRopeLie) {
  std::uniform_real_distribution<float> angle(0.0f, 131072.0f);
  for (int i = 0; i < 400000; ++i) expect_sin_cos(angle(random_));
}

TEST_F(RoundedMath, SineAndCosineOfSpecialArguments) {
  EXPECT_EQ(bits(rounded_sin(0.0f)), bits(0.0f));
  EXPECT_EQ(bits(rounded_sin(-0.0f)), bits(-0.0f));
  EXPECT_EQ(rounded_cos(-0.0f), 1.0f);
  for (const float x : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                        std::numeric_limits<float>::quiet_NaN()}) {
    EXPECT_TRUE(std::isnan(rounded_sin(x)));
    EXPECT_TRUE(std::isnan(rounded_cos(x)));
  }
  expect_sin_cos(std::numeric_limits<float>::denorm_min());
  expect_sin_cos(-std::numeric_limits<float>::max());
  // 0x1.f9cbe2p+7 and 16367173 * 2^72 lie nearest to multiples of pi / 2 (Muller, Elementary Functions).
  expect_sin_cos(0x1.f9cbe2p+7f);
  expect_sin_cos(16367173.0f * 0x1p72f);
  // Around every border inside the implementation.
  for (const float border : {0x1p-12f, 0x1.921fb4p-1f, 0x1.921fb6p+0f, 0x1.2d97c8p+1f, 0x1.921fb6p+1f}) {
    for (std::uint32_t offset = 0; offset < 2000; ++offset) {
      expect_sin_cos(from_bits(bits(border) - 1000 + offset));
      expect_sin_cos(-from_bits(bits(border) - 1000 + offset));
    }
  }
}

/// Every angle of the tables for three bases, all even rotary sizes and positions up to 131072 (thinned out).
TEST_F(RoundedMath, AnglesThatTheRecurrenceOfRopeProduces) {
  for (const float base : {10000.0f, 500000.0f, 1000000.0f}) {
    for (const int n_rot : {32, 64, 80, 96, 128, 256}) {
      const float step = rounded_pow(base, -2.0f / static_cast<float>(n_rot));
      for (int position = 0; position <= 131072; position += position < 64 ? 1 : 4099) {
        float angle = static_cast<float>(position);
        for (int i = 0; i < n_rot / 2; ++i) {
          expect_sin_cos(angle);
          angle *= step;
        }
      }
    }
  }
}

TEST_F(RoundedMath, EveryPowerThatRopeUses) {
  for (const float base : {10000.0f, 500000.0f, 1000000.0f}) {
    for (int n = 2; n <= 512; ++n) expect_pow(base, -2.0f / static_cast<float>(n));
  }
}

TEST_F(RoundedMath, PowerOfRandomArguments) {
  std::uniform_real_distribution<double> log2_of_result(-152.0, 129.0);
  for (int i = 0; i < 400000; ++i) {
    const float x = from_bits(static_cast<std::uint32_t>(random_()) & 0x7fffffffu);
    if (!std::isfinite(x) || x == 0.0f || x == 1.0f) continue;
    // An exponent that keeps the result in range, so that the test is about rounding.
    const auto y = static_cast<float>(log2_of_result(random_) / std::log2(static_cast<double>(x)));
    if (std::isfinite(y)) expect_pow(x, y);
  }
  for (int i = 0; i < 100000; ++i) {
    // Bases near 1, where log2 is small and exponents are huge.
    const float x = from_bits(0x3f800000u + static_cast<std::uint32_t>(random_() % 4096) - 2048);
    const auto y = static_cast<float>(log2_of_result(random_) / std::log2(static_cast<double>(x)));
    if (std::isfinite(y)) expect_pow(x, y);
  }
}

TEST_F(RoundedMath, PowersExactlyBetweenTwoNumbers) {
  // Squares, cubes and higher powers of odd numbers that have 25 bits, and the roots that lead to them.
  int ties = 0;
  for (const int degree : {2, 3, 4, 5, 6, 7}) {
    for (std::uint32_t root = 3; root < 8192; root += 2) {
      const double power = std::pow(static_cast<double>(root), degree);
      if (power >= 0x1p25) break;
      if (power < 0x1p24) continue;
      ++ties;
      for (const int scale : {-20, -1, 0, 3, 9}) {
        expect_pow(std::ldexp(static_cast<float>(root), scale), static_cast<float>(degree));
      }
    }
  }
  EXPECT_GT(ties, 800);
  // x^1.5 = root^3 and x^0.75 = root^3: odd roots of 25-bit cubes whose squares and fourth powers are
  // binary32.
  for (std::uint32_t root = 257; root < 323; root += 2) {
    expect_pow(static_cast<float>(root) * static_cast<float>(root), 1.5f);
  }
  // In the subnormal range, and half of the least number: ties to even at every width.
  for (int exponent = -160; exponent <= -120; ++exponent) {
    expect_pow(2.0f, static_cast<float>(exponent));
    expect_pow(0.5f, -static_cast<float>(exponent));
    expect_pow(3.0f * std::ldexp(1.0f, -40), static_cast<float>(exponent) / -40.0f);
    expect_pow(std::ldexp(3.0f, exponent / 2), 2.0f);
    expect_pow(std::ldexp(5.0f, exponent / 3), 3.0f);
    expect_pow(std::ldexp(1025.0f, exponent / 2), 2.0f);
  }
  for (int exponent = 120; exponent <= 130; ++exponent) expect_pow(2.0f, static_cast<float>(exponent));
  expect_pow(0x1.fffffep+63f, 2.0f);
  expect_pow(0x1.fffffep+127f, 1.0f);
}

TEST_F(RoundedMath, PowerOfSpecialArguments) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float x : {0.0f, -1.0f, infinity, nan}) EXPECT_TRUE(std::isnan(rounded_pow(x, 2.0f))) << x;
  for (const float y : {infinity, -infinity, nan}) EXPECT_TRUE(std::isnan(rounded_pow(2.0f, y))) << y;
  EXPECT_EQ(rounded_pow(1.0f, std::numeric_limits<float>::max()), 1.0f);
  EXPECT_EQ(rounded_pow(7.0f, 0.0f), 1.0f);
  EXPECT_EQ(rounded_pow(2.0f, std::numeric_limits<float>::max()), infinity);
  EXPECT_EQ(rounded_pow(2.0f, -std::numeric_limits<float>::max()), 0.0f);
  EXPECT_EQ(rounded_pow(std::numeric_limits<float>::denorm_min(), 1.0f),
            std::numeric_limits<float>::denorm_min());
  expect_pow(0x1.000002p+0f, 0x1.6p+30f);
  expect_pow(0x1.fffffep-1f, 0x1.6p+31f);
  expect_pow(3.0f, 1e-30f);
}

/// The wide numbers that decide the hard cases, by themselves: every argument takes this way here.
TEST(WideFixed, ConstantsToTheLastBits) {
  mpfr_t x;
  mpfr_init2(x, 400);
  const auto expect_near = [&x](const rounding::Wide& wide) {
    mpfr_mul_2ui(x, x, 288, MPFR_RNDD);
    mpfr_t w;
    mpfr_init2(w, 400);
    mpfr_set_zero(w, 1);
    for (int i = rounding::Wide::kLimbs - 1; i >= 0; --i) {
      mpfr_mul_2ui(w, w, 32, MPFR_RNDN);
      mpfr_add_ui(w, w, wide.limb(i), MPFR_RNDN);
    }
    mpfr_sub(w, w, x, MPFR_RNDN);
    EXPECT_LT(std::abs(mpfr_get_d(w, MPFR_RNDN)), 4096.0);  // units of 2^-288
    mpfr_clear(w);
  };
  mpfr_set_emin(-100000);
  mpfr_set_emax(100000);
  mpfr_const_pi(x, MPFR_RNDN);
  mpfr_div_2ui(x, x, 1, MPFR_RNDN);
  expect_near(rounding::wide_half_pi());
  mpfr_const_log2(x, MPFR_RNDN);
  expect_near(rounding::wide_ln2());
  mpfr_set_d(x, 1.375, MPFR_RNDN);
  mpfr_log(x, x, MPFR_RNDN);
  expect_near(rounding::wide_log1p(3u << 20));
  mpfr_set_d(x, 0.34375, MPFR_RNDN);
  mpfr_exp(x, x, MPFR_RNDN);
  const rounding::Wide r = rounding::Wide(11) / 32;
  expect_near(rounding::wide_exp(r));
  mpfr_set_d(x, 0.34375, MPFR_RNDN);
  mpfr_sin(x, x, MPFR_RNDN);
  expect_near(rounding::wide_sine(r, false));
  mpfr_set_d(x, 0.34375, MPFR_RNDN);
  mpfr_cos(x, x, MPFR_RNDN);
  expect_near(rounding::wide_sine(r, true));
  mpfr_clear(x);
}

TEST(WideFixed, TwoOverPiToTheLastBit) {
  mpfr_t x;
  mpfr_set_emin(-100000);
  mpfr_set_emax(100000);
  mpfr_init2(x, 600);
  mpfr_const_pi(x, MPFR_RNDN);
  mpfr_ui_div(x, 2, x, MPFR_RNDN);
  for (const std::uint32_t word : rounding::kTwoOverPi) {
    if (word == 0) continue;
    mpfr_mul_2ui(x, x, 32, MPFR_RNDN);
    const unsigned long integer = mpfr_get_ui(x, MPFR_RNDZ);
    EXPECT_EQ(word, integer);
    mpfr_sub_ui(x, x, integer, MPFR_RNDN);
  }
  mpfr_clear(x);
}

}  // namespace
}  // namespace bitnet
