#pragma once
// Sums over the cases of a run, and the summary record made of them.

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "crossval/lockstep/lockstep.h"
#include "crossval/run/run.h"
#include "crossval/verdict.h"
#include "reports/render.h"

namespace crossval {

/// Sums over comparisons, and where the first one failed.
struct Tally {
  std::int64_t planned = 0;
  std::int64_t made = 0;
  std::int64_t skipped = 0;
  std::int64_t failed = 0;
  std::int64_t flips_explained = 0;
  std::int64_t flips_unexplained = 0;
  nlohmann::json first_failure;  // {"step", "tap", "mode"} or null
  /// Where the rounding of inputs explains most of a local comparison, by base name of tap: the comparison's
  /// `rounding` with its `case`, `step` and `tap`.
  nlohmann::json rounding = nlohmann::json::object();
  nlohmann::json guilty;  // the first operation that the arbiter blames: {"who", "step", "tap"} or null
};

/// How often a gate was asked, of how often it must be (coverage.h).
struct GateCoverage {
  std::string gate;
  std::int64_t compared = 0;
  std::int64_t min_compared = 1;
};

struct Totals {
  Tally tally;  // first_failure carries its case too
  std::map<Verdict, std::int64_t> cases;
  std::int64_t answers_wrong = 0;  // expectations not met
  Verdict verdict = Verdict::pass;
  std::vector<GateCoverage> coverage;
  /// Taps that were zero in every value on both sides in every case; none before the first case.
  std::optional<std::set<std::string>> zero_taps;
  nlohmann::json located;   // where the sides part (locate.h), or null
  nlohmann::json baseline;  // the record of that name, or null

  /// Counts a finished case by its record.
  void add(const nlohmann::json& case_record);
  /// Takes in how the run stands against its baseline.
  void hold_against(const nlohmann::json& baseline_record);
  /// Takes in where the sides part; whom that blames is the guilty one.
  void locate(const nlohmann::json& location);
};

/// Keeps the greater share of each tap.
void merge_rounding(nlohmann::json& into, const nlohmann::json& other);

/// design.md 8: "agree", "candidate wrong", "reference wrong" or "cannot tell"; null where the sides were not
/// compared to an end.
nlohmann::json quadrant_of(const Totals& totals);
/// The word in a record; anything unknown is INVALID.
Verdict verdict_from(const std::string& text);
/// Verdict and counts in one line.
std::string headline_of(const Totals& totals);
/// What a run returns. The reports read the records with their own eyes: where they find that the summary
/// does not follow from them, the run is INVALID.
RunResult result_of(const reports::Rendered& rendered, const Totals& totals, const std::string& claim);
nlohmann::json summary_record(const Totals& totals, const SelfNoise& noise);

}  // namespace crossval
