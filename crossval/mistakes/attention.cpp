// Attention: masks, heads, cache, softmax.

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "crossval/mistakes/mistake.h"

namespace crossval {
namespace {

using bitnet::Config;
using bitnet::Operation;
using bitnet::Tap;

// f(token, head, its cells) for each query; the values of a query are `cells` scores or probabilities.
template <class F>
void for_each_query(const Config& c, const Making& m, std::span<float> values, F&& f) {
  for (std::size_t t = 0; t < m.rows(); ++t) {
    const auto row = m.row(values, t);
    const std::size_t cells = row.size() / static_cast<std::size_t>(c.n_head);
    for (std::int64_t h = 0; h < c.n_head; ++h)
      f(t, h, row.subspan(static_cast<std::size_t>(h) * cells, cells));
  }
}

double scale_of(const Config& c) {
  return 1 / std::sqrt(static_cast<double>(c.head_dim));
}

// Softmax over more cells than the query sees: those that it does see get their share. Keys of the others are
// [..][G*hd] from `first` to `last`.
struct Strangers {
  const float* keys = nullptr;
  std::int64_t first = 0;
  std::int64_t last = 0;
};

void share_with(const Config& c, const Making& m, std::span<float> values, std::span<const float> queries,
                const std::function<Strangers(std::size_t token)>& strangers) {
  const float* scores = m.operation.a;
  for_each_query(c, m, values, [&](std::size_t t, std::int64_t h, std::span<float> p) {
    const Strangers s = strangers(t);
    const float* own = scores + (p.data() - values.data());
    const float* q = queries.data() + (static_cast<std::int64_t>(t) * c.n_head + h) * c.head_dim;
    const std::int64_t kv_head = h / (c.n_head / c.n_head_kv);
    double greatest = -INFINITY;
    std::vector<double> others;
    for (std::int64_t cell = s.first; cell < s.last; ++cell) {
      const float* k = s.keys + cell * c.kv_width() + kv_head * c.head_dim;
      double dot = 0;
      for (std::int64_t d = 0; d < c.head_dim; ++d)
        dot += static_cast<double>(q[d]) * static_cast<double>(k[d]);
      others.push_back(dot * scale_of(c));
      greatest = std::max(greatest, others.back());
    }
    for (std::size_t k = 0; k < p.size(); ++k)
      greatest = std::max(greatest, static_cast<double>(own[k]) * scale_of(c));
    double sum = 0;
    for (const double other : others) sum += std::exp(other - greatest);
    for (std::size_t k = 0; k < p.size(); ++k)
      sum += std::exp(static_cast<double>(own[k]) * scale_of(c) - greatest);
    for (std::size_t k = 0; k < p.size(); ++k)
      p[k] = static_cast<float>(std::exp(static_cast<double>(own[k]) * scale_of(c) - greatest) / sum);
  });
}

Remake sees_later_rows(const Workbench& bench) {
  return [&c = bench.model.config()](const Making& m, std::span<float> values) {
    const int layer = m.operation.output.layer;
    const auto queries = m.pass->values({Tap::q_rope, layer});
    const auto keys = m.pass->values({Tap::k_rope, layer});
    if (queries.empty() || keys.empty()) return;
    share_with(c, m, values, queries, [&](std::size_t t) -> Strangers {
      return {keys.data(), m.operation.positions[t] + 1, m.operation.positions.back() + 1};
    });
  };
}

// Keys of the sequence that was evaluated before this one, at most so many.
constexpr std::int64_t kStaleCells = 8;

Remake sees_the_sequence_before(const Workbench& bench) {
  struct Layer {
    std::vector<float> now, before;
  };
  const auto layers = std::make_shared<std::map<int, Layer>>();
  return [&c = bench.model.config(), layers](const Making& m, std::span<float> values) {
    const int layer = m.operation.output.layer;
    const auto queries = m.pass->values({Tap::q_rope, layer});
    const auto keys = m.pass->values({Tap::k_rope, layer});
    Layer& seen = (*layers)[layer];
    if (m.operation.positions.front() == 0) seen.before = std::move(seen.now);
    seen.now.assign(keys.begin(), keys.end());
    if (queries.empty() || seen.before.empty()) return;
    const std::int64_t cells = std::min(kStaleCells, std::ssize(seen.before) / c.kv_width());
    share_with(c, m, values, queries, [&](std::size_t) -> Strangers {
      return {seen.before.data(), 0, cells};
    });
  };
}

// Attends by the KV head h mod G instead of h / (H / G).
Remake maps_heads_by_remainder(const Workbench& bench) {
  const Config& c = bench.model.config();
  if (c.n_head == c.n_head_kv || c.n_head_kv == 1) return {};
  return [&c, evaluate = bench.evaluate](const Making& m, std::span<float> values) {
    // The query heads are laid so that each falls to the KV head that it takes by mistake, and back.
    const std::int64_t group = c.n_head / c.n_head_kv;
    const auto place = [&](std::int64_t h) { return h % c.n_head_kv * group + h / c.n_head_kv; };
    const bool scores = m.operation.output.tap == Tap::kq;
    std::vector<float> laid;
    std::int64_t at = 0;
    for (std::size_t t = 0; t < m.rows(); ++t) {
      const std::int64_t width = scores ? c.head_dim : m.operation.positions[t] + 1;
      const std::int64_t start = std::ssize(laid);
      laid.resize(static_cast<std::size_t>(start + c.n_head * width));
      for (std::int64_t h = 0; h < c.n_head; ++h)
        std::copy_n(m.operation.a + at + h * width, width, laid.begin() + start + place(h) * width);
      at += c.n_head * width;
    }
    Operation op = m.operation;
    op.a = laid.data();
    const std::vector<float> made = evaluate(op);
    for (std::size_t t = 0; t < m.rows(); ++t) {
      const auto row = m.row(values, t);
      const std::int64_t width = std::ssize(row) / c.n_head;
      for (std::int64_t h = 0; h < c.n_head; ++h)
        std::copy_n(made.begin() + m.offsets[t] + place(h) * width, width, row.begin() + h * width);
    }
  };
}

// The operation over a history that lies one cell later: the cell before takes the place of each.
Remake reads_one_cell_early(const Workbench& bench) {
  return [&c = bench.model.config(), evaluate = bench.evaluate](const Making& m, std::span<float> values) {
    const std::int64_t cells = m.operation.positions.back() + 1, width = c.kv_width();
    std::vector<float> shifted(m.operation.history, m.operation.history + cells * width);
    std::copy_n(m.operation.history, (cells - 1) * width, shifted.begin() + width);
    Operation op = m.operation;
    op.history = shifted.data();
    std::ranges::copy(evaluate(op), values.begin());
  };
}

// The sound softmax of scores that `change` altered first.
Remake softmax_of(const Workbench& bench, std::function<void(std::span<float> scores)> change) {
  return [&c = bench.model.config(), evaluate = bench.evaluate, change = std::move(change)](
             const Making& m, std::span<float> values) {
    std::vector<float> scores(m.operation.a, m.operation.a + values.size());
    for_each_query(c, m, scores, [&](std::size_t, std::int64_t, std::span<float> one) { change(one); });
    Operation op = m.operation;
    op.a = scores.data();
    std::ranges::copy(evaluate(op), values.begin());
  };
}

Remake softmax_without_maximum(const Workbench& bench) {
  return [&c = bench.model.config()](const Making& m, std::span<float> values) {
    const float* scores = m.operation.a;
    const auto scale = static_cast<float>(scale_of(c));
    for_each_query(c, m, values, [&](std::size_t, std::int64_t, std::span<float> p) {
      const float* own = scores + (p.data() - values.data());
      float sum = 0;
      for (std::size_t k = 0; k < p.size(); ++k) {
        p[k] = std::exp(own[k] * scale);
        sum += p[k];
      }
      for (float& x : p) x /= sum;
    });
  };
}

// Scores of keys that were kept 256 times too great in F16, so that they overflow, and were scaled back.
Remake overflowing_keys(const Workbench& bench) {
  return [&kernels = bench.kernels](const Making&, std::span<float> values) {
    std::vector<bitnet::f16> half(values.size());
    for (float& x : values) x *= 256;
    kernels.to_f16(values.data(), std::ssize(values), half.data());
    kernels.to_f32(half.data(), std::ssize(values), values.data());
    for (float& x : values) x /= 256;
  };
}

}  // namespace

std::vector<Mistake> attention_mistakes() {
  return {
      {.name = "heads-by-remainder",
       .as_if = "query head h went to KV head h mod G instead of h / (H / G)",
       .taps = {Tap::kq, Tap::attn_ctx},
       .make = maps_heads_by_remainder},
      {.name = "cache-off-by-one",
       .as_if = "each cell of the KV cache were the one before it",
       .taps = {Tap::kq, Tap::attn_ctx},
       .make = reads_one_cell_early},
      {.name = "mask-off-by-one",
       .as_if = "a token did not see itself",
       .taps = {Tap::kq_soft_max},
       .make =
           [](const Workbench& bench) {
             return softmax_of(bench, [](std::span<float> scores) {
               if (scores.size() > 1) scores.back() = -1e30f;
             });
           }},
      {.name = "mask-missing",
       .as_if = "the rows of a batch saw the rows after them",
       .taps = {Tap::kq_soft_max},
       .make = sees_later_rows,
       .of_the_pass = true},
      {.name = "cache-stale",
       .as_if = "cells of the sequence before were still in the KV cache",
       .taps = {Tap::kq_soft_max},
       .make = sees_the_sequence_before,
       .of_the_pass = true},
      {.name = "score-scale-missing",
       .as_if = "the scores were not divided by the root of the head size",
       .taps = {Tap::kq_soft_max},
       .make =
           [](const Workbench& bench) {
             const auto root = static_cast<float>(1 / scale_of(bench.model.config()));
             return softmax_of(bench, [root](std::span<float> scores) {
               for (float& s : scores) s *= root;
             });
           }},
      {.name = "softmax-without-maximum",
       .as_if = "the softmax did not take the maximum off first",
       .taps = {Tap::kq_soft_max},
       .make = softmax_without_maximum},
      {.name = "keys-overflow",
       .as_if = "keys were scaled by 256 in F16 and overflowed",
       .taps = {Tap::k_rope},
       .make = overflowing_keys},
  };
}

}  // namespace crossval
