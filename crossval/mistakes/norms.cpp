// RMS norms: epsilon, weight, mean.

#include <algorithm>
#include <cmath>

#include "crossval/lockstep/norm_weight.h"
#include "crossval/mistakes/mistake.h"

namespace crossval {
namespace {

using bitnet::Tap;

const std::vector<Tap> kNorms{Tap::attn_norm, Tap::attn_sub_norm, Tap::ffn_norm, Tap::ffn_sub_norm,
                              Tap::result_norm};

// row[k] of what `change` makes of an input row and its weight.
using Change = std::function<void(std::span<const float> x, std::span<const float> weight, float eps,
                                  std::span<float> row)>;

Mistake norm(std::string_view name, std::string_view as_if, Change change) {
  return {.name = name,
          .as_if = as_if,
          .taps = kNorms,
          .make = [change = std::move(change)](const Workbench& bench) -> Remake {
            return [&model = bench.model, change](const Making& m, std::span<float> values) {
              const std::vector<float>& weight = norm_weight_of(model.weights(), m.operation.output);
              for (std::size_t t = 0; t < m.rows(); ++t)
                change(m.input(t, std::ssize(weight)), weight, model.config().rms_eps, m.row(values, t));
            };
          }};
}

Mistake other_epsilon(std::string_view name, std::string_view as_if, float eps) {
  return {.name = name, .as_if = as_if, .taps = kNorms, .make = [eps](const Workbench& bench) -> Remake {
            if (bench.model.config().rms_eps == eps) return {};
            return [&model = bench.model, &kernels = bench.kernels, eps](const Making& m,
                                                                         std::span<float> values) {
              const std::vector<float>& weight = norm_weight_of(model.weights(), m.operation.output);
              const auto n = std::ssize(weight);
              kernels.rms_norm(m.operation.a, static_cast<std::int64_t>(m.rows()), n, weight.data(), n, eps,
                               values.data(), n);
            };
          }};
}

void layer_norm(std::span<const float> x, std::span<const float> weight, float eps, std::span<float> row) {
  double sum = 0, squares = 0;
  for (const float v : x) sum += static_cast<double>(v);
  const double mean = sum / static_cast<double>(x.size());
  for (const float v : x) squares += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
  const double r = 1 / std::sqrt(squares / static_cast<double>(x.size()) + static_cast<double>(eps));
  for (std::size_t k = 0; k < x.size(); ++k)
    row[k] = static_cast<float>((static_cast<double>(x[k]) - mean) * r * static_cast<double>(weight[k]));
}

}  // namespace

std::vector<Mistake> norm_mistakes() {
  return {
      norm("norm-missing", "the norm were left out",
           [](auto x, auto, float, auto row) { std::ranges::copy(x, row.begin()); }),
      {.name = "norm-weight-missing",
       .as_if = "the norm's weight were left out",
       .taps = kNorms,
       .make = [](const Workbench& bench) -> Remake {
         return [&model = bench.model, &kernels = bench.kernels](const Making& m, std::span<float> values) {
           const std::vector<float> ones(norm_weight_of(model.weights(), m.operation.output).size(), 1.0f);
           const auto n = std::ssize(ones);
           kernels.rms_norm(m.operation.a, static_cast<std::int64_t>(m.rows()), n, ones.data(), n,
                            model.config().rms_eps, values.data(), n);
         };
       }},
      norm("layer-norm", "it were a LayerNorm (mean taken off) instead of an RMS norm", layer_norm),
      other_epsilon("epsilon-1e-5", "epsilon were 1e-5", 1e-5f),
      other_epsilon("epsilon-1e-6", "epsilon were 1e-6", 1e-6f),
      other_epsilon("epsilon-1e-12", "epsilon were 1e-12", 1e-12f),
      other_epsilon("epsilon-0", "epsilon were 0", 0.0f),
  };
}

}  // namespace crossval
