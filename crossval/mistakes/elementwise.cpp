// Activations, the gated product, residuals.

#include <algorithm>
#include <cmath>

#include "crossval/mistakes/mistake.h"

namespace crossval {
namespace {

using bitnet::Tap;

// Another activation than the model's.
Mistake activation(std::string_view name, std::string_view as_if, bitnet::Activation instead_of,
                   std::function<void(const bitnet::Kernels&, const float*, std::int64_t, float*)> apply) {
  return {.name = name,
          .as_if = as_if,
          .taps = {Tap::ffn_act},
          .make = [instead_of, apply = std::move(apply)](const Workbench& bench) -> Remake {
            if (bench.model.config().activation != instead_of) return {};
            return [&kernels = bench.kernels, apply](const Making& m, std::span<float> values) {
              apply(kernels, m.operation.a, std::ssize(values), values.data());
            };
          }};
}

void relu(const bitnet::Kernels&, const float* x, std::int64_t n, float* y) {
  for (std::int64_t k = 0; k < n; ++k) y[k] = x[k] > 0 ? x[k] : 0.0f;
}

Remake takes_first_input(const Workbench&) {
  return [](const Making& m, std::span<float> values) {
    std::copy_n(m.operation.a, values.size(), values.data());
  };
}

Remake takes_second_input(const Workbench&) {
  return [](const Making& m, std::span<float> values) {
    std::copy_n(m.operation.b, values.size(), values.data());
  };
}

}  // namespace

std::vector<Mistake> elementwise_mistakes() {
  using bitnet::Activation;
  return {
      activation("silu-for-relu2", "the gate went through SiLU instead of ReLU²", Activation::relu_squared,
                 [](const bitnet::Kernels& k, const float* x, std::int64_t n, float* y) { k.silu(x, n, y); }),
      activation("relu-for-relu2", "the gate went through ReLU without the square", Activation::relu_squared,
                 relu),
      activation("relu2-for-silu", "the gate went through ReLU² instead of SiLU", Activation::silu,
                 [](const bitnet::Kernels& k, const float* x, std::int64_t n, float* y) {
                   k.relu_squared(x, n, y);
                 }),
      {.name = "gate-not-activated",
       .as_if = "the gate went through no activation",
       .taps = {Tap::ffn_act},
       .make = takes_first_input},
      {.name = "up-missing",
       .as_if = "the gate were not multiplied with the up projection",
       .taps = {Tap::ffn_par},
       .make = takes_first_input},
      {.name = "residual-missing",
       .as_if = "the residual were not added",
       .taps = {Tap::ffn_inp, Tap::l_out},
       .make = takes_first_input},
      {.name = "branch-missing",
       .as_if = "the residual alone went on",
       .taps = {Tap::ffn_inp, Tap::l_out},
       .make = takes_second_input},
  };
}

}  // namespace crossval
