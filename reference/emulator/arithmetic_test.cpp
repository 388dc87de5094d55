// The emulator's primitives: hand-checked values, plain restatements of reference-semantics 3 and 6, and the
// same bits from both compilations of every loop.

#include "reference/emulator/arithmetic.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "reference/emulator/half.h"
#include "reference/oracle/numbers.h"

namespace crossval::emulation {
namespace {

std::uint32_t bits(float x) {
  return std::bit_cast<std::uint32_t>(x);
}

class Random {
 public:
  float number() { return static_cast<float>(engine_() >> 40) * 0x1p-23f - 1.0f; }  // [-1, 1)
  std::vector<float> numbers(std::int64_t n, float scale = 1) {
    std::vector<float> v(static_cast<std::size_t>(n));
    for (float& x : v) x = number() * scale;
    return v;
  }
  std::vector<float> halves(std::int64_t n) {
    auto v = numbers(n);
    for (float& x : v) x = round_to_f16(x);
    return v;
  }
  std::uint64_t draw() { return engine_(); }

 private:
  std::mt19937_64 engine_{7};
};

TEST(Half, EveryValueIsTheOneThatItsBitsSay) {
  for (std::uint32_t b = 0; b < 65536; ++b) {
    const double wanted = numbers::f16_value(static_cast<std::uint16_t>(b));
    const float value = f16_to_f32(static_cast<std::uint16_t>(b));
    if (std::isnan(wanted))
      ASSERT_TRUE(std::isnan(value)) << b;
    else
      ASSERT_EQ(bits(value), bits(static_cast<float>(wanted))) << b;
  }
}

TEST(Half, RowsOfWeightsAreWidenedAlikeOnEveryCpu) {
  std::vector<std::uint16_t> halves;
  for (std::uint32_t b = 0; b < 65536; ++b) halves.push_back(static_cast<std::uint16_t>(b));
  for (const std::size_t n : {std::size_t{65536}, std::size_t{13}})  // 13: a tail after the vectors
    for (const Loops* loops : {&loops_of(8), &plain_loops_of(8)}) {
      std::vector<float> out(n);
      const auto* first = reinterpret_cast<const std::byte*>(halves.data() + 65536 - n);
      loops->widen(first, static_cast<std::int64_t>(n), out.data());
      for (std::size_t k = 0; k < n; ++k)
        ASSERT_EQ(bits(out[k]), bits(f16_to_f32(halves[65536 - n + k]))) << k;
    }
}

TEST(Half, RoundsToTheNearestAndTiesToEven) {
  // Every halfway point between neighbours, and the floats beside it.
  for (std::uint32_t b = 0; b < 0x7c00; ++b) {
    const double low = numbers::f16_value(static_cast<std::uint16_t>(b));
    const double high = b == 0x7bff ? 65536.0 : numbers::f16_value(static_cast<std::uint16_t>(b + 1));
    const auto middle = static_cast<float>((low + high) / 2);
    for (const float x : {static_cast<float>(low), std::nextafter(middle, 0.0f), middle,
                          std::nextafter(middle, 1e9f), -middle}) {
      ASSERT_EQ(bits(round_to_f16(x)), bits(static_cast<float>(numbers::to_f16(static_cast<double>(x)))))
          << x;
    }
  }
  EXPECT_EQ(round_to_f16(1e30f), INFINITY);
  EXPECT_EQ(round_to_f16(-INFINITY), -INFINITY);
  EXPECT_TRUE(std::isnan(round_to_f16(NAN)));
  EXPECT_EQ(bits(round_to_f16(-0x1p-60f)), 0x80000000u);
}

// ---- Quantizer (3.2) ----

TEST(Quantizer, TheTieThatOnlyTheRoundedProductIs) {
  // The example of reference-semantics 3.2, which tells clang from GCC.
  const std::vector<float> x{2.92578125f, -0x1.15306p-1f};
  Codes codes;
  quantize(x, Quantizer::product, codes);
  EXPECT_EQ(codes.scale, 0x1.5b41f8p+5f);
  EXPECT_EQ(codes.q[1], -24);
  EXPECT_EQ(codes.sum, 127 - 24);
  quantize(x, Quantizer::fused, codes);
  EXPECT_EQ(codes.scale, 0x1.5b41f8p+5f);
  EXPECT_EQ(codes.q[1], -23);
}

TEST(Quantizer, ZeroRowsAndTies) {
  Codes codes;
  quantize(std::vector<float>(128, 0.0f), Quantizer::product, codes);
  EXPECT_EQ(codes.scale, 12700000.0f);
  EXPECT_EQ(codes.sum, 0);
  quantize(std::vector<float>(128, 0.0f), Quantizer::reported, codes);
  EXPECT_EQ(codes.scale, 0.0f);
  EXPECT_EQ(epilogue(5, codes, 2.0f, Quantizer::reported), 0.0f);
  const std::vector<float> x{127.0f, 2.5f, -2.5f, 3.5f};
  quantize(x, Quantizer::product, codes);
  EXPECT_EQ(codes.q, (std::vector<std::int8_t>{127, 2, -2, 4}));
  quantize(x, Quantizer::reported, codes);
  EXPECT_EQ(codes.q, (std::vector<std::int8_t>{127, 3, -3, 4}));
}

TEST(Epilogue, DividesThenMultiplies) {
  Codes codes;
  codes.scale = 3;
  codes.sum = 3;
  const float third = 7.0f / 3.0f;
  EXPECT_EQ(epilogue(10, codes, 0.744f, Quantizer::product), third * 0.744f);
  EXPECT_EQ(epilogue(10, codes, 0.744f, Quantizer::reported), 7.0f * (0.744f / 3.0f));
}

// ---- Integer sums (3.3) ----

std::vector<std::byte> packed(const std::vector<int>& codes) {
  std::vector<std::byte> bytes(codes.size() / 4);
  for (std::size_t k = 0; k < codes.size(); ++k) {
    const std::size_t j = k % 128;
    bytes[k / 128 * 32 + j % 32] |= static_cast<std::byte>(codes[k] << (6 - 2 * (j / 32)));
  }
  return bytes;
}

TEST(IntegerSums, WrapWhereTheReferencesLanesWrap) {
  // All codes 2 and all activations 127: the measured examples of reference-semantics 3.3.
  struct Example {
    std::int64_t n;
    std::int32_t exact, wrapped;
  };
  for (const Example e :
       {Example{2048, 520192, 520192}, Example{2176, 552704, -495872}, Example{4096, 1040384, -8192}}) {
    const auto codes = packed(std::vector<int>(static_cast<std::size_t>(e.n), 2));
    const std::vector<std::int8_t> q(static_cast<std::size_t>(e.n), 127);
    for (const Loops* loops : {&loops_of(16), &plain_loops_of(16), &loops_of(8), &plain_loops_of(8)}) {
      EXPECT_EQ(loops->code_dot(codes.data(), q.data(), e.n, Sums::exact), e.exact) << e.n;
      EXPECT_EQ(loops->code_dot(codes.data(), q.data(), e.n, Sums::int16), e.wrapped) << e.n;
    }
  }
}

TEST(IntegerSums, AreThoseOfThePlainSumAndOfTheLanes) {
  Random random;
  for (const std::int64_t n : {128, 256, 2048, 2176, 4096, 4224, 8320}) {
    std::vector<int> codes;
    std::vector<std::int8_t> q;
    for (std::int64_t k = 0; k < n; ++k) {
      codes.push_back(static_cast<int>(random.draw() % 4));
      q.push_back(static_cast<std::int8_t>(static_cast<int>(random.draw() % 200) - 72));
    }
    std::int64_t exact = 0, lanes = 0;
    for (std::int64_t first = 0; first < n; first += 4096) {
      std::array<std::int64_t, 16> lane{};
      for (std::int64_t k = first; k < std::min(n, first + 4096); ++k) {
        const std::int64_t product = codes[static_cast<std::size_t>(k)] * q[static_cast<std::size_t>(k)];
        exact += product;
        lane[static_cast<std::size_t>(k % 32 / 2)] += product;
      }
      for (const std::int64_t value : lane) lanes += static_cast<std::int16_t>(value);
    }
    const auto bytes = packed(codes);
    for (const Loops* loops : {&loops_of(16), &plain_loops_of(16)}) {
      EXPECT_EQ(loops->code_dot(bytes.data(), q.data(), n, Sums::exact), exact) << n;
      EXPECT_EQ(loops->code_dot(bytes.data(), q.data(), n, Sums::int16), lanes) << n;
    }
  }
}

// ---- Sums of floats: 6.3 to 6.5 word by word ----

float tree(std::vector<float> v, bool vec_dot) {
  if (v.size() == 16)
    for (int half = 8; half > 0; half /= 2)
      for (int l = 0; l < half; ++l) v[static_cast<std::size_t>(l)] += v[static_cast<std::size_t>(l + half)];
  else {
    for (std::size_t l = 0; l < 4; ++l) v[l] = v[l] + v[l + 4];
    v[0] = vec_dot ? (v[0] + v[1]) + (v[2] + v[3]) : (v[0] + v[2]) + (v[1] + v[3]);
  }
  return v[0];
}

float vec_dot(const std::vector<float>& x, const std::vector<float>& y, std::size_t lanes, bool half) {
  std::vector<std::vector<float>> acc(4, std::vector<float>(lanes));
  const std::size_t whole = x.size() / (4 * lanes) * (4 * lanes);
  for (std::size_t i = 0; i < whole; i += 4 * lanes)
    for (std::size_t j = 0; j < 4; ++j)
      for (std::size_t l = 0; l < lanes; ++l)
        acc[j][l] = std::fma(x[i + j * lanes + l], y[i + j * lanes + l], acc[j][l]);
  std::vector<float> u(lanes);
  for (std::size_t l = 0; l < lanes; ++l) u[l] = (acc[0][l] + acc[2][l]) + (acc[1][l] + acc[3][l]);
  const float r = tree(u, true);
  if (!half) {
    float sum = r;
    for (std::size_t i = whole; i < x.size(); ++i) sum = std::fma(x[i], y[i], sum);
    return sum;
  }
  auto sum = static_cast<double>(r);
  for (std::size_t i = whole; i < x.size(); ++i) sum += static_cast<double>(x[i] * y[i]);
  return static_cast<float>(sum);
}

float tiny(const std::vector<float>& x, const std::vector<float>& y, std::size_t lanes) {
  std::vector<float> acc(lanes);
  for (std::size_t k = 0; k < x.size(); k += lanes)
    for (std::size_t l = 0; l < lanes; ++l) acc[l] = std::fma(x[k + l], y[k + l], acc[l]);
  return tree(acc, false);
}

TEST(FloatSums, FollowTheLanes) {
  Random random;
  for (const int width : {8, 16})
    for (const std::int64_t n : {32, 64, 80, 96, 128, 640, 2560}) {
      const auto lanes = static_cast<std::size_t>(width);
      const auto hx = random.halves(n), hy = random.halves(n), x = random.numbers(n), y = random.numbers(n);
      for (const Loops* loops : {&loops_of(width), &plain_loops_of(width)}) {
        EXPECT_EQ(bits(loops->dot_f16(hx.data(), hy.data(), n)), bits(vec_dot(hx, hy, lanes, true))) << n;
        EXPECT_EQ(bits(loops->dot_f32(x.data(), y.data(), n)), bits(vec_dot(x, y, lanes, false))) << n;
        EXPECT_EQ(bits(loops->dot_tiny(hx.data(), y.data(), n)), bits(tiny(hx, y, lanes))) << n;
        const auto rows = random.halves(4 * n);
        std::array<float, 4> four{};
        loops->dots_tiny(rows.data(), y.data(), n, four.data());
        for (std::int64_t r = 0; r < 4; ++r)
          EXPECT_EQ(bits(four[static_cast<std::size_t>(r)]),
                    bits(tiny({rows.begin() + r * n, rows.begin() + (r + 1) * n}, y, lanes)))
              << n << " " << r;
      }
    }
}

TEST(FloatSums, TheOrderIsSeen) {
  // Values for which the widths and the kinds of sum differ: else the test above could not tell them apart.
  Random random;
  const auto x = random.halves(2560), y = random.halves(2560);
  const float wide = loops_of(16).dot_f16(x.data(), y.data(), 2560);
  const float narrow = loops_of(8).dot_f16(x.data(), y.data(), 2560);
  EXPECT_NE(bits(wide), bits(narrow));
  EXPECT_NE(bits(wide), bits(loops_of(16).dot_tiny(x.data(), y.data(), 2560)));
  EXPECT_NE(bits(narrow), bits(loops_of(8).dot_tiny(x.data(), y.data(), 2560)));
}

TEST(FloatSums, ContextIsOneDotPerChannel) {
  Random random;
  const std::int64_t channels = 80;
  for (const int width : {8, 16})
    for (const std::int64_t cells : {1, 5, 31, 32, 33, 64, 65, 97, 130}) {
      const auto lanes = static_cast<std::size_t>(width);
      const std::int64_t padded = (cells + 31) / 32 * 32;
      const auto hp = random.halves(cells), p = random.numbers(cells), v = random.halves(cells * channels);
      std::vector<float> scratch(64 * channels), half(channels), single(channels);
      for (const Loops* loops : {&loops_of(width), &plain_loops_of(width)}) {
        loops->context_f16(hp.data(), v.data(), channels, cells, padded, channels, scratch.data(),
                           half.data());
        loops->context_tiny(p.data(), v.data(), channels, cells, channels, scratch.data(), single.data());
        for (std::int64_t d = 0; d < channels; ++d) {
          std::vector<float> a(static_cast<std::size_t>(padded)), b = a, column = a;
          for (std::int64_t c = 0; c < cells; ++c) {
            const auto at = static_cast<std::size_t>(c);
            a[at] = hp[at];
            b[at] = p[at];
            column[at] = v[static_cast<std::size_t>(c * channels + d)];
          }
          ASSERT_EQ(bits(half[static_cast<std::size_t>(d)]), bits(vec_dot(a, column, lanes, true))) << cells;
          ASSERT_EQ(bits(single[static_cast<std::size_t>(d)]), bits(tiny(column, b, lanes))) << cells;
        }
      }
    }
}

// ---- Functions ----

TEST(Exponential, KnownValuesAndEnds) {
  // Within 2 units in the last place of e^x.
  for (const int width : {8, 16}) {
    EXPECT_EQ(exponential(0.0f, width), 1.0f);
    EXPECT_EQ(exponential(-INFINITY, width), 0.0f);
    EXPECT_EQ(exponential(-1000.0f, width), 0.0f);
    EXPECT_EQ(exponential(1000.0f, width), INFINITY);
    EXPECT_TRUE(std::isnan(exponential(NAN, width)));
    for (float x = -103.5f; x < 88.5f; x += 0.0371f) {
      const double exact = std::exp(static_cast<double>(x));
      EXPECT_NEAR(static_cast<double>(exponential(x, width)), exact, 2 * (0x1p-23 * exact + 0x1p-149)) << x;
    }
  }
}

TEST(Exponential, TheWidthsDifferInTheLastBitForOneInFour) {
  Random random;
  int differ = 0;
  for (int i = 0; i < 10000; ++i) {
    const float x = (random.number() - 1) * 7.5f;  // [-15, 0)
    differ += bits(exponential(x, 8)) != bits(exponential(x, 16)) ? 1 : 0;
  }
  EXPECT_NEAR(differ, 2800, 200);  // reference-semantics 6.7: about 28 %
}

TEST(SoftMaxAndSiLU, AreTheirFormulasForEitherCompilation) {
  Random random;
  for (const int width : {8, 16})
    for (const std::int64_t n : {1, 7, 16, 33, 100}) {
      const auto given = random.numbers(n, 20);
      std::vector<float> w = given;
      for (float& v : w) v *= 0.125f;
      float greatest = w[0];
      for (const float v : w) greatest = std::max(greatest, v);
      for (float& v : w) v = exponential(v - greatest, width);
      double sum = 0;
      std::vector<float> all = w;
      all.resize(static_cast<std::size_t>((n + width - 1) / width * width));
      for (auto at = all.begin(); at != all.end(); at += width)
        sum += static_cast<double>(tree({at, at + width}, false));
      const auto inverse = static_cast<float>(1.0 / sum);
      for (const Loops* loops : {&loops_of(width), &plain_loops_of(width)}) {
        std::vector<float> p = given, s = given;
        loops->soft_max(p.data(), n, 0.125f);
        loops->silu(s.data(), n);
        for (std::size_t k = 0; k < w.size(); ++k) {
          ASSERT_EQ(bits(p[k]), bits(w[k] * inverse)) << k;
          ASSERT_EQ(bits(s[k]), bits(given[k] / (1.0f + exponential(-given[k], width)))) << k;
        }
      }
    }
}

TEST(RmsNorm, IsSummedInOrderInBinary64) {
  const std::vector<float> x{3, 4, 0, 0}, weight{1, 2, 3, 4};
  std::vector<float> y(4);
  rms_norm(x.data(), weight, 0.0f, y.data());  // mean 6.25, root 2.5
  const float scale = 1.0f / 2.5f;
  EXPECT_EQ(y, (std::vector<float>{3 * scale, 4 * scale * 2, 0, 0}));
}

// ---- Q6_K (6.11) ----

struct Q6Row {
  std::vector<std::byte> bytes = std::vector<std::byte>(kQ6Bytes);
  void set(int e, int v) {  // v: -32 .. 31
    const int h = e / 128, k = e % 128 / 32, l = e % 32, code = v + 32;
    bytes[static_cast<std::size_t>(64 * h + 32 * (k & 1) + l)] |=
        static_cast<std::byte>((code & 15) << (4 * (k / 2)));
    bytes[static_cast<std::size_t>(128 + 32 * h + l)] |= static_cast<std::byte>((code >> 4) << (2 * k));
  }
  void scale(int index, int s) { bytes[static_cast<std::size_t>(192 + index)] = static_cast<std::byte>(s); }
  void d(std::uint16_t half) { std::memcpy(bytes.data() + 208, &half, 2); }
};

TEST(Q6K, OneBlockByHand) {
  Q6Row row;
  for (int e = 0; e < 256; ++e) row.set(e, e % 64 - 32);
  for (int i = 0; i < 16; ++i) row.scale(i, i - 8);
  row.d(0x3800);  // 0.5
  std::vector<float> values(256), x(256);
  decode_q6_k(row.bytes.data(), 256, values.data());
  for (int e = 0; e < 256; ++e)
    ASSERT_EQ(values[static_cast<std::size_t>(e)],
              0.5f * static_cast<float>(e / 16 - 8) * static_cast<float>(e % 64 - 32))
        << e;
  std::int64_t sum = 0;
  for (int e = 0; e < 256; ++e) {
    x[static_cast<std::size_t>(e)] = static_cast<float>(e % 128);  // greatest 127: codes are -x, scale -1
    sum += static_cast<std::int64_t>((e / 16 - 8) * (e % 64 - 32)) * (e % 128);
  }
  BlockCodes codes;
  quantize_blocks(x, codes);
  EXPECT_EQ(codes.scale[0], -1.0f);
  EXPECT_EQ(codes.q[5], -5);
  EXPECT_EQ(dot_q6_k(row.bytes.data(), codes), 0.5f * static_cast<float>(sum));
}

TEST(Q6K, AZeroBlockHasScaleZero) {
  BlockCodes codes;
  quantize_blocks(std::vector<float>(256), codes);
  EXPECT_EQ(codes.scale[0], 0.0f);
}

}  // namespace
}  // namespace crossval::emulation
