#pragma once
// What only the self-noise of the whole run may excuse is judged when that is known: at the end of a run, and
// once more when shards, each of which knew its own cases only, are joined.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "crossval/lockstep/lockstep.h"

namespace crossval {

/// What was found of one case.
struct Settlement {
  std::int64_t failed = 0;                      // comparisons
  std::int64_t explained = 0, unexplained = 0;  // flips
  nlohmann::json first_failure;  // {"step", "tap", "mode"} of the first comparison that failed, or null

  /// Judges a `comparison` record that waits for the noise, and counts it.
  void judge_comparison(nlohmann::json& record, const SelfNoise& noise);
  /// The same for a `tokens` record whose picks differ.
  void judge_tokens(nlohmann::json& record, const SelfNoise& noise);
  /// Adds all that to the case's record, and judges it anew.
  void apply(nlohmann::json& case_record) const;
};

/// {"step", "tap", "mode"} of a comparison.
nlohmann::json place_of(const nlohmann::json& comparison);

/// Whether the line of a comparison shows that it was judged by the self-noise.
bool judged_by_noise(std::string_view comparison_line);

}  // namespace crossval
