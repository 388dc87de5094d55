// What the matchers let pass, and what they say when they do not.

#include "crossval/gtest/parity.h"

#include <gtest/gtest-spi.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "engine/error.h"

namespace crossval {
namespace {

using Values = std::vector<float>;

// 2 rows of 4.
const Values kExpected = {1, 2, 3, 4, 5, 6, 7, 8};

std::string message(const Rows& actual, const Rows& expected, const ParityGate& gate) {
  const testing::AssertionResult result = parity("mine", "theirs", "gate", actual, expected, gate);
  return result ? "passes" : result.message();
}

TEST(Parity, EqualValuesPassEveryGate) {
  EXPECT_PARITY(kExpected, kExpected, same_bits());
  EXPECT_PARITY(Rows(kExpected, 4), Rows(kExpected, 4), local_gate("ffn_act"));
  EXPECT_PARITY(kExpected, kExpected, local_gate("ffn_down"));
  EXPECT_PARITY(kExpected, kExpected, free_gate("l_out-3"));
  ASSERT_PARITY(std::vector<std::int8_t>({1, -1}), std::vector<std::int8_t>({1, -1}), same_bits());
}

TEST(Parity, TheTextTellsHowManyWhereAndWhichBound) {
  Values actual = kExpected;
  actual[2] = 3.5f;
  actual[5] = 6.75f;
  EXPECT_EQ(
      message(Rows(actual, 4), Rows(kExpected, 4), local_gate("ffn_act")),
      "mine against theirs\n"
      "  mismatched 2 of 8 values (25 %)\n"
      "  greatest absolute difference 0.75 at [1, 1]: actual 6.75, expected 6\n"
      "  greatest relative difference 0.167 at [0, 2]: actual 3.5, expected 3\n"
      "  row 0, the worst of 2 failing rows of 2: nmse 0.00833333333 > 1e-06; gate local.nmse of ffn_act-0, "
      "crossval's default gates\n"
      "  cosine 0.997364949, NMSE 0.00833, norm ratio 1.05277");
}

TEST(Parity, WithinTheGateIsNoFailureAndBitsAreStricter) {
  Values actual = kExpected;
  actual[7] = std::nextafter(actual[7], 9.0f);
  EXPECT_PARITY(actual, kExpected, local_gate("ffn_act"));
  const std::string text = message(actual, kExpected, same_bits());
  EXPECT_NE(text.find("mismatched 1 of 8 values (12.5 %)"), std::string::npos) << text;
  EXPECT_NE(text.find("at [7]: actual 8.00000095, expected 8"), std::string::npos) << text;
  EXPECT_NE(text.find("bits 1 > 0"), std::string::npos) << text;
}

TEST(Parity, OneBadRowAmongManyGoodOnesFails) {
  Values expected(1000 * 4, 1.0f), actual = expected;
  actual[777 * 4 + 3] = -1;
  const std::string text = message(Rows(actual, 4), Rows(expected, 4), free_gate("l_out"));
  EXPECT_NE(text.find("at [777, 3]: actual -1, expected 1"), std::string::npos) << text;
  EXPECT_NE(text.find("row 777, the worst of 1 failing rows of 1000"), std::string::npos) << text;
}

TEST(Parity, AScaleThatCosinesCannotSeeFails) {
  Values actual = kExpected;
  for (float& v : actual) v *= 1.3f;
  EXPECT_NE(message(actual, kExpected, free_gate("l_out")).find("> 0.02; gate free.norm_ratio of l_out-0"),
            std::string::npos);
}

TEST(Parity, NothingComparedAndNothingFiniteNeverPass) {
  EXPECT_NE(message(Values{}, Values{}, same_bits()).find("nothing was compared"), std::string::npos);
  EXPECT_EQ(message(Values{1}, kExpected, same_bits()), "mine has 1 values, theirs has 8");
  EXPECT_NE(message(Rows(kExpected, 3), Rows(kExpected, 3), same_bits()).find("do not fit"),
            std::string::npos);
  EXPECT_NE(message(Rows(kExpected, 2), Rows(kExpected, 4), same_bits()).find("do not fit"),
            std::string::npos);
  EXPECT_NE(message(kExpected, kExpected, ParityGate{}).find("nothing would be judged"), std::string::npos);
  Values nan = kExpected;
  nan[3] = std::numeric_limits<float>::quiet_NaN();
  for (const ParityGate& gate : {local_gate("ffn_act"), free_gate("l_out")}) {
    EXPECT_NE(message(nan, nan, gate), "passes") << "not finite on either side";
    const std::string text = message(nan, kExpected, gate);
    EXPECT_NE(text.find("difference nan at [3]: actual nan, expected 4"), std::string::npos) << text;
  }
}

TEST(Parity, IntegersAreExactWhateverTheGate) {
  const std::vector<std::int8_t> expected = {1, -2, 0, 127}, actual = {1, -2, 1, 120};
  const testing::AssertionResult result = parity("q", "codes", "", actual, expected, free_gate("l_out"));
  ASSERT_FALSE(result);
  EXPECT_STREQ(result.message(),
               "q against codes\n"
               "  mismatched 2 of 4 values (50 %)\n"
               "  greatest absolute difference 7 at [3]: actual 120, expected 127\n"
               "  greatest relative difference inf at [2]: actual 1, expected 0\n"
               "  integers are exact: none may differ");
  EXPECT_NONFATAL_FAILURE(EXPECT_PARITY((std::vector<int>{1}), (std::vector<int>{2}), same_bits()),
                          "mismatched 1 of 1");
}

TEST(Parity, GatesOfAFileAndNamesOfTaps) {
  const std::string file = testing::TempDir() + "parity_gates.json";
  std::ofstream(file)
      << R"({"schema":"crossval.gates/1","gates":[{"name":"mine","mode":"local","metric":"nmse",)"
      << R"("taps":["ffn_*"],"threshold":0.5,"source":"measured by us"}]})";
  Values actual = kExpected;
  actual[0] = 2;
  EXPECT_PARITY(actual, kExpected, file_gate(file, "ffn_act", true));
  actual[0] = 100;
  EXPECT_NE(message(actual, kExpected, file_gate(file, "ffn_act", true))
                .find("gate mine of ffn_act-0, measured by us"),
            std::string::npos);
  EXPECT_THROW(file_gate(file, "l_out", true), bitnet::InputError);
  EXPECT_THROW(local_gate("fnn_act"), bitnet::InputError);
}

}  // namespace
}  // namespace crossval
