#include "engine/generate/random.h"

#include <gtest/gtest.h>

namespace bitnet {
namespace {

// Published outputs of the two generators.
TEST(Random, Splitmix64) {
  std::uint64_t state = 1234567;
  for (const std::uint64_t expected :
       {std::uint64_t{6457827717110365317}, std::uint64_t{3203168211198807973},
        std::uint64_t{9817491932198370423u}, std::uint64_t{4593380528125082431},
        std::uint64_t{16408922859458223821u}}) {
    EXPECT_EQ(splitmix64(state), expected);
  }
}

TEST(Random, Xoshiro256StarStar) {
  Random random({1, 2, 3, 4});
  for (const std::uint64_t expected :
       {std::uint64_t{11520}, std::uint64_t{0}, std::uint64_t{1509978240}, std::uint64_t{1215971899390074240},
        std::uint64_t{1216172134540287360}, std::uint64_t{607988272756665600}}) {
    EXPECT_EQ(random.next(), expected);
  }
}

TEST(Random, SeedsGiveTheirOwnStreams) {
  Random a(0);
  Random b(0);
  Random c(1);
  int equal = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t x = a.next();
    EXPECT_EQ(x, b.next());
    equal += x == c.next();
  }
  EXPECT_EQ(equal, 0);
}

TEST(Random, UniformIsInRangeAndEven) {
  Random random(3);
  double sum = 0;
  double lowest = 1;
  double highest = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double u = random.uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    lowest = u < lowest ? u : lowest;
    highest = u > highest ? u : highest;
  }
  // Five standard deviations of the mean of uniform numbers: 5 / sqrt(12 * kDraws).
  EXPECT_NEAR(sum / kDraws, 0.5, 0.0046);
  EXPECT_LT(lowest, 1e-3);
  EXPECT_GT(highest, 1 - 1e-3);
}

}  // namespace
}  // namespace bitnet
