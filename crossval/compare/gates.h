#pragma once
// Gates: a metric, the taps and steps it covers, a threshold, and the number of comparisons it must have made
// (design.md 5). A value that is not a number fails every gate.

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crossval/compare/bounds.h"
#include "crossval/compare/input_rounding.h"
#include "crossval/compare/metrics.h"
#include "engine/model/taps.h"

namespace crossval {

enum class Mode { local, free };
std::string_view to_string(Mode mode);

enum class Metric { cosine, nmse, norm_ratio_error, integers_differing, bits, kl, share_of_bound };
std::string_view to_string(Metric metric);

struct Gate {
  std::string name;
  Mode mode{};
  Metric metric{};
  std::vector<std::string> taps;    // globs over base names ("Qcur#1", "ffn_*") or full names ("l_out-3")
  std::vector<std::string> except;  // globs of taps that `taps` covers but this gate does not
  std::int64_t first_step = 0;
  std::int64_t last_step = INT64_MAX;
  double threshold = 0;             // cosine: at least; all others: at most
  bool or_within_noise = false;     // excused where cosine and norm ratio are within twice the self-noise
  bool or_within_rounding = false;  // local: excused where the rounding of the input explains every value
  std::int64_t min_compared = 1;
  std::string source;  // where the threshold comes from ...
  std::string date;    // ... and since when: of a measured one the day

  bool covers(Mode mode, bitnet::TapId tap, std::int64_t step) const;
};

struct GateSet {
  std::string source = "default";  // or the file's path
  std::string sha256;
  std::vector<Gate> gates;
};

/// design.md 5; min_cosine is the free-running limit. A reference with a quantization noise of its own, which
/// the text says how it was measured, excuses free-running logits and layers too within twice that noise.
GateSet default_gates(double min_cosine, const std::string& quantization_noise = {});
/// Of our engine against itself: no bit may differ anywhere.
GateSet self_gates();
/// Reads `crossval.gates/1`. Throws InputError that names file and field.
GateSet load_gates(const std::string& path);
/// The same list where it stands in another document (`gates` of a suite's case); `where` names it in
/// messages.
GateSet parse_gates(const nlohmann::json& list, const std::string& where);
nlohmann::json to_json(const Gate& gate);

/// What one row of one tap was measured to be.
struct Measured {
  RowMetrics row;
  std::optional<std::int64_t> integers_differing;  // integer products, local mode
  std::optional<double> kl;                        // logits
  std::optional<RoundingFigures> rounding;         // local, where both sides round the input differently
  std::optional<BoundFigures> bound;               // local, held to the error analysis of bounds.h
};

/// A reference's distance from itself, the largest seen of a tap over all rows.
struct Noise {
  double cosine = 0;  // 1 - cosine
  double norm = 0;    // abs(norm ratio - 1)
};

struct Judgement {
  bool pass = true;
  const Gate* gate = nullptr;  // the one that failed, else the one that came nearest to failing
  double severity =
      0;  // distance from the ideal over the allowed distance; > 1 fails; NaN counts as infinite
  bool excusable = false;  // failed, but only gates that the self-noise may excuse
  std::string why;         // "cosine 0.93 < 0.999"
};

/// Judges one row. Every gate that covers the tap takes part.
Judgement judge(const GateSet& gates, Mode mode, bitnet::TapId tap, std::int64_t step,
                const Measured& measured);

/// Whether the row is within twice the self-noise in both measures.
bool within_noise(const RowMetrics& row, const Noise& noise);

/// `*` and `?` as in a shell.
bool matches_glob(std::string_view pattern, std::string_view text);

}  // namespace crossval
