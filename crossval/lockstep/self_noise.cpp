#include "crossval/lockstep/self_noise.h"

#include <algorithm>
#include <cmath>

#include "crossval/compare/metrics.h"
#include "crossval/errors.h"

namespace crossval {

void compare_ways(const Tensor& reference, const Tensor& again,
                  const std::function<void(const RowMetrics&)>& row) {
  // Of a long evaluation the other way of computing shows the last rows only.
  const std::int64_t skipped = reference.rows() - again.rows();
  bool same = skipped >= 0 && again.rows() > 0;
  for (std::int64_t i = 0; same && i < again.rows(); ++i)
    same = again.row(i).size() == reference.row(skipped + i).size();
  if (!same)
    throw Incomparable("tap " + bitnet::to_string(reference.id) + ": the reference shows " +
                       std::to_string(reference.values.size()) + " values, in its other way of computing " +
                       std::to_string(again.values.size()));
  for (std::int64_t i = 0; i < again.rows(); ++i) row(compare_rows(again.row(i), reference.row(skipped + i)));
}

void note_noise(SelfNoise& noise, const Tensor& reference, const Tensor& again) {
  noise.measured = true;
  Noise& tap = noise.taps[static_cast<std::size_t>(reference.id.tap)];
  compare_ways(reference, again, [&](const RowMetrics& m) {
    if (std::isnan(m.cosine)) return;  // NaN is no noise: it would excuse everything
    tap.cosine = std::max(tap.cosine, 1 - m.cosine);
    tap.norm = std::max(tap.norm, std::abs(m.norm_ratio - 1));
    if (reference.id.tap == bitnet::Tap::result_output) noise.logit = std::max(noise.logit, m.max_abs);
  });
}

}  // namespace crossval
