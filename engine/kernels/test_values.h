#pragma once
// Test support: numbers of every awkward kind, the same on every platform, and how two results are compared.

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <iomanip>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>

#include "engine/formats/bf16.h"
#include "engine/formats/f16.h"
#include "engine/formats/q4_0.h"
#include "engine/formats/q4_k.h"
#include "engine/formats/q5_0.h"
#include "engine/formats/q6_k.h"
#include "engine/formats/q8_0.h"

namespace bitnet::testing_support {

/// SplitMix64 (Steele, Lea, Flood 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// In [0, n).
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(n));
  }
  /// In [-1, 1), multiples of 2^-24.
  float unit() { return static_cast<float>(static_cast<std::int64_t>(bits() >> 39) - (1 << 24)) * 0x1p-24f; }

 private:
  std::uint64_t state_;
};

enum class Values : std::uint8_t {
  ordinary,    // bell-shaped, one scale
  outlier,     // the same with one number in 64 a hundred times as large
  tiny,        // subnormals and what lies just above
  huge,        // up to the greatest finite number
  ties,        // multiples of 1/2 in [-4, 4], both zeros
  zero,        // both zeros
  any_finite,  // all bit patterns that are finite
  any,         // all bit patterns
};

inline constexpr std::array kAllValues = {Values::ordinary, Values::outlier, Values::tiny,       Values::huge,
                                          Values::ties,     Values::zero,    Values::any_finite, Values::any};

inline std::string_view name_of(Values values) {
  constexpr std::array<std::string_view, 8> kNames = {"ordinary", "outlier", "tiny",       "huge",
                                                      "ties",     "zero",    "any_finite", "any"};
  return kNames[static_cast<std::size_t>(values)];
}

inline float draw_f32(Values values, Random& random) {
  const auto word = static_cast<std::uint32_t>(random.bits() >> 32);
  const std::uint32_t sign = word & 0x80000000u;
  switch (values) {
    case Values::ordinary:
    case Values::outlier: {
      float bell = random.unit();  // one statement a draw: operands are evaluated in any order
      bell += random.unit();
      bell += random.unit();
      return values == Values::outlier && random.below(64) == 0 ? 100.0f * bell : bell;
    }
    case Values::tiny:
      return std::bit_cast<float>(sign | (word & 0x01ffffffu) >> (word >> 25 & 15u));
    case Values::huge:
      return std::bit_cast<float>(sign | (0x7e800000u + (word & 0x00ffffffu)));
    case Values::ties:
      return static_cast<float>(random.below(17) - 8) * 0.5f * (sign != 0 ? -1.0f : 1.0f);
    case Values::zero:
      return std::bit_cast<float>(sign);
    case Values::any_finite:
      return std::bit_cast<float>((word & 0x7f800000u) == 0x7f800000u ? word & 0xbfffffffu : word);
    case Values::any:
      return std::bit_cast<float>(random.below(16) == 0 ? word | 0x7f800000u : word);
  }
  return 0;
}

inline f16 draw_f16(Values values, Random& random) {
  const auto word = static_cast<std::uint32_t>(random.bits() >> 48);
  switch (values) {
    case Values::tiny:
      return static_cast<f16>((word & 0x8000u) | (word & 0x7ffu));
    case Values::huge:
      return static_cast<f16>((word & 0x8000u) | (0x7400u + (word & 0x7ffu)));
    case Values::any_finite:
      return static_cast<f16>((word & 0x7c00u) == 0x7c00u ? word & 0xbfffu : word);
    case Values::any:
      return static_cast<f16>(word);
    default:
      return f32_to_f16(draw_f32(values, random));
  }
}

/// Blocks with a scale of the kind wanted; their codes are all at one limit or the other for Values::huge.
inline q8_0::Block draw_q8_0(Values values, Random& random) {
  q8_0::Block block = {draw_f16(values, random), {}};
  for (std::int8_t& code : block.codes)
    code = static_cast<std::int8_t>(values == Values::huge ? -127 : random.below(256) - 128);
  return block;
}

inline q6_k::Block draw_q6_k(Values values, Random& random) {
  q6_k::Block block = {};
  const bool extreme = values == Values::huge;
  for (std::uint8_t& byte : block.low) byte = static_cast<std::uint8_t>(extreme ? 0 : random.bits());
  for (std::uint8_t& byte : block.high) byte = static_cast<std::uint8_t>(extreme ? 0 : random.bits());
  for (std::int8_t& scale : block.scales)
    scale = static_cast<std::int8_t>(extreme ? -128 : random.below(256) - 128);
  block.d = draw_f16(values, random);
  return block;
}

/// Blocks of the smaller types: scales of the kind wanted, any codes, or all at their limit for Values::huge.
template <class Block>
Block draw_small(Values values, Random& random) {
  Block block;
  auto* bytes = reinterpret_cast<std::uint8_t*>(&block);
  for (std::size_t i = 0; i < sizeof block; ++i)
    bytes[i] = static_cast<std::uint8_t>(values == Values::huge ? 0xff : random.bits());
  block.d = draw_f16(values, random);
  if constexpr (std::is_same_v<Block, q4_k::Block>) block.m = draw_f16(values, random);
  return block;
}

template <class T>
T draw(Values values, Random& random) {
  if constexpr (std::is_same_v<T, float>) {
    return draw_f32(values, random);
  } else if constexpr (std::is_same_v<T, bf16>) {
    return {static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(draw_f32(values, random)) >> 16)};
  } else if constexpr (std::is_same_v<T, q8_0::Block>) {
    return draw_q8_0(values, random);
  } else if constexpr (std::is_same_v<T, q6_k::Block>) {
    return draw_q6_k(values, random);
  } else if constexpr (requires { T::kElements; }) {
    return draw_small<T>(values, random);
  } else {
    return draw_f16(values, random);
  }
}

template <class T>
void fill(T* begin, T* end, Values values, Random& random) {
  for (T* p = begin; p != end; ++p) *p = draw<T>(values, random);
}

/// Equal in every bit; any NaN equals any NaN (which one comes out is nobody's contract).
template <class T>
bool same_bits(T a, T b) {
  if constexpr (std::is_same_v<T, float>) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
    return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
  } else {
    return a == b;
  }
}

/// "" when equal; else how many differ, and the first with its neighbours.
template <class T>
std::string difference(std::string_view what, const T* expected, const T* actual, std::int64_t n) {
  std::int64_t count = 0;
  std::int64_t first = -1;
  for (std::int64_t i = 0; i < n; ++i) {
    if (same_bits(expected[i], actual[i])) continue;
    if (first < 0) first = i;
    ++count;
  }
  if (count == 0) return {};
  std::ostringstream text;
  text << what << ": " << count << " of " << n << " differ, first at " << first << std::hexfloat;
  for (std::int64_t i = first - 3 < 0 ? 0 : first - 3; i < n && i <= first + 3; ++i) {
    text << (i == first ? "\n  > [" : "\n    [") << i << "] expected " << +expected[i] << ", got "
         << +actual[i];
  }
  return text.str();
}

}  // namespace bitnet::testing_support
