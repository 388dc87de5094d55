// Single values that no arithmetic should make.

#include <cfloat>
#include <cmath>
#include <limits>

#include "crossval/mistakes/mistake.h"

namespace crossval {

std::vector<Mistake> number_mistakes() {
  using bitnet::Tap;
  std::vector<Tap> all;
  all.reserve(bitnet::kTapCount);
  for (int t = 0; t < bitnet::kTapCount; ++t) all.push_back(static_cast<Tap>(t));
  return {
      {.name = "not-a-number",
       .as_if = "one value (column 5) were not a number",
       .taps = all,
       .make = [](const Workbench&) -> Remake {
         return [](const Making& m, std::span<float> values) {
           for (std::size_t t = 0; t < m.rows(); ++t)
             if (const auto row = m.row(values, t); row.size() > 5)
               row[5] = std::numeric_limits<float>::quiet_NaN();
         };
       },
       .planted_only = true},
      {.name = "denormals-flushed",
       .as_if = "denormal numbers were flushed to zero",
       .taps = all,
       .make = [](const Workbench&) -> Remake {
         return [](const Making&, std::span<float> values) {
           for (float& y : values)
             if (std::abs(y) < FLT_MIN) y = 0;
         };
       }},
      {.name = "rounded-to-f16",
       .as_if = "it were rounded to F16",
       .taps = all,
       .make = [](const Workbench& bench) -> Remake {
         return [&kernels = bench.kernels](const Making&, std::span<float> values) {
           std::vector<bitnet::f16> half(values.size());
           kernels.to_f16(values.data(), std::ssize(values), half.data());
           kernels.to_f32(half.data(), std::ssize(values), values.data());
         };
       }},
      {.name = "last-row-zero",
       .as_if = "the last row of the batch were never computed",
       .taps = all,
       .make = [](const Workbench&) -> Remake {
         return [](const Making& m, std::span<float> values) {
           if (m.rows() < 2) return;
           for (float& y : m.row(values, m.rows() - 1)) y = 0;
         };
       }},
  };
}

}  // namespace crossval
