#pragma once
// exp for the weights of sampling, the same on every platform. libm's differs in the last bits from one to
// the next, and with it the token that a seed draws.

#include <bit>
#include <cstdint>

namespace bitnet {

/// exp(x) for x <= 0, within 2 ulp; 0 below -708 (where it leaves the normal numbers) and for NaN. Only
/// additions and multiplications in a fixed order.
inline double exp_of_negative(double x) {
  if (!(x >= -708.0)) return 0.0;
  constexpr double kLog2E = 0x1.71547652b82fep+0;
  constexpr double kLn2High = 0x1.62e42fefa0000p-1;  // its products with k are exact
  constexpr double kLn2Low = 0x1.cf79abc9e3b39p-40;
  const auto k = static_cast<std::int64_t>(x * kLog2E - 0.5);  // the integer nearest to x / ln 2
  const double r = (x - static_cast<double>(k) * kLn2High) - static_cast<double>(k) * kLn2Low;
  // The Taylor series of exp for |r| <= 0.35; what it leaves out is below 1e-17.
  double sum = 1.0 / 6227020800.0;
  sum = sum * r + 1.0 / 479001600.0;
  sum = sum * r + 1.0 / 39916800.0;
  sum = sum * r + 1.0 / 3628800.0;
  sum = sum * r + 1.0 / 362880.0;
  sum = sum * r + 1.0 / 40320.0;
  sum = sum * r + 1.0 / 5040.0;
  sum = sum * r + 1.0 / 720.0;
  sum = sum * r + 1.0 / 120.0;
  sum = sum * r + 1.0 / 24.0;
  sum = sum * r + 1.0 / 6.0;
  sum = sum * r + 0.5;
  sum = sum * r + 1.0;
  sum = sum * r + 1.0;
  return sum * std::bit_cast<double>(static_cast<std::uint64_t>(1023 + k) << 52);
}

}  // namespace bitnet
