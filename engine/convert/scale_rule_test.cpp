#include "engine/convert/scale_rule.h"

#include <gtest/gtest.h>

namespace bitnet::hf {
namespace {

const std::vector<float> kAroundOne = {0.744f, 1.5f, 4.6f};
const std::vector<float> kWeights = {0.01f, 0.02f, 0.04f};
const std::vector<float> kInverses = {25.0f, 50.0f, 100.0f};

TEST(ScaleRule, FollowsTheConfiguration) {
  const ScaleFinding automatic = weigh({true, "autobitlinear", kAroundOne, {}});
  EXPECT_EQ(automatic.rule, ScaleRule::multiply);
  EXPECT_EQ(
      automatic.reason,
      "quantization_config.linear_class is autobitlinear: multiply; the scales are 0.744 to 4.6, which says "
      "nothing");
  EXPECT_EQ(weigh({true, "bitlinear", kAroundOne, {}}).rule, ScaleRule::divide);
  EXPECT_EQ(weigh({true, std::nullopt, kAroundOne, {}}).rule, ScaleRule::divide);
}

TEST(ScaleRule, FollowsTheMagnitudes) {
  EXPECT_EQ(weigh({false, std::nullopt, kWeights, {}}).rule, ScaleRule::multiply);
  EXPECT_EQ(weigh({false, std::nullopt, kInverses, {}}).rule, ScaleRule::divide);
  EXPECT_EQ(weigh({false, std::nullopt, kInverses, {}}).reason,
            "the scales are 25 to 100, the inverse of a weight's size: divide");
}

TEST(ScaleRule, FollowsTheMasterWeights) {
  EXPECT_EQ(weigh({false, std::nullopt, {1.5f}, {{1.5f, 1.501f}}}).rule, ScaleRule::multiply);
  EXPECT_EQ(weigh({false, std::nullopt, {1.5f}, {{1.5f, 0.6667f}}}).rule, ScaleRule::divide);
  EXPECT_EQ(weigh({false, std::nullopt, {1.5f}, {{1.5f, 0.5f}}}).rule, std::nullopt);
}

TEST(ScaleRule, DoesNotGuess) {
  EXPECT_EQ(weigh({}).rule, std::nullopt);
  EXPECT_EQ(weigh({}).reason, "there is no evidence");
  EXPECT_EQ(weigh({false, std::nullopt, kAroundOne, {}}).rule, std::nullopt);
  // Evidence against evidence.
  EXPECT_EQ(weigh({true, "autobitlinear", kInverses, {}}).rule, std::nullopt);
  EXPECT_EQ(weigh({true, std::nullopt, kWeights, {}}).rule, std::nullopt);
  // The first and the last agree.
  EXPECT_EQ(weigh({true, "bitlinear", kWeights, {{0.02f, 50.0f}}}).rule, std::nullopt);
  // Where both would be the same it says so of both.
  EXPECT_EQ(weigh({false, std::nullopt, {1.0f}, {{1.0f, 1.0f}}}).rule, std::nullopt);
}

TEST(ScaleRule, NamesAreFlags) {
  for (const ScaleRule rule : {ScaleRule::multiply, ScaleRule::divide})
    EXPECT_EQ(parse_scale_rule(scale_rule_name(rule)), rule);
  EXPECT_EQ(parse_scale_rule("auto"), std::nullopt);
}

}  // namespace
}  // namespace bitnet::hf
