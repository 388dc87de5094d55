#pragma once
// Cosines and sines of the rotary embedding, by position (reference-semantics 6.10).

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/model/config.h"

namespace bitnet {

/// Where sine, cosine and power come from: our own, correctly rounded, or the host's libm as bitnet.cpp takes
/// them.
enum class RopeMath : std::uint8_t { own, libm };

/// Rows are computed when first asked for. Not for use from several threads at once.
class RopeTable {
 public:
  /// freqs: divisors of the angles, n_rot / 2 of them, or none.
  RopeTable(const Config& config, std::span<const float> freqs, RopeMath math);
  /// A recorded table: [positions][n_rot / 2] cosines and sines. Positions beyond it are computed with our
  /// own math.
  RopeTable(const Config& config, std::span<const float> freqs, std::vector<float> cos,
            std::vector<float> sin);

  struct Row {
    const float* cos;  // n_rot / 2
    const float* sin;
  };
  /// Makes the rows [0, positions) ready; `row` may be called for those only, from any thread.
  void prepare(std::int64_t positions);
  Row row(std::int64_t position) const;

 private:
  std::int64_t half_;  // n_rot / 2
  float step_;         // powf(freq_base, -2 / n_rot)
  float freq_scale_;
  RopeMath math_;
  std::vector<float> freqs_;
  std::int64_t ready_ = 0;  // rows computed
  std::vector<float> cos_;  // [n_ctx][half]
  std::vector<float> sin_;
};

}  // namespace bitnet
