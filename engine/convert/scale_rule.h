#pragma once
// Whether a checkpoint's weight scales multiply or divide. Both occur under one name: transformers' BitLinear
// divides by it, its AutoBitLinear multiplies. It is decided by evidence, and said; never guessed.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/convert/hf_config.h"
#include "engine/convert/projection.h"

namespace bitnet::hf {

struct ScaleEvidence {
  bool quantized_by_bitnet = false;         // of the configuration
  std::optional<std::string> linear_class;  // likewise
  std::vector<float> scales;                // all weight scales
  /// A weight scale and the mean magnitude of the master weights beside it, where a checkpoint has both.
  std::vector<std::pair<float, float>> masters;
};

struct ScaleFinding {
  std::optional<ScaleRule> rule;  // nothing where the evidence is silent or contradicts itself
  std::string reason;             // the evidence, in one line
};

ScaleFinding weigh(const ScaleEvidence& evidence);

/// "multiply", "divide": as a flag takes it.
std::string_view scale_rule_name(ScaleRule rule);
std::optional<ScaleRule> parse_scale_rule(std::string_view name);

}  // namespace bitnet::hf
