#pragma once
// Cosines and sines of the rotary embedding, by position (reference-semantics 6.10).

#include <cstdint>
#include <span>
#include <vector>

#include "engine/model/config.h"

namespace crossval::emulation {

enum class Rope : std::uint8_t { libm, own, table };

/// A recorded table: [positions][n_rot / 2].
struct RopeTable {
  std::vector<float> cosines;
  std::vector<float> sines;
};

class Angles {
 public:
  /// With Rope::table, positions beyond the table are computed by our own functions.
  Angles(const bitnet::Config& config, std::span<const float> divisors, Rope rope, const RopeTable& table);

  /// Makes the positions [0, n) ready; the pointers below hold until the next call.
  void prepare(std::int64_t n);
  const float* cosines(std::int64_t position) const { return table_.cosines.data() + position * pairs_; }
  const float* sines(std::int64_t position) const { return table_.sines.data() + position * pairs_; }

 private:
  std::int64_t pairs_;  // n_rot / 2
  float frequency_scale_;
  bool libm_;
  float step_;  // from the angle of one pair to the next
  std::vector<float> divisors_;
  RopeTable table_;
};

}  // namespace crossval::emulation
