#pragma once
// What the renderings show: the records of one run, folded into bounded aggregates. Nothing here is judged
// anew; verdicts are those of the records, except that records which contradict their own summary are
// INVALID.

#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "reports/comparison_record.h"
#include "reports/margin_plot.h"
#include "reports/step_grid.h"

namespace crossval::reports {

enum class Verdict : std::uint8_t { kPass, kFail, kIncomparable, kInvalid };
const char* to_string(Verdict verdict);

/// A comparison that did not pass.
struct Failure {
  std::uint32_t case_index = 0;
  std::size_t rank = 0;  ///< failures of its case that came before
  Comparison comparison;
};

/// The comparisons of one case in one mode.
struct TierFigures {
  std::uint64_t comparisons = 0;
  std::uint64_t failed = 0;
  double one_minus_cosine = 0;  ///< the worst
  double nmse = 0;
  double norm_deviation = 0;
  std::optional<Comparison> first_failure;

  void add(const Comparison& c);
};

struct TokenFigures {
  std::uint64_t steps = 0;
  std::uint64_t same = 0;
  std::uint64_t explained = 0;
  std::uint64_t unexplained = 0;
  double smallest_margin = std::numeric_limits<double>::infinity();
  std::int64_t first_flip_step = -1;
  std::int64_t first_flip_candidate = -1;  ///< token ids
  std::int64_t first_flip_reference = -1;

  void add(const TokenFigures& other);
};

/// How a case ended. Beside the verdicts: planned but never begun, begun but never ended, skipped with a
/// reason.
enum class CaseState : std::uint8_t { kPass, kFail, kIncomparable, kInvalid, kSkipped, kUnfinished, kNotRun };
const char* to_string(CaseState state);

struct Expectation {
  std::string kind;
  std::string want;  ///< as text: a string as it is, anything else as JSON
  bool met = false;
};

struct FirstFailure {
  std::string case_id;  ///< empty where the record does not say
  std::int64_t step = -1;
  std::string tap;
  std::string mode;
};

/// Failures of one case that are listed one by one; all are counted.
constexpr std::size_t kMaxFailuresPerCase = 12;
/// Failures of a run that are listed one by one: where there are more, fewer of each case, so that as many
/// cases as possible have theirs.
constexpr std::size_t kMaxFailures = 500;
/// Of a prompt, an answer or an expectation; results.jsonl has the whole text.
constexpr std::size_t kMaxTextBytes = 2000;

struct CaseReport {
  std::string id;
  CaseState state = CaseState::kUnfinished;
  std::string reason;  ///< why it is INCOMPARABLE, INVALID or skipped, where recorded; not always UTF-8
  std::string prompt;  ///< bytes, not always UTF-8
  std::string answer;
  std::optional<Expectation> expect;
  std::vector<std::int64_t> tokens;
  std::string reproduce;  ///< where the case names a command of its own
  std::optional<FirstFailure> first_failure;
  TierFigures local;
  TierFigures free_running;
  TokenFigures token_figures;
  std::uint64_t comparisons = 0;
  std::uint64_t failed = 0;

  bool is_failing() const { return state != CaseState::kPass && state != CaseState::kSkipped; }
};

struct Canary {
  std::string tap, case_id, fault, verdict;
  std::int64_t step = 0;
  bool caught = false;
};

struct SkipGroup {
  std::string reason;
  std::string tap;          ///< without layer; empty where the record names none
  std::uint64_t count = 0;  ///< comparisons
  std::uint64_t records = 0;
};

struct Performance {
  std::string participant, what;
  std::uint64_t tokens = 0;  ///< 0 where they were not counted
  double seconds = 0;
};

/// A figure held against that of a baseline.
struct BaselineRow {
  std::string what;
  std::string unit;     ///< "tokens/s", "error" (the smaller the better), "answers"
  std::string verdict;  ///< "same", "better", "worse", "within noise", "not compared"
  std::string why;
  double base = 0, now = 0;
  double noise = 0;  ///< speeds: measurements of the same program are so far apart, 0.05 is 5 %
};

struct BaselineReport {
  std::string file, time, headline;  ///< `time`: when it was written
  Verdict verdict = Verdict::kPass;
  std::vector<BaselineRow> rows;
};

struct CaseCounts {
  std::uint64_t pass = 0, fail = 0, incomparable = 0, invalid = 0;
  std::uint64_t total() const { return pass + fail + incomparable + invalid; }
};

/// A tap whose input both sides round in ways of their own: the comparison in which that explains least.
struct RoundedTap {
  std::string tap;     ///< without layer
  std::string input;   ///< "q8_0 there, f32 here"
  std::string source;  ///< of the bound
  double share = 0;    ///< of the bound; above 1 it fails
  double difference = 0, bound = 0;
  double gain = 0, gain_bound = 0;
  std::string where;  ///< "result_output, column 12, step 3 of case a"
};

struct Report {
  nlohmann::json run;                     ///< the first run record
  std::optional<nlohmann::json> summary;  ///< the last summary record
  bool finished = false;
  Verdict verdict = Verdict::kInvalid;
  int exit_code = 4;
  std::string claim;
  std::string headline;
  std::vector<std::string> notes;

  CaseCounts counts;
  std::uint64_t planned_cases = 0;
  std::uint64_t planned = 0, made = 0, skipped = 0;  ///< comparisons
  std::uint64_t failed = 0;                          ///< comparisons that did not pass
  std::uint64_t expectations = 0, expectations_met = 0;
  TokenFigures tokens;

  std::vector<CaseReport> cases;  ///< in the order of the plan, then of appearance
  std::vector<Failure> failures;  ///< as recorded, at most kMaxFailures
  std::vector<std::string> taps;  ///< names without layers, canonical order first; StepGrid indexes them
  StepGrid grid;
  MarginPlot margins;
  std::vector<Canary> canaries;
  std::vector<SkipGroup> skips;
  std::vector<Performance> performance;
  std::optional<BaselineReport> baseline;
};

/// A double that may have been recorded as "nan", "inf" or "-inf"; NaN where absent.
double number_of(const nlohmann::json& value);

/// A string member, or empty.
std::string text_of(const nlohmann::json& object, const char* name);

}  // namespace crossval::reports
