#include "engine/formats/tensor_type.h"

#include <gtest/gtest.h>

#include <limits>

namespace bitnet {
namespace {

TEST(TensorType, NamesForMessages) {
  EXPECT_EQ(type_name(0), "F32");
  EXPECT_EQ(type_name(36), "I2_S");
  EXPECT_EQ(type_name(40), "NVFP4");
  EXPECT_EQ(type_name(135), "IQ2_BN");
  EXPECT_EQ(type_name(335), "IQ2_BN_R4");
  EXPECT_EQ(type_name(399), "Q8_K_R8");
  EXPECT_EQ(type_name(400), "");
  EXPECT_EQ(type_name(60), "");
  EXPECT_EQ(type_name(std::numeric_limits<std::uint32_t>::max()), "");
  EXPECT_EQ(type_text(40), "type 40 (NVFP4)");
  EXPECT_EQ(type_text(60), "type 60 (unknown)");
}

TEST(TensorType, OnlyEnumeratorsConvert) {
  for (const std::uint32_t n :
       {0u, 1u, 2u, 6u, 8u, 12u, 14u, 30u, 34u, 35u, 36u, 37u, 38u, 39u, 134u, 135u, 335u}) {
    ASSERT_EQ(tensor_type(n), static_cast<TensorType>(n));
    EXPECT_FALSE(type_name(n).empty());
  }
  for (const std::uint32_t n : {3u, 7u, 31u, 40u, 337u, 1000u, 0x10000u, 0x10001u})
    EXPECT_EQ(tensor_type(n), std::nullopt) << n;
  EXPECT_EQ(tensor_type(42), TensorType::tl2);  // unless its size says otherwise
}

TEST(TensorType, BitNetRsHasTheNumberOfI2s) {
  for (const auto type : {TensorType::i2_s, TensorType::bitnet32_f16, TensorType::qk256})
    EXPECT_EQ(file_number(type), 36u);
  EXPECT_EQ(file_number(TensorType::iq2_bn), 135u);
  EXPECT_EQ(type_name(TensorType::qk256), "QK256");
  EXPECT_EQ(type_name(TensorType::bitnet32_f16), "BitNet32-F16");
  EXPECT_EQ(type_name(TensorType::i2_s), "I2_S");
}

// Bytes of one tensor of 512 x 3 elements.
TEST(TensorType, Sizes) {
  EXPECT_EQ(tensor_bytes(TensorType::f32, 512, 3), 6144u);
  EXPECT_EQ(tensor_bytes(TensorType::f16, 512, 3), 3072u);
  EXPECT_EQ(tensor_bytes(TensorType::bf16, 512, 3), 3072u);
  EXPECT_EQ(tensor_bytes(TensorType::q4_0, 512, 3), 3u * 16 * 18);
  EXPECT_EQ(tensor_bytes(TensorType::q5_0, 512, 3), 3u * 16 * 22);
  EXPECT_EQ(tensor_bytes(TensorType::q8_0, 512, 3), 3u * 16 * 34);
  EXPECT_EQ(tensor_bytes(TensorType::q4_k, 512, 3), 3u * 2 * 144);
  EXPECT_EQ(tensor_bytes(TensorType::q6_k, 512, 3), 3u * 2 * 210);
  EXPECT_EQ(tensor_bytes(TensorType::tq1_0, 512, 3), 3u * 2 * 54);
  EXPECT_EQ(tensor_bytes(TensorType::tq2_0, 512, 3), 3u * 2 * 66);
  EXPECT_EQ(tensor_bytes(TensorType::i2_s, 512, 3), 512u * 3 / 4 + 32);
  EXPECT_EQ(tensor_bytes(TensorType::tl1, 512, 3), 512u * 3 / 4 + 32);
  EXPECT_EQ(tensor_bytes(TensorType::i2_s, 5, 1), 33u);  // integer division
  EXPECT_EQ(tensor_bytes(TensorType::iq1_bn, 512, 3), 3u * (2 + 8 * 13));
  EXPECT_EQ(tensor_bytes(TensorType::iq2_bn, 512, 3), 3u * (4 + 8 * 16));
  EXPECT_EQ(tensor_bytes(TensorType::bitnet32_f16, 512, 3), 3u * 16 * 10);
  EXPECT_EQ(tensor_bytes(TensorType::qk256, 512, 3), 3u * 2 * 64);
  EXPECT_EQ(tensor_bytes(TensorType::qk256, 300, 3), 3u * 2 * 64);  // rows are filled up
  EXPECT_EQ(tensor_bytes(TensorType::i8_s, 512, 3), std::nullopt);
}

TEST(TensorType, Tl2Sizes) {
  // (K - 256) * M / 3 * 5 / 8 + 256 * M / 2 * 4 / 8, rounded up to 32, and 32 more.
  EXPECT_EQ(tensor_bytes(TensorType::tl2, 4096, 1536), (3840u * 1536 / 3 * 5 / 8 + 256u * 1536 / 4) + 32);
  EXPECT_EQ(tensor_bytes(TensorType::tl2, 3200, 3200),
            2167520u);  // 1962666 + 204800 -> 2167488, + 32
  EXPECT_EQ(tensor_bytes(TensorType::tl2, 256, 32), 256u * 32 / 4 + 32);
  EXPECT_EQ(tensor_bytes(TensorType::tl2, 128, 32), std::nullopt);
}

TEST(TensorType, RowsMustDivideIntoBlocks) {
  EXPECT_EQ(tensor_bytes(TensorType::q8_0, 48, 2), std::nullopt);
  EXPECT_EQ(tensor_bytes(TensorType::q6_k, 128, 2), std::nullopt);  // though two rows together would
  EXPECT_EQ(block_elements(TensorType::q6_k), 256u);
  EXPECT_EQ(block_elements(TensorType::f32), 1u);
}

TEST(TensorType, SizesBeyond63BitsAreNothing) {
  const std::uint64_t big = std::uint64_t{1} << 62;
  for (const auto type : {TensorType::f32, TensorType::f16, TensorType::q8_0, TensorType::i2_s,
                          TensorType::tl2, TensorType::iq1_bn, TensorType::iq2_bn, TensorType::qk256}) {
    EXPECT_EQ(tensor_bytes(type, big, 256), std::nullopt);
    EXPECT_EQ(tensor_bytes(type, 256, std::numeric_limits<std::uint64_t>::max()), std::nullopt);
  }
  EXPECT_EQ(tensor_bytes(TensorType::f32, big, 1), std::nullopt);
  EXPECT_EQ(tensor_bytes(TensorType::f32, big / 4, 1), big);
}

}  // namespace
}  // namespace bitnet
