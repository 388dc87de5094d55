#pragma once
// Baselines (crossval.baseline/1): how accurate and how fast an earlier run was, and whether this one is
// worse.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "crossval/baseline/throughput.h"
#include "crossval/receipt/figures.h"
#include "crossval/run/plan.h"

namespace crossval {

/// A change is told only beyond this, and beyond the measured noise.
inline constexpr double kLeastChange = 0.10;
/// Errors (1 - cosine, KL) are the same in every run of the same programs, up to what the sums of the metric
/// themselves round off.
inline constexpr double kErrorNoise = 1e-12;

enum class Change { same, better, worse, within_noise };
std::string_view to_string(Change change);

/// Of a speed. `noise` is the spread of measurements of the same program: a difference within it says
/// nothing, and one that is smaller than kLeastChange is "the same" only where the noise would have shown it.
Change change_of_speed(double base, double now, double noise);
/// Of an error, which is the better the smaller it is. NaN is worse than any number.
Change change_of_error(double base, double now);

/// What a run must share with a baseline, by name: model, suite, plan, gates, taps, sides ... (`run`), and
/// the machine, which only speeds need where the numerics give the same bits everywhere.
struct BaselineIdentity {
  nlohmann::json run;
  nlohmann::json machine;
  bool same_bits_everywhere = false;
  std::string programs;  // SHA-256 over the binaries of the candidate
};
/// By the `run` record and the plan of a run.
BaselineIdentity identity_of(const nlohmann::json& run, const std::vector<PlannedCase>& planned);

class Baseline {
 public:
  /// Throws InputError that names file and field.
  static Baseline open(const std::filesystem::path& path);

  /// Throws Incomparable where the baseline is of another model, suite, ..., or of another machine where that
  /// may change the figures. The result says why speeds cannot be compared; empty: they can.
  std::string check(const BaselineIdentity& identity) const;

  /// The `baseline` record: a row for each figure, and FAIL where one became worse. `speeds` is empty where
  /// none were measured, and `why_no_speeds` says why.
  nlohmann::json compare(const Figures& figures, std::span<const Speed> speeds,
                         const std::string& why_no_speeds) const;

 private:
  std::filesystem::path path_;
  std::string sha256_;
  nlohmann::json document_;
};

/// Whether a speed became worse, by such a record.
bool is_slower(const nlohmann::json& record);

/// Writes the baseline anew. Speeds that an earlier file holds of the same programs on the same machine are
/// kept (the last five runs): how far runs are apart is part of the noise. Throws OutputError.
void write_baseline(const std::filesystem::path& path, const BaselineIdentity& identity,
                    const Figures& figures, std::span<const Speed> speeds, const std::string& time);

/// The verdicts of the rows of a `baseline` record, taken anew; a line for each that differs.
std::vector<std::string> check_baseline_record(const nlohmann::json& record);

}  // namespace crossval
