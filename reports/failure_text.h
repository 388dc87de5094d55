#pragma once
// How figures and failures are put into words, the same in every rendering. Nothing here is escaped.

#include <string>
#include <vector>

#include "reports/report.h"

namespace crossval::reports {

/// Six significant digits, or nan, inf, -inf.
std::string figure(double value);

/// Three significant digits, for errors: "3.1e-9"; 0 is "0".
std::string error_figure(double value);

/// Nine significant digits, enough to tell two F32 values apart.
std::string value_figure(double value);

/// 1234567 as "1,234,567".
std::string grouped(std::uint64_t value);

/// "local" or "free".
const char* to_string(Mode mode);

/// One sentence: "free ffn_act-0, step 3, row 2 of 7: cosine 0.93 < 0.999; ...".
std::string failure_sentence(const Comparison& c);

/// What the comparison was held to: "gate local.nmse: <= 1e-06, from crossval's default gates"; empty where
/// the records do not say.
std::string bound_sentence(const Report& report, const Comparison& c);

/// Where the sides part, by the summary's `located`: "candidate wrong in ffn_act-0, step 0, row 2 of case a:
/// nmse 4 > 1e-6; differs as if ..."; empty where nothing was located.
std::string located_sentence(const Report& report);

/// The first failure in full, one fact a line: what is mismatched, the greatest differences with both values,
/// the bound and its source, local against inherited, where the sides part and what that looks like, and
/// how many more there are. Empty where nothing failed.
std::vector<std::string> first_failure_lines(const Report& report);

/// The command that repeats one case, or nothing where the run names none.
std::string reproduce_command(const Report& report, const CaseReport& c);

/// The same for the first failing case; of the run where no case failed.
std::string first_reproduce_command(const Report& report);

/// "12 of 12 cases passed" or "1 of 12 cases failed, 2 were incomparable".
std::string case_sentence(const CaseCounts& counts);

/// "7 planned, 6 made, 1 skipped, 0 failed"; of a run that did not finish, how many were planned is not
/// known.
std::string comparison_sentence(const Report& report);

/// The model's name for titles and class names: its own, else its file's.
std::string model_name(const Report& report);

/// The tightest limit that the gates set to `metric` (cosine, nmse or norm_ratio_error) of this tap in this
/// mode, as an error (for a cosine 1 - limit); NaN where there is none. `tap` is a name without its layer.
double gate_limit(const Report& report, Mode mode, const std::string& tap, const std::string& metric);

/// What the records say of taps whose inputs are rounded differently; none in most runs.
std::vector<RoundedTap> rounded_taps(const Report& report);

}  // namespace crossval::reports
