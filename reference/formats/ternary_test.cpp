#include "reference/formats/ternary.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "engine/error.h"
#include "engine/formats/test_ternary.h"
#include "engine/gguf/test_bytes.h"

namespace crossval {
namespace {

using bitnet::I2sLayout;
using bitnet::TensorType;
using bitnet::TernaryFormat;
using bitnet::TernaryShape;
using bitnet::gguf::File;
using bitnet::testing_support::error_of;
using bitnet::testing_support::ternary;
using Bytes = std::vector<std::byte>;

constexpr TernaryShape kShape = {768, 96};

// The matrix in a format, as the engine writes it, with its tiles for the user to name.
struct Written {
  Bytes bytes;
  bitnet::gguf::TernaryOptions options;

  Bytes as_i2s() const {
    const File file = File::parse(bytes, "m.gguf");
    std::vector<Bytes> memory;
    const std::byte* codes = crossval::as_i2s(file, file.tensors()[0], options, memory);
    return {codes, codes + kShape.elements() / 4 + 4};
  }
};

Written written(const TernaryFormat& format, const std::vector<std::int8_t>& w, float scale) {
  bitnet::gguf::testing::Bytes b;
  b.header(1, 0).tensor("w", {kShape.cols, kShape.rows}, bitnet::file_number(format.type), 0).pad(32);
  Bytes tensor(bitnet::tensor_bytes(format.type, kShape.cols, kShape.rows).value());
  bitnet::encode_ternary(format, w, kShape, scale, tensor);
  b.bytes.insert(b.bytes.end(), tensor.begin(), tensor.end());
  return {b.bytes, {.layout = format.i2s, .tiles = {{kShape, format.tiles}}}};
}

std::vector<TernaryFormat> formats() {
  std::vector<TernaryFormat> all;
  for (const I2sLayout layout : bitnet::kI2sLayouts) all.push_back({TensorType::i2_s, layout, {}});
  for (const auto type : {TensorType::tq1_0, TensorType::tq2_0, TensorType::iq1_bn, TensorType::iq2_bn,
                          TensorType::iq2_bn_r4, TensorType::bitnet32_f16})
    all.push_back({type, I2sLayout::x86, {}});
  for (const bitnet::TlTiles tiles : {bitnet::TlTiles{32, 128, 32}, {96, 64, 16}, {48, 256, 16}})
    all.push_back({TensorType::tl1, I2sLayout::x86, tiles});
  for (const bitnet::TlTiles tiles : {bitnet::TlTiles{32, 96, 32}, {96, 192, 32}, {96, 672, 32}})
    all.push_back({TensorType::tl2, I2sLayout::x86, tiles});
  return all;
}

// Two decoders that share no code: the engine's, and this one from the formulas.
TEST(ReferenceTernary, DecodesWhatTheEngineWrites) {
  auto w = ternary(kShape.elements(), 5);
  for (std::size_t k = 768; k < 2 * 768; ++k) w[k] = 0;  // a row of zeros
  const Bytes expected = written({TensorType::i2_s, I2sLayout::x86, {}}, w, 0.75f).as_i2s();
  std::vector<std::int8_t> back(w.size());
  Bytes whole = expected;
  whole.resize(kShape.elements() / 4 + 32);
  EXPECT_EQ(bitnet::decode_ternary({}, whole, kShape, back), 0.75f);
  EXPECT_EQ(back, w);
  for (const TernaryFormat& format : formats()) {
    ASSERT_EQ(bitnet::misfit(format, kShape), "") << bitnet::type_name(format.type);
    EXPECT_EQ(written(format, w, 0.75f).as_i2s(), expected)
        << bitnet::type_name(format.type) << " " << format.tiles.cols;
  }
}

TEST(ReferenceTernary, I2sOnX86StaysWhereItIs) {
  const auto w = ternary(kShape.elements(), 5);
  const Written x86 = written({TensorType::i2_s, I2sLayout::x86, {}}, w, 0.75f);
  const File file = File::parse(x86.bytes, "m.gguf");
  std::vector<Bytes> memory;
  EXPECT_EQ(as_i2s(file, file.tensors()[0], {}, memory), file.tensors()[0].data.data());
  EXPECT_TRUE(memory.empty());
}

TEST(ReferenceTernary, WhatIsNoMatrixWithOneScaleIsRefused) {
  const auto w = ternary(kShape.elements(), 5);
  const auto damaged = [&](const TernaryFormat& format, std::size_t from_end, unsigned set) {
    Written x = written(format, w, 0.75f);
    x.bytes[x.bytes.size() - from_end] = static_cast<std::byte>(set);
    return error_of([&] { x.as_i2s(); });
  };
  EXPECT_NE(damaged({TensorType::tq2_0, {}, {}}, 3, 0xff).find("w: the code in row 95, column"),
            std::string::npos);
  EXPECT_NE(damaged({TensorType::tq2_0, {}, {}}, 1, 0x40).find("w: the scale in row 95, column 5"),
            std::string::npos);
  EXPECT_NE(damaged({TensorType::iq2_bn, {}, {}}, 1, 0xff).find("w: the code in row 95"), std::string::npos);
  EXPECT_NE(damaged({TensorType::i2_s, I2sLayout::arm, {}}, 40, 0xff).find("w: the code in row 95"),
            std::string::npos);
  EXPECT_NE(damaged({TensorType::bitnet32_f16, {}, {}}, 5, 0x00).find("w: the code in row 95"),
            std::string::npos);
  EXPECT_NE(damaged({TensorType::tl1, {}, {32, 128, 32}}, 33, 0xff).find("w: the code in row 95"),
            std::string::npos);
}

}  // namespace
}  // namespace crossval
