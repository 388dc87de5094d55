#pragma once
// The exponential of softmax and SiLU (reference-semantics 6.7, AVX-512 form).

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace bitnet::scalar {

/// 2^n for -126 <= n <= 127.
inline float power_of_two(int n) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(n + 127) << 23);
}

/// e^x by a polynomial: exact bits are the contract, within 2 ulp of e^x. |n| > 192 gives 0 or infinity; NaN
/// gives NaN.
inline float polynomial_exp(float x) {
  constexpr float kRound = 0x1.8p23f;  // adding it rounds to an integer, ties to even
  const float z = std::fma(x, 0x1.715476p+0f, kRound);
  const float n = z - kRound;
  if (std::abs(n) > 192.0f) return n <= 0.0f ? 0.0f : std::numeric_limits<float>::infinity();
  const float b = std::fma(-n, 0x1.7f7d1cp-20f, std::fma(-n, 0x1.62e4p-1f, x));
  const float u = b * b;
  const float p = std::fma(
      std::fma(std::fma(0x1.0e4020p-7f, b, 0x1.573e2ep-5f), u, std::fma(0x1.555e66p-3f, b, 0x1.fffdb6p-2f)),
      u, std::fma(0x1.ffffecp-1f, b, 1.0f));
  if (n != n) return p;
  // p * 2^n with one rounding: p is near 1, so the first product is exact and only the second may round,
  // overflow or become subnormal.
  const int exponent = static_cast<int>(n);
  const int half = exponent / 2;
  return p * power_of_two(half) * power_of_two(exponent - half);
}

}  // namespace bitnet::scalar
