#pragma once
// What the records of a run amount to: counts, and the worst figures of each tap. Receipts state them,
// baselines keep them.

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "reports/comparison_record.h"

namespace crossval {

/// The worst of one tap (all its layers) in one mode. NaN is worse than any number.
struct TapFigures {
  std::int64_t comparisons = 0;
  std::int64_t failed = 0;
  std::uint64_t values = 0;
  std::uint64_t bits = 0;  // values that differ in any bit
  std::uint64_t integers_differing = 0;
  double one_minus_cosine = 0;
  double nmse = 0;
  double norm_deviation = 0;  // abs(norm ratio - 1)
  double max_abs = 0;
  // Where the cosine is worst.
  std::string tap, case_id;
  std::int64_t step = 0;
};

struct Figures {
  std::map<std::string, std::int64_t> cases;  // by verdict
  std::int64_t comparisons = 0, failed = 0, skipped = 0;
  std::int64_t steps = 0, same = 0, explained = 0, unexplained = 0;  // picks of tokens
  std::map<std::string, bool> answers;  // of the cases that expect one: whether it was met
  std::int64_t canaries = 0, canaries_caught = 0;
  std::optional<double> kl;          // the greatest, of free-running logits
  std::optional<double> perplexity;  // the candidate's, where the run measured it
  std::map<std::pair<std::string, std::string>, TapFigures> taps;  // by mode and name without layer

  void add(const reports::Comparison& c);
  /// A record of any other type.
  void add(const nlohmann::json& record);
};

/// Of everything that stands in the file. Throws InputError where it is damaged.
Figures figures_of(const std::filesystem::path& results);
nlohmann::json to_json(const Figures& figures);

}  // namespace crossval
