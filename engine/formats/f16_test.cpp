#include "engine/formats/f16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace bitnet {
namespace {

// What a binary16 number means, by the definition of the format.
double meaning(f16 h) {
  const int exponent = (h >> 10) & 0x1f;
  const double mantissa = h & 0x3ff;
  const double sign = (h & 0x8000) ? -1 : 1;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  if (exponent == 31) return sign * std::numeric_limits<double>::infinity();
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

// Round to nearest, ties to even, in double: every step is exact.
f16 nearest(float value) {
  const std::uint32_t sign = std::signbit(value) ? 0x8000u : 0u;
  const double x = std::fabs(static_cast<double>(value));
  if (x >= 65520) return static_cast<f16>(sign | 0x7c00u);
  int exponent = 0;
  std::frexp(x, &exponent);
  const int ulp = std::max(exponent - 11, -24);  // exponent of the last bit kept
  const double units = std::ldexp(x, -ulp);
  double whole = std::floor(units);
  const double rest = units - whole;
  if (rest > 0.5 || (rest == 0.5 && std::fmod(whole, 2) != 0)) whole += 1;
  const double rounded = std::ldexp(whole, ulp);
  if (rounded >= 65536) return static_cast<f16>(sign | 0x7c00u);
  if (rounded < 0x1p-14) return static_cast<f16>(sign | static_cast<std::uint32_t>(std::ldexp(rounded, 24)));
  std::frexp(rounded, &exponent);
  const auto mantissa = static_cast<std::uint32_t>(std::ldexp(rounded, 11 - exponent)) - 1024;
  return static_cast<f16>(sign | (static_cast<std::uint32_t>(exponent + 14) << 10) | mantissa);
}

bool is_nan(f16 h) {
  return (h & 0x7fff) > 0x7c00;
}

TEST(F16, EveryNumberHasItsMeaningAndComesBack) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const f16 h = static_cast<f16>(i);
    const float value = f16_to_f32(h);
    if (is_nan(h)) {
      ASSERT_TRUE(std::isnan(value)) << i;
      ASSERT_EQ(f32_to_f16(value), h | 0x200) << i;  // quiet, same payload
      continue;
    }
    ASSERT_EQ(static_cast<double>(value), meaning(h)) << i;
    ASSERT_EQ(std::signbit(value), (h & 0x8000) != 0) << i;
    ASSERT_EQ(f32_to_f16(value), h) << i;
  }
}

TEST(F16, NeighboursOfEveryNumberAndOfEveryTieRound) {
  for (std::uint32_t i = 0; i < 0x7c00; ++i) {
    const float low = f16_to_f32(static_cast<f16>(i));
    const float high = i == 0x7bff ? 65536.0f : f16_to_f32(static_cast<f16>(i + 1));
    const float tie = (low + high) / 2;  // exact: one more bit
    for (const float x : {low, tie})
      for (const float y : {std::nextafter(x, -1.0f), x, std::nextafter(x, 1e9f)})
        for (const float z : {y, -y}) ASSERT_EQ(f32_to_f16(z), nearest(z)) << std::hexfloat << z;
  }
}

TEST(F16, Extremes) {
  EXPECT_EQ(f32_to_f16(0.0f), 0x0000);
  EXPECT_EQ(f32_to_f16(-0.0f), 0x8000);
  EXPECT_EQ(f32_to_f16(65504.0f), 0x7bff);
  EXPECT_EQ(f32_to_f16(std::nextafter(65520.0f, 0.0f)), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-1e30f), 0xfc00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::infinity()), 0x7c00);
  EXPECT_EQ(f32_to_f16(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(f32_to_f16(0x1p-24f), 0x0001);
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0x0000);  // tie, to even
  EXPECT_EQ(f32_to_f16(std::nextafter(0x1p-25f, 1.0f)), 0x0001);
  EXPECT_EQ(f32_to_f16(0x3p-25f), 0x0002);  // tie, to even
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::denorm_min()), 0x0000);
  EXPECT_EQ(f32_to_f16(-std::numeric_limits<float>::denorm_min()), 0x8000);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::quiet_NaN()), 0x7e00);
  EXPECT_EQ(f32_to_f16(std::bit_cast<float>(0xff812345u)),
            0xfe09);  // signalling becomes quiet, top payload stays
}

#if defined(__x86_64__)
[[gnu::target("f16c")]] f16 hardware(float value) {
  const __m128i h = _mm_cvtps_ph(_mm_set_ss(value), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return static_cast<f16>(_mm_cvtsi128_si32(h) & 0xffff);
}
[[gnu::target("f16c")]] float hardware(f16 h) {
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}
bool detect_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;  // clang 14 does not know "f16c" as a name
  return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
bool has_f16c() {
  static const bool has = detect_f16c();  // asking is slow on virtual machines
  return has;
}
std::optional<f16> hardware_f16(float value) {
  return has_f16c() ? std::optional(hardware(value)) : std::nullopt;
}
std::optional<float> hardware_f32(f16 h) {
  return has_f16c() ? std::optional(hardware(h)) : std::nullopt;
}
#else
std::optional<f16> hardware_f16(float) {
  return std::nullopt;
}
std::optional<float> hardware_f32(f16) {
  return std::nullopt;
}
#endif

TEST(F16, RandomBitsRoundAsInDoubleAndInHardware) {
  std::uint64_t state = 1;
  for (int i = 0; i < 4'000'000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    auto bits = static_cast<std::uint32_t>(state >> 32);
    // Half of them inside the range of binary16, where rounding decides.
    if (i % 2) bits = (bits & 0x807fffffu) | ((96 + (bits >> 23) % 52) << 23);
    const float value = std::bit_cast<float>(bits);
    const f16 mine = f32_to_f16(value);
    if (const auto theirs = hardware_f16(value)) {
      ASSERT_EQ(mine, *theirs) << std::hex << bits;
    }
    if (!std::isnan(value)) {
      ASSERT_EQ(mine, nearest(value)) << std::hex << bits;
    }
  }
}

TEST(F16, EveryNumberWidensAsInHardware) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const f16 h = static_cast<f16>(i);
    const auto theirs = hardware_f32(h);
    if (!theirs) GTEST_SKIP() << "this machine has no F16C";
    ASSERT_EQ(std::bit_cast<std::uint32_t>(f16_to_f32(h)), std::bit_cast<std::uint32_t>(*theirs)) << i;
  }
}

}  // namespace
}  // namespace bitnet
