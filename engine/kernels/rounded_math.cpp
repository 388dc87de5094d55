// Each function computes a double with a proven error bound and returns its rounding when the whole interval
// rounds alike (Ziv's test, ACM TOMS 17, 1991); otherwise, once in some ten million arguments, fixed-point
// numbers of 320 bits decide. Only + - * /, fma and integers are used, so every platform gives the same bits.

#include "engine/kernels/rounded_math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "engine/kernels/two_over_pi.h"
#include "engine/kernels/wide_fixed.h"

namespace bitnet {
namespace rounding {
namespace {

/// The binary32 to which everything in [y (1 - bound), y (1 + bound)] rounds, if there is one.
std::optional<float> settled(double y, double bound) {
  const float low = static_cast<float>(y - y * bound);
  const float high = static_cast<float>(y + y * bound);
  if (low != high) return std::nullopt;
  return low;
}

/// 2^n for -1022 <= n <= 1023.
double power_of_two(int n) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(n + 1023) << 52);
}

/// x = significand * 2^exponent for finite x > 0, significand in [2^23, 2^24).
struct Decomposed {
  std::uint32_t significand;
  int exponent;
};

Decomposed decompose(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  Decomposed d = {(bits & 0x7fffffu) | 0x800000u, static_cast<int>(bits >> 23) - 150};
  if (bits < 0x800000u) {
    d = {bits, -149};
    while (d.significand < 0x800000u) {
      d.significand *= 2;
      --d.exponent;
    }
  }
  return d;
}

bool is_finite(float x) {
  return (std::bit_cast<std::uint32_t>(x) & 0x7f800000u) != 0x7f800000u;
}

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// ---- sine and cosine ----

/// |x| = quarter * pi / 2 + angle, |angle| <= pi / 4 (a hair more where double rounds), quarter modulo 4.
struct Reduced {
  double angle;
  unsigned quarter;
};

/// Relative error of `angle` below 2^-51; exact for x < pi / 4.
Reduced reduce(float x) {
  if (x < 0x1.921fb4p-1f) return {static_cast<double>(x), 0};
  // 2 / pi * 2^exponent modulo 4 to 126 bits after the point, times the significand: what is cut off is below
  // 2^-102, and no binary32 lies nearer than 2^-31 to a multiple of pi / 2.
  const Decomposed d = decompose(x);
  std::uint64_t carry = 0;
  std::uint64_t halves[2] = {};  // low, high; units of 2^-126
  for (int i = 3; i >= 0; --i) {
    carry += std::uint64_t{two_over_pi_bits(d.exponent - 2 + 32 * i)} * d.significand;
    halves[i < 2 ? 1 : 0] |= (carry & 0xffffffffu) << (i % 2 == 0 ? 32 : 0);
    carry >>= 32;
  }
  std::uint64_t high = halves[1];
  std::uint64_t low = halves[0];
  const auto quarter = static_cast<unsigned>((high + (std::uint64_t{1} << 61)) >> 62);
  high -= static_cast<std::uint64_t>(quarter) << 62;
  const bool negative = (high >> 63) != 0;
  if (negative) {
    low = ~low + 1;
    high = ~high + (low == 0 ? 1 : 0);
  }
  const double fraction = static_cast<double>(high) * 0x1p-62 + static_cast<double>(low) * 0x1p-126;
  const double angle = fraction * 0x1.921fb54442d18p+0;
  return {negative ? -angle : angle, quarter & 3u};
}

/// The same to 2^-250, as sign and magnitude.
struct WideReduced {
  Wide angle;
  bool negative;
  unsigned quarter;
};

WideReduced wide_reduce(float x) {
  const Decomposed d = decompose(x);
  if (x < 0x1.921fb4p-1f) return {Wide(d.significand).shifted(d.exponent), false, 0};
  Wide turns;  // in quarters, modulo 2^32
  for (int i = 0; i < Wide::kLimbs; ++i) {
    turns.limb(i) = two_over_pi_bits(d.exponent - 32 + 32 * (Wide::kLimbs - 1 - i));
  }
  turns = turns * d.significand;
  const bool up = turns.bit(Wide::kFractionBits - 1);
  const unsigned quarter = turns.limb(Wide::kLimbs - 1) + (up ? 1u : 0u);
  turns.limb(Wide::kLimbs - 1) = 0;
  if (up) turns = Wide(1) - turns;
  return {turns * wide_half_pi(), up, quarter & 3u};
}

// Taylor series on [-pi/4, pi/4]: what is left out is below 2^-62 of the sum, rounding stays below 2^-51.5.
double sine(double r) {
  const double u = r * r;
  const double tail =
      1.0 / 120 +
      u * (-1.0 / 5040 +
           u * (1.0 / 362880 + u * (-1.0 / 39916800 + u * (1.0 / 6227020800 + u * (-1.0 / 1307674368000 +
                                                                                   u / 355687428096000)))));
  return r + r * (u * (-1.0 / 6 + u * tail));
}

double cosine(double r) {
  const double u = r * r;
  const double tail =
      -1.0 / 720 +
      u * (1.0 / 40320 +
           u * (-1.0 / 3628800 +
                u * (1.0 / 479001600 +
                     u * (-1.0 / 87178291200 + u * (1.0 / 20922789888000 + u * (-1.0 / 6402373705728000))))));
  return 1.0 + u * (-0.5 + u * (1.0 / 24 + u * tail));
}

/// sin(x + shift * pi / 2) for x > 0.
float sine_of(float x, unsigned shift) {
  const Reduced r = reduce(x);
  const unsigned quarter = (r.quarter + shift) & 3u;
  const double y = (quarter & 1u) != 0 ? cosine(r.angle) : sine(r.angle);
  if (const std::optional<float> result = settled(y, 0x1p-49))
    return (quarter & 2u) != 0 ? -*result : *result;

  const WideReduced w = wide_reduce(x);
  const unsigned wide_quarter = (w.quarter + shift) & 3u;
  const bool cosine_wanted = (wide_quarter & 1u) != 0;
  const float magnitude = round_to_binary32(wide_sine(w.angle, cosine_wanted), 0);
  const bool negative = ((wide_quarter & 2u) != 0) != (w.negative && !cosine_wanted);
  return negative ? -magnitude : magnitude;
}

// ---- power ----

/// An unevaluated sum; |low| is at most about one unit in the last place of high.
struct DoubleDouble {
  double high;
  double low;
};

DoubleDouble multiply(DoubleDouble a, DoubleDouble b) {
  const double high = a.high * b.high;
  return {high, std::fma(a.high, b.high, -high) + (a.high * b.low + a.low * b.high)};
}

/// For |a| >= |b|, or a zero.
DoubleDouble add_smaller(DoubleDouble a, DoubleDouble b) {
  const double high = a.high + b.high;
  return {high, ((a.high - high) + b.high) + (a.low + b.low)};
}

/// log2(x), relative error below 2^-62.
DoubleDouble log2_of(Decomposed d) {
  int exponent = d.exponent + 23;
  double m = static_cast<double>(d.significand) * 0x1p-23;
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  // log(m) = 2 artanh(s) = 2 s (1 + s^2 (1/3 + s^2 (1/5 + ...))), |s| < 0.172. The first two coefficients are
  // double-double; what follows weighs 2^-10 of them.
  const double numerator = m - 1.0;  // exact, as is the denominator
  const double denominator = m + 1.0;
  const double quotient = numerator / denominator;
  const DoubleDouble s = {quotient, std::fma(-quotient, denominator, numerator) / denominator};
  const DoubleDouble s2 = multiply(s, s);
  const double u = s2.high;
  const double tail =
      1.0 / 7 +
      u * (1.0 / 9 +
           u * (1.0 / 11 +
                u * (1.0 / 13 +
                     u * (1.0 / 15 +
                          u * (1.0 / 17 + u * (1.0 / 19 + u * (1.0 / 21 + u * (1.0 / 23 + u / 25))))))));
  constexpr DoubleDouble kFifth = {0x1.999999999999ap-3, -0x1.999999999999ap-57};
  constexpr DoubleDouble kThird = {0x1.5555555555555p-2, 0x1.5555555555555p-56};
  constexpr DoubleDouble kTwoOverLn2 = {0x1.71547652b82fep+1, 0x1.777d0ffda0d24p-55};
  const DoubleDouble fifth = add_smaller(kFifth, {u * tail, 0.0});
  const DoubleDouble third = add_smaller(kThird, multiply(s2, fifth));
  const DoubleDouble artanh = add_smaller(s, multiply(s, multiply(s2, third)));
  return add_smaller({static_cast<double>(exponent), 0.0}, multiply(artanh, kTwoOverLn2));
}

/// 2^f for |f| <= 0.5 and a little; relative error below 2^-51.
double exp2_of(double f) {
  const double r = f * 0x1.62e42fefa39efp-1;
  const double tail =
      1.0 / 720 +
      r * (1.0 / 5040 +
           r * (1.0 / 40320 +
                r * (1.0 / 362880 +
                     r * (1.0 / 3628800 +
                          r * (1.0 / 39916800 +
                               r * (1.0 / 479001600 + r * (1.0 / 6227020800 + r / 87178291200)))))));
  return 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120 + r * tail)))));
}

/// base^exponent, both positive or not as the caller saw to: |log2| of the result below 152, base != 1.
float wide_power(Decomposed base, float exponent) {
  // |ln base| and its sign.
  const int k = base.exponent + 23;
  const Wide ln_significand = wide_log1p(base.significand - 0x800000u);
  const Wide ln2 = wide_ln2();
  const bool base_below_one = k < 0;
  const Wide ln_base = base_below_one ? ln2 * static_cast<std::uint32_t>(-k) - ln_significand
                                      : ln2 * static_cast<std::uint32_t>(k) + ln_significand;

  const Decomposed e = decompose(std::abs(exponent));
  // |exponent| < 2^32 or the power would overflow; the product stays below 152 ln 2. Shifted first where that
  // keeps it small, last where that keeps it exact.
  const Wide product = e.exponent < 0 ? (ln_base * e.significand).shifted(e.exponent)
                                      : ln_base.shifted(e.exponent) * e.significand;
  const bool negative = base_below_one != (exponent < 0.0f);

  // product = n ln 2 + r, 0 <= r < ln 2.
  Wide r = product;
  int n = 0;
  while (!(r < ln2)) {
    r = r - ln2;
    ++n;
  }
  if (negative && !r.is_zero()) {
    r = ln2 - r;
    ++n;
  }
  return round_to_binary32(wide_exp(r), negative ? -n : n);
}

}  // namespace
}  // namespace rounding

float rounded_sin(float x) {
  using namespace rounding;
  if (!is_finite(x)) return kNaN;
  // x - x^3 / 6 rounds to x: the difference is below a quarter of the spacing of binary32.
  if (std::abs(x) < 0x1p-12f) return x;
  const float magnitude = sine_of(std::abs(x), 0);
  return x < 0.0f ? -magnitude : magnitude;
}

float rounded_cos(float x) {
  using namespace rounding;
  if (!is_finite(x)) return kNaN;
  if (std::abs(x) < 0x1p-12f) return 1.0f;
  return sine_of(std::abs(x), 1);
}

float rounded_pow(float base, float exponent) {
  using namespace rounding;
  if (!(base > 0.0f) || !is_finite(base) || !is_finite(exponent)) return kNaN;
  if (base == 1.0f || exponent == 0.0f) return 1.0f;
  const Decomposed d = decompose(base);
  const DoubleDouble log2 = log2_of(d);
  const double y = static_cast<double>(exponent);
  const double high = y * log2.high;
  if (high >= 129.0) return std::numeric_limits<float>::infinity();
  if (high <= -152.0) return 0.0f;
  const double low = std::fma(y, log2.high, -high) + y * log2.low;
  const double n = (high + 0x1.8p52) - 0x1.8p52;
  const double result = exp2_of((high - n) + low) * power_of_two(static_cast<int>(n));
  if (const std::optional<float> rounded = settled(result, 0x1p-48)) return *rounded;
  return wide_power(d, exponent);
}

}  // namespace bitnet
