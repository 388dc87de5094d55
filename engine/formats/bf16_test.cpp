#include "engine/formats/bf16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace bitnet {
namespace {

TEST(Bf16, EveryNumberComesBack) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const bf16 x = {static_cast<std::uint16_t>(bits)};
    const float value = bf16_to_f32(x);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(value), bits << 16);
    if (std::isnan(value)) {
      ASSERT_EQ(f32_to_bf16(value).bits, bits | 0x40u);
    } else {
      ASSERT_EQ(f32_to_bf16(value).bits, bits);
    }
  }
}

TEST(Bf16, RoundsToTheNearestTiesToEven) {
  const auto rounded = [](std::uint32_t bits) { return f32_to_bf16(std::bit_cast<float>(bits)).bits; };
  EXPECT_EQ(rounded(0x3f807fff), 0x3f80);
  EXPECT_EQ(rounded(0x3f808000), 0x3f80);  // a tie
  EXPECT_EQ(rounded(0x3f808001), 0x3f81);
  EXPECT_EQ(rounded(0x3f818000), 0x3f82);  // a tie
  EXPECT_EQ(rounded(0xbf818000), 0xbf82);
  EXPECT_EQ(rounded(0x3fff8000), 0x4000);  // into the next power of two
  EXPECT_EQ(rounded(0x00018000), 0x0002);  // subnormal
  EXPECT_EQ(rounded(0x007fffff), 0x0080);  // the greatest subnormal becomes normal
  EXPECT_EQ(rounded(0x7f7fffff), 0x7f80);  // overflow
  EXPECT_EQ(rounded(0x7f800000), 0x7f80);
  EXPECT_EQ(rounded(0x7f800001), 0x7fc0);  // a NaN whose payload is cut stays one
}

}  // namespace
}  // namespace bitnet
