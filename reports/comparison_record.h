#pragma once
// One `comparison` record. There may be millions of them, so they are read without building a JSON document.

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace crossval::reports {

enum class Mode : std::uint8_t { kLocal, kFree };

struct Comparison {
  std::string case_id;
  std::int64_t step = 0;
  std::string tap;  ///< with its layer, e.g. "Qcur-3#2"
  Mode mode = Mode::kFree;
  std::int64_t row = 0;  ///< the worst one
  std::int64_t rows = 0;
  double cosine = std::nan("");
  double nmse = std::nan("");
  double norm_ratio = std::nan("");
  double max_abs = std::nan("");
  std::optional<double> cosine_trimmed;
  std::int64_t at_row = -1;  ///< of max_abs; -1 where not recorded
  std::int64_t at_column = -1;
  std::optional<double> got;
  std::optional<double> expected;
  std::uint64_t bits = 0;   ///< values that differ in any bit
  std::uint64_t count = 0;  ///< values compared
  std::string gate;
  std::string verdict;
  std::string why;
  std::string side;   ///< local, by a third party: whose tensors are held against its own; else empty
  std::string blame;  ///< what the arbiter said of a failed local comparison; else empty
  std::optional<std::uint64_t> integers_differing;
  std::optional<double> margin;  ///< logits: the reference's top-2 margin
  std::optional<double> kl;      ///< logits

  bool passed() const { return verdict == "PASS" || verdict == "EXPLAINED"; }
};

/// Reads one line that is a comparison record. On an error the result is empty and `error` says what is
/// wrong; `malformed` tells a line that is no JSON from one that is not a comparison.
std::optional<Comparison> parse_comparison(std::string_view line, std::string& error, bool& malformed);

/// A tap's name without its layer, and the layer (-1: the tap has none): "Qcur-3#2" is {"Qcur#2", 3}.
struct TapName {
  std::string name;
  std::int64_t layer = -1;
};
TapName split_tap(std::string_view tap);

}  // namespace crossval::reports
