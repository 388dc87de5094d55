#pragma once
// 2 / pi to 416 bits, for reducing angles of any size exactly (Payne and Hanek, SIGNUM Newsletter 1983).

#include <cstdint>

namespace bitnet::rounding {

/// Bits of 2 / pi, 32 a word, after two words of zeros: word 2 has the bits of weight 2^-1 to 2^-32.
inline constexpr std::uint32_t kTwoOverPi[] = {
    0,           0,           0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u,
    0xfe5163abu, 0xdebbc561u, 0xb7246e3au, 0x424dd2e0u, 0x06492eeau, 0x09d1921cu, 0xfe1deb1cu};

/// The 32 bits of 2 / pi whose first has weight 2^-(position + 1); position >= -64.
inline std::uint32_t two_over_pi_bits(int position) {
  const auto at = static_cast<unsigned>(position + 64);
  const unsigned shift = at % 32;
  const std::uint64_t pair = (std::uint64_t{kTwoOverPi[at / 32]} << 32) | kTwoOverPi[at / 32 + 1];
  return static_cast<std::uint32_t>(pair >> (32 - shift));
}

}  // namespace bitnet::rounding
