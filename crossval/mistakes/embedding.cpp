// Embedding and head.

#include <algorithm>

#include "crossval/mistakes/mistake.h"

namespace crossval {
namespace {

using bitnet::Tap;

// Logits by the embedding, though the model has a head of its own.
Remake head_by_embedding(const Workbench& bench) {
  if (bench.model.weights().tied) return {};
  return [&model = bench.model, evaluate = bench.evaluate](const Making& m, std::span<float> values) {
    const bitnet::Config& c = model.config();
    for (std::int32_t token = 0; token < c.n_vocab; ++token) {
      const std::int32_t position = 0;
      const std::vector<float> row =
          evaluate({.output = {Tap::inp_embd, -1}, .positions = {&position, 1}, .tokens = {&token, 1}});
      for (std::size_t t = 0; t < m.rows(); ++t) {
        const auto x = m.input(t, c.n_embd);
        double sum = 0;
        for (std::size_t k = 0; k < x.size(); ++k)
          sum += static_cast<double>(x[k]) * static_cast<double>(row[k]);
        m.row(values, t)[static_cast<std::size_t>(token)] = static_cast<float>(sum);
      }
    }
  };
}

}  // namespace

std::vector<Mistake> embedding_mistakes() {
  return {
      {.name = "embedding-rows-swapped",
       .as_if = "each two neighbouring rows of the embedding had changed places",
       .taps = {Tap::inp_embd},
       .make = [](const Workbench& bench) -> Remake {
         return [evaluate = bench.evaluate, n = bench.model.config().n_vocab](const Making& m,
                                                                              std::span<float> values) {
           std::vector<std::int32_t> others;
           for (const std::int32_t token : m.operation.tokens)
             others.push_back((token ^ 1) < n ? token ^ 1 : token);
           bitnet::Operation op = m.operation;
           op.tokens = others;
           std::ranges::copy(evaluate(op), values.begin());
         };
       }},
      {.name = "head-tied",
       .as_if = "the embedding were the head, though the file has an output.weight",
       .taps = {Tap::result_output},
       .make = head_by_embedding},
      {.name = "logits-of-the-row-before",
       .as_if = "each row's logits were those of the row before",
       .taps = {Tap::result_output},
       .make = [](const Workbench&) -> Remake {
         return [](const Making& m, std::span<float> values) {
           for (std::size_t t = m.rows(); t-- > 1;)
             std::ranges::copy(m.row(values, t - 1), m.row(values, t).begin());
         };
       }},
      {.name = "last-logits-dropped",
       .as_if = "the last 16 logits were never computed",
       .taps = {Tap::result_output},
       .make = [](const Workbench&) -> Remake {
         return [](const Making& m, std::span<float> values) {
           for (std::size_t t = 0; t < m.rows(); ++t) {
             const auto row = m.row(values, t);
             std::ranges::fill(row.last(std::min<std::size_t>(16, row.size())), 0.0f);
           }
         };
       }},
  };
}

}  // namespace crossval
