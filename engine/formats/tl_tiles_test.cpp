#include "engine/formats/tl_tiles.h"

#include <gtest/gtest.h>

#include "engine/formats/test_ternary.h"

namespace bitnet {
namespace {

using testing_support::error_of;

TEST(TlTiles, PresetsByShape) {
  const auto one = [](TensorType type, std::uint64_t rows, std::uint64_t cols, TlTiles tiles) {
    const auto found = preset_tiles(type, {cols, rows});
    ASSERT_EQ(found.size(), 1u) << rows << " " << cols;
    EXPECT_EQ(found[0], tiles);
    EXPECT_EQ(misfit(type, {cols, rows}, tiles), "");
  };
  one(TensorType::tl1, 1536, 4096, {256, 128, 32});
  one(TensorType::tl1, 3200, 3200, {320, 128, 64});
  one(TensorType::tl2, 1536, 1536, {128, 192, 32});
  one(TensorType::tl2, 14336, 4096, {256, 96, 32});
  // Two sources, two answers.
  EXPECT_EQ(preset_tiles(TensorType::tl1, {4096, 14336}).size(), 2u);
  EXPECT_TRUE(preset_tiles(TensorType::tl1, {2560, 6912}).empty());
  EXPECT_TRUE(preset_tiles(TensorType::tl2, {1536, 14336}).empty());
}

TEST(TlTiles, SomeFitMostShapes) {
  for (const auto type : {TensorType::tl1, TensorType::tl2})
    for (const TernaryShape shape :
         {TernaryShape{2560, 6912}, {6912, 2560}, {2560, 640}, {256, 32}, {256, 256}, {640, 160}}) {
      const auto tiles = fitting_tiles(type, shape);
      ASSERT_TRUE(tiles) << shape.cols << " " << shape.rows;
      EXPECT_EQ(misfit(type, shape, *tiles), "");
    }
  EXPECT_EQ(fitting_tiles(TensorType::tl1, {256, 40}), std::nullopt);
  EXPECT_EQ(fitting_tiles(TensorType::tl2, {128, 32}), std::nullopt);
}

TEST(TlTiles, WhatDoesNotFitIsNamed) {
  EXPECT_NE(misfit(TensorType::tl1, {256, 100}, {32, 128, 32}).find("BM"), std::string::npos);
  EXPECT_NE(misfit(TensorType::tl1, {256, 64}, {32, 96, 32}).find("BK"), std::string::npos);
  EXPECT_NE(misfit(TensorType::tl1, {256, 64}, {32, 128, 128}).find("bm"), std::string::npos);
  EXPECT_NE(misfit(TensorType::tl1, {256, 64}, {32, 128, 64}).find("BM must be a multiple of bm"),
            std::string::npos);
  EXPECT_NE(misfit(TensorType::tl2, {256, 64}, {64, 96, 64}).find("bm must be 32"), std::string::npos);
  EXPECT_NE(misfit(TensorType::tl2, {256, 64}, {64, 128, 32}).find("24"), std::string::npos);
  EXPECT_NE(misfit(TensorType::tl2, {272, 64}, {64, 96, 32}).find("32"), std::string::npos);
  EXPECT_NE(misfit(TensorType::tl2, {128, 64}, {64, 96, 32}).find("256"), std::string::npos);
  EXPECT_NE(misfit(TensorType::tl1, {256, 64}, {0, 0, 0}), "");
}

TEST(TlTiles, KernelConfig) {
  const TlTable table = parse_kernel_config(
      "[Kernels_0]\nm = 1536\nk = 4096\nbm = 256\nbk = 128\nbmm = 32\n\n"
      "# a remark\r\n[Kernels_1]\r\nm=4096\r\nk=1536\r\nbm=256\r\nbk=96\r\nbmm=64");
  ASSERT_EQ(table.size(), 2u);
  EXPECT_EQ(find_tiles(table, {4096, 1536}), (TlTiles{256, 128, 32}));
  EXPECT_EQ(find_tiles(table, {1536, 4096}), (TlTiles{256, 96, 64}));
  EXPECT_EQ(find_tiles(table, {1536, 1536}), std::nullopt);
}

TEST(TlTiles, KernelConfigsThatSayNothingOrTwoThings) {
  const std::string good = "[a]\nm=1\nk=2\nbm=3\nbk=4\nbmm=5\n";
  const auto message = [](const std::string& text) { return error_of([&] { parse_kernel_config(text); }); };
  EXPECT_EQ(message(good + good), "");
  EXPECT_NE(message("").find("names no matrix"), std::string::npos);
  EXPECT_NE(message("m=1\n").find("line 1: expected a [section]"), std::string::npos);
  EXPECT_NE(message("[a]\nm=1x\n").find("line 2"), std::string::npos);
  EXPECT_NE(message("[a]\nm\n").find("line 2"), std::string::npos);
  EXPECT_NE(message("[a]\nm=1\nm=1\n").find("line 3: the key occurs twice"), std::string::npos);
  EXPECT_NE(message("[a]\nm=1\nk=2\nbm=3\nbk=4\n").find("has no `bmm`"), std::string::npos);
  EXPECT_NE(message(good + "[b]\nm=1\nk=2\nbm=3\nbk=8\nbmm=5\n").find("has other tiles further up"),
            std::string::npos);
}

}  // namespace
}  // namespace bitnet
