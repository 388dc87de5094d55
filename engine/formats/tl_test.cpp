// TL1 and TL2 against the formulas of reference-semantics 4.2 and 4.3, which were checked there against the
// original packers. The code under test walks the tiles; these go from the byte to the element.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <stdexcept>

#include "engine/formats/test_ternary.h"
#include "engine/formats/tl1.h"
#include "engine/formats/tl2.h"

namespace bitnet {
namespace {

using testing_support::error_of;
using testing_support::ternary;
using testing_support::value;

std::vector<std::byte> packed(TensorType type, const std::vector<std::int8_t>& w, TernaryShape shape,
                              TlTiles tiles, float scale = 0.7f) {
  std::vector<std::byte> tensor(tensor_bytes(type, shape.cols, shape.rows).value(), std::byte{0xee});
  (type == TensorType::tl1 ? tl1::encode : tl2::encode)(w, shape, tiles, scale, tensor);
  return tensor;
}

std::vector<std::int8_t> unpacked(TensorType type, const std::vector<std::byte>& tensor, TernaryShape shape,
                                  TlTiles tiles) {
  std::vector<std::int8_t> w(shape.elements());
  EXPECT_EQ((type == TensorType::tl1 ? tl1::decode : tl2::decode)(tensor, shape, tiles, w), 0.7f);
  return w;
}

// Reads mixed-radix digits, least significant first.
struct Digits {
  std::size_t left;
  std::size_t take(std::size_t radix) {
    const std::size_t digit = left % radix;
    left /= radix;
    return digit;
  }
};

int rounded(int a, int b) {
  return static_cast<int>(std::lround(static_cast<double>(a) / b));
}

void put_pair(std::vector<std::int8_t>& w, std::size_t at, int nibble) {
  const int v = nibble - 4;
  w[at] = static_cast<std::int8_t>(rounded(v, 3));
  w[at + 1] = static_cast<std::int8_t>(v - 3 * w[at]);
}

std::vector<std::int8_t> tl1_by_formula(const std::vector<std::byte>& tensor, TernaryShape shape, TlTiles t) {
  const std::size_t by = 256 / t.stripe;
  std::vector<std::int8_t> w(shape.elements());
  for (std::size_t b = 0; b < shape.elements() / 4; ++b) {
    Digits d{b};
    const std::size_t rl = d.take(16), q = d.take(by / 4), rg = d.take(t.stripe / 16),
                      yb = d.take(t.cols / by), rb = d.take(t.rows / t.stripe),
                      kb = d.take(shape.cols / t.cols), mb = d.left;
    const std::size_t row = mb * t.rows + rb * t.stripe + rg * 16 + rl;
    for (std::size_t e = 0; e < 2; ++e) {
      const std::size_t pair = kb * (t.cols / 2) + yb * (by / 2) + q * 2 + e;
      put_pair(w, row * shape.cols + 2 * pair, e == 0 ? value(tensor[b]) >> 4 : value(tensor[b]) & 15);
    }
  }
  return w;
}

std::vector<std::int8_t> tl2_by_formula(const std::vector<std::byte>& tensor, TernaryShape shape, TlTiles t) {
  const std::size_t M = shape.rows, K = shape.cols, K3 = K / t.cols * t.cols, K2 = K - K3;
  const std::size_t P[] = {0, 2, 1, 3};
  const std::size_t signs = M * K3 / 6, pairs = signs + M * K3 / 24;
  std::vector<std::int8_t> w(shape.elements());
  const auto row_of = [&](std::size_t mb, std::size_t rb, std::size_t s) {
    return mb * t.rows + rb * 32 + P[s / 8] * 8 + s % 8;
  };
  for (std::size_t b = 0; b < signs; ++b) {
    Digits d{b};
    const std::size_t s = d.take(32), yb = d.take(t.cols / 6), rb = d.take(t.rows / 32),
                      kb = d.take(K3 / t.cols), mb = d.left;
    const std::size_t row = row_of(mb, rb, s), r = row % 32;
    for (std::size_t e = 0; e < 2; ++e) {
      const std::size_t u = yb * 2 + e, p8 = u % 8;
      const std::size_t block = ((mb * (K3 / t.cols) + kb) * (t.rows / 32) + rb) * (t.cols / 24) + u / 8;
      std::uint16_t word = 0;
      std::memcpy(&word, tensor.data() + signs + 32 * block + 2 * (r % 16), 2);
      const bool negative = (word >> (15 - (2 * p8 + r / 16)) & 1) != 0;
      const int magnitude = e == 0 ? value(tensor[b]) >> 4 : value(tensor[b]) & 15;
      const int v = negative ? -magnitude : magnitude;
      const std::size_t at = row * K + 3 * (kb * (t.cols / 3) + u);
      w[at] = static_cast<std::int8_t>(rounded(v, 9));
      const int rem = v - 9 * w[at];
      w[at + 1] = static_cast<std::int8_t>(rounded(rem, 3));
      w[at + 2] = static_cast<std::int8_t>(rem - 3 * w[at + 1]);
    }
  }
  for (std::size_t b = 0; b < M * K2 / 4; ++b) {
    Digits d{b};
    const std::size_t s = d.take(32), yb = d.take(8), rb = d.take(t.rows / 32), kb = d.take(K2 / 32),
                      mb = d.left;
    for (std::size_t e = 0; e < 2; ++e) {
      const std::size_t pair = kb * 16 + yb * 2 + e;
      put_pair(w, row_of(mb, rb, s) * K + K3 + 2 * pair,
               e == 0 ? value(tensor[pairs + b]) >> 4 : value(tensor[pairs + b]) & 15);
    }
  }
  return w;
}

struct Case {
  TernaryShape shape;
  TlTiles tiles;
};
constexpr Case kTl1Cases[] = {
    {{128, 32}, {32, 128, 32}},  {{256, 128}, {64, 64, 64}},   {{384, 96}, {48, 128, 16}},
    {{256, 320}, {320, 64, 32}}, {{512, 256}, {128, 128, 64}},
};
constexpr Case kTl2Cases[] = {
    {{256, 32}, {32, 96, 32}},    // 64 columns in pairs
    {{384, 64}, {64, 96, 32}},    // none
    {{320, 320}, {160, 96, 32}},  // 32
    {{512, 256}, {128, 192, 32}}, {{384, 64}, {32, 24, 32}},
};

TEST(Tl1, IsThatOfTheFormula) {
  for (const Case& c : kTl1Cases) {
    ASSERT_EQ(misfit(TensorType::tl1, c.shape, c.tiles), "");
    const auto w = ternary(c.shape.elements(), c.shape.cols);
    const auto tensor = packed(TensorType::tl1, w, c.shape, c.tiles);
    EXPECT_EQ(tl1_by_formula(tensor, c.shape, c.tiles), w) << c.shape.cols;
    EXPECT_EQ(unpacked(TensorType::tl1, tensor, c.shape, c.tiles), w) << c.shape.cols;
  }
}

TEST(Tl2, IsThatOfTheFormula) {
  for (const Case& c : kTl2Cases) {
    ASSERT_EQ(misfit(TensorType::tl2, c.shape, c.tiles), "");
    const auto w = ternary(c.shape.elements(), c.shape.cols);
    const auto tensor = packed(TensorType::tl2, w, c.shape, c.tiles);
    EXPECT_EQ(tl2_by_formula(tensor, c.shape, c.tiles), w) << c.shape.cols;
    EXPECT_EQ(unpacked(TensorType::tl2, tensor, c.shape, c.tiles), w) << c.shape.cols;
  }
}

TEST(Tl1, FirstBytesByHand) {
  // Row 0 begins 1 -1 | 0 1: nibbles 4 + 3 - 1 = 6 and 4 + 0 + 1 = 5. Byte 1 is row 1 at the same columns.
  std::vector<std::int8_t> w(128 * 32, 0);
  w[0] = 1, w[1] = -1, w[3] = 1;
  w[128] = -1;
  const auto tensor = packed(TensorType::tl1, w, {128, 32}, {32, 128, 32});
  EXPECT_EQ(value(tensor[0]), 0x65);
  EXPECT_EQ(value(tensor[1]), 0x14);
  EXPECT_EQ(value(tensor[2]), 0x44);
  float scale = 0;
  std::memcpy(&scale, tensor.data() + 1024, 4);
  EXPECT_EQ(scale, 0.7f);
  for (std::size_t i = 1028; i < tensor.size(); ++i) EXPECT_EQ(value(tensor[i]), 0);
}

TEST(Tl2, FirstBytesByHand) {
  // Row 0 begins 1 0 -1 | -1 -1 1: 8 and -11. Byte 8 is row 16.
  std::vector<std::int8_t> w(256 * 32, 0);
  w[0] = 1, w[2] = -1, w[3] = -1, w[4] = -1, w[5] = 1;
  w[16 * 256] = -1;
  const auto tensor = packed(TensorType::tl2, w, {256, 32}, {32, 96, 32});
  EXPECT_EQ(value(tensor[0]), 0x8b);
  EXPECT_EQ(value(tensor[8]), 0x90);
  EXPECT_EQ(value(tensor[1]), 0x00);
  // Signs begin at 32 * 192 / 6. Word 0: row 16's first triple is bit 14, row 0's second bit 13.
  EXPECT_EQ(value(tensor[1024]), 0x00);
  EXPECT_EQ(value(tensor[1025]), 0x60);
  EXPECT_EQ(value(tensor[1026]), 0x00);
  // Pairs of zeros begin at 1024 + 256; zeros follow, up to the scale.
  EXPECT_EQ(value(tensor[1280]), 0x44);
  EXPECT_EQ(value(tensor[1280 + 511]), 0x44);
  ASSERT_EQ(tensor.size(), 2048u + 32);
  for (std::size_t i = 1792; i < 2048; ++i) EXPECT_EQ(value(tensor[i]), 0) << i;
  float scale = 0;
  std::memcpy(&scale, tensor.data() + 2048, 4);
  EXPECT_EQ(scale, 0.7f);
}

TEST(Tl, NibblesThatStandForNothingAreRefused) {
  const auto w = ternary(256 * 32, 6);
  std::vector<std::int8_t> back(w.size());
  auto one = packed(TensorType::tl1, w, {256, 32}, {32, 128, 32});
  one[1] = std::byte{0x09};
  EXPECT_NE(error_of([&] {
              tl1::decode(one, {256, 32}, {32, 128, 32}, back);
            }).find("row 1, column 2"),
            std::string::npos);
  auto two = packed(TensorType::tl2, w, {256, 32}, {32, 96, 32});
  for (const auto& [byte, place] : {std::pair{1u, "row 1, column 0"}, {1281u, "row 1, column 192"}}) {
    auto bad = two;
    bad[byte] = std::byte{0xe0};
    EXPECT_NE(error_of([&] {
                tl2::decode(bad, {256, 32}, {32, 96, 32}, back);
              }).find(place),
              std::string::npos);
  }
}

TEST(Tl, TilesThatDoNotFitAreTheCallersMistake) {
  const auto w = ternary(256 * 32, 6);
  std::vector<std::byte> tensor(256 * 32 / 4 + 32);
  EXPECT_THROW(tl1::encode(w, {256, 32}, {48, 128, 32}, 1, tensor), std::invalid_argument);
  EXPECT_THROW(tl2::encode(w, {256, 32}, {32, 128, 32}, 1, tensor), std::invalid_argument);
  EXPECT_THROW(tl1::encode(w, {256, 32}, {32, 128, 32}, 1, std::span(tensor).first(100)),
               std::invalid_argument);
}

}  // namespace
}  // namespace bitnet
