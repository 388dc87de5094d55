#include "engine/convert/scale_rule.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace bitnet::hf {
namespace {

// Trained weights lie around 0.02, and around 1 where the norms in front of them are small; a median outside
// these bounds is the size of a weight or the inverse of one. Between them it says nothing.
constexpr float kSurelyWeight = 0.125f;
constexpr float kSurelyInverse = 8.0f;
// How near a weight scale must be to the mean of its master weights: that of BF16, thrice rounded.
constexpr float kSame = 0.01f;

std::string number(float value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", static_cast<double>(value));
  return text;
}

class Votes {
 public:
  void add(ScaleRule rule, const std::string& reason) {
    contradicts_ = contradicts_ || (rule_ && *rule_ != rule);
    rule_ = rule;
    remark(reason + ": " + std::string(scale_rule_name(rule)));
  }
  void remark(const std::string& text) { reason_ += (reason_.empty() ? "" : "; ") + text; }
  ScaleFinding finding() const {
    return {contradicts_ ? std::nullopt : rule_, reason_.empty() ? "there is no evidence" : reason_};
  }

 private:
  std::optional<ScaleRule> rule_;
  bool contradicts_ = false;
  std::string reason_;
};

void weigh_configuration(const ScaleEvidence& e, Votes& votes) {
  if (e.linear_class)
    votes.add(*e.linear_class == "autobitlinear" ? ScaleRule::multiply : ScaleRule::divide,
              "quantization_config.linear_class is " + *e.linear_class);
  else if (e.quantized_by_bitnet)
    votes.add(ScaleRule::divide,
              "quantization_config names no linear_class, for which transformers takes bitlinear");
}

void weigh_magnitudes(std::vector<float> scales, Votes& votes) {
  if (scales.empty()) return;
  std::ranges::sort(scales);
  const float median = scales[scales.size() / 2];
  const std::string range = "the scales are " + number(scales.front()) + " to " + number(scales.back());
  if (median <= kSurelyWeight)
    votes.add(ScaleRule::multiply, range + ", the size of weights");
  else if (median >= kSurelyInverse)
    votes.add(ScaleRule::divide, range + ", the inverse of a weight's size");
  else
    votes.remark(range + ", which says nothing");
}

void weigh_masters(const ScaleEvidence& e, Votes& votes) {
  for (const ScaleRule rule : {ScaleRule::multiply, ScaleRule::divide}) {
    const bool all = !e.masters.empty() && std::ranges::all_of(e.masters, [&](const auto& m) {
      const float expected = rule == ScaleRule::multiply ? m.second : 1 / m.second;
      return std::abs(m.first - expected) <= kSame * expected;
    });
    if (all)
      votes.add(rule, rule == ScaleRule::multiply ? "the scales are the means of their master weights"
                                                  : "the scales are 1 / the means of their master weights");
  }
}

}  // namespace

ScaleFinding weigh(const ScaleEvidence& evidence) {
  Votes votes;
  weigh_configuration(evidence, votes);
  weigh_magnitudes(evidence.scales, votes);
  weigh_masters(evidence, votes);
  return votes.finding();
}

std::string_view scale_rule_name(ScaleRule rule) {
  return rule == ScaleRule::multiply ? "multiply" : "divide";
}

std::optional<ScaleRule> parse_scale_rule(std::string_view name) {
  if (name == "multiply") return ScaleRule::multiply;
  if (name == "divide") return ScaleRule::divide;
  return std::nullopt;
}

}  // namespace bitnet::hf
