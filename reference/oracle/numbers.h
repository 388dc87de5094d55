#pragma once
// The oracle's own numbers: binary16 by plain arithmetic, and exponential, sine, cosine and power from their
// series. Only + - * / and exact scalings by powers of two are used, because libm's double functions differ
// in the last bit between systems and even between CPUs of one system: with these the oracle says the same
// everywhere.

#include <cmath>
#include <cstdint>
#include <limits>

namespace crossval::numbers {

/// x rounded to the nearest binary32, ties to even.
inline double to_f32(double x) {
  return static_cast<double>(static_cast<float>(x));
}

/// The value of the binary16 number with these bits: 1 sign bit, 5 bits of exponent, 10 bits of fraction.
inline double f16_value(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  double magnitude = 0;
  if (exponent == 0)
    magnitude = std::ldexp(fraction, -24);  // zero and subnormal numbers: multiples of 2^-24
  else if (exponent < 31)
    magnitude = std::ldexp(1024 + fraction, exponent - 25);
  else
    magnitude =
        fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

/// x rounded to the nearest binary16, ties to even; 65520 and above become infinite.
inline double to_f16(double x) {
  if (x == 0 || !std::isfinite(x)) return x;
  int exponent = 0;
  std::frexp(x, &exponent);  // 2^(exponent-1) <= |x| < 2^exponent
  // Neighbours lie 2^step apart: 11 significant bits, but never finer than the subnormal numbers.
  const int step = exponent - 11 > -24 ? exponent - 11 : -24;
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(x, -step)), step);
  if (std::fabs(rounded) > 65504) return std::copysign(std::numeric_limits<double>::infinity(), x);
  return rounded;
}

/// e^x = 2^k e^r with |r| <= ln(2)/2, e^r by its Taylor series.
inline double exp(double x) {
  constexpr double kLn2High = 0x1.62e42fee00000p-1;  // 32 bits, so that k * kLn2High is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  if (std::isnan(x)) return x;
  if (x > 710) return std::numeric_limits<double>::infinity();
  if (x < -746) return 0;
  const double k = std::nearbyint(x * 0x1.71547652b82fep+0);  // x / ln(2)
  const double r = (x - k * kLn2High) - k * kLn2Low;
  double series = 1;
  for (int n = 14; n > 0; --n) series = 1 + r * series / n;
  return std::ldexp(series, static_cast<int>(k));
}

/// The natural logarithm of a positive, finite, normal x = m 2^k: ln m = 2 artanh((m - 1) / (m + 1)).
inline double log(double x) {
  constexpr double kLn2 = 0x1.62e42fefa39efp-1;
  int k = 0;
  double m = std::frexp(x, &k);  // 1/2 <= m < 1
  if (m < 0.70710678118654752) {
    m *= 2;
    --k;
  }
  const double z = (m - 1) / (m + 1);
  double series = 0;
  for (int n = 25; n > 0; n -= 2) series = series * (z * z) + 1.0 / n;
  return k * kLn2 + 2 * z * series;
}

/// base^exponent for a positive, finite, normal base.
inline double pow(double base, double exponent) {
  return exponent == 0 ? 1 : exp(exponent * log(base));
}

struct SineCosine {
  double sine, cosine;
};

/// For |x| < 2^24, far beyond any position: x = k pi/2 + r with |r| <= pi/4, both of r by their Taylor
/// series.
inline SineCosine sine_cosine(double x) {
  // pi/2 in parts of 25 bits, so that k times the first three is exact.
  constexpr double kParts[] = {0x1.921fb50000000p+0, 0x1.110b460000000p-26, 0x1.1a62630000000p-54,
                               0x1.8a2e03707344ap-81};
  const double k = std::nearbyint(x * 0x1.45f306dc9c883p-1);
  double r = x;
  for (double part : kParts) r -= k * part;
  double sine = 1, cosine = 1;
  for (int n = 18; n > 0; n -= 2) {
    cosine = 1 - r * r * cosine / (n * (n - 1));
    sine = 1 - r * r * sine / (n * (n + 1));
  }
  sine *= r;
  switch (static_cast<std::int64_t>(k) & 3) {
    case 0:
      return {sine, cosine};
    case 1:
      return {cosine, -sine};
    case 2:
      return {-sine, -cosine};
    default:
      return {-cosine, sine};
  }
}

}  // namespace crossval::numbers
