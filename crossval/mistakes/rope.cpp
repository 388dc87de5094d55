// Rotary embedding: which elements, which angle.

#include <algorithm>
#include <memory>
#include <string>

#include "crossval/mistakes/mistake.h"
#include "engine/model/rope_table.h"

namespace crossval {
namespace {

using bitnet::Config;
using bitnet::Tap;

const std::vector<Tap> kRotated{Tap::q_rope, Tap::k_rope};

// The rotation by a table and a pairing that may be wrong.
Remake rotates(const Workbench& bench, const Config& otherwise) {
  const auto table =
      std::make_shared<bitnet::RopeTable>(otherwise, bench.model.weights().rope_freqs, bitnet::RopeMath::own);
  return [c = otherwise, &kernels = bench.kernels, table](const Making& m, std::span<float> values) {
    const std::int64_t heads = m.operation.output.tap == Tap::q_rope ? c.n_head : c.n_head_kv;
    table->prepare(m.operation.positions.back() + 1);
    for (std::size_t t = 0; t < m.rows(); ++t) {
      const auto row = m.row(values, t);
      std::ranges::copy(m.input(t, heads * c.head_dim), row.begin());
      const bitnet::RopeTable::Row angles = table->row(m.operation.positions[t]);
      kernels.rope(row.data(), heads, c.head_dim, c.n_rot, c.rope_pairing, angles.cos, angles.sin);
    }
  };
}

Mistake other_base(std::string_view name, std::string_view as_if, float base) {
  return {.name = name, .as_if = as_if, .taps = kRotated, .make = [base](const Workbench& bench) -> Remake {
            Config c = bench.model.config();
            if (c.rope_freq_base == base) return {};
            c.rope_freq_base = base;
            return rotates(bench, c);
          }};
}

}  // namespace

std::vector<Mistake> rope_mistakes() {
  return {
      {.name = "rope-pairing",
       .as_if = "RoPE turned the other pairs of elements (neighbours for halves, or halves for neighbours)",
       .taps = kRotated,
       .make =
           [](const Workbench& bench) {
             Config c = bench.model.config();
             c.rope_pairing = c.rope_pairing == bitnet::RopePairing::neox ? bitnet::RopePairing::adjacent
                                                                          : bitnet::RopePairing::neox;
             return rotates(bench, c);
           }},
      other_base("rope-base-10000", "the base of RoPE were 10,000", 10000),
      other_base("rope-base-500000", "the base of RoPE were 500,000", 500000),
      other_base("rope-base-1000042", "the base of RoPE were 1,000,042", 1000042),
      {.name = "rope-off-by-one",
       .as_if = "RoPE took each position for the next one",
       .taps = kRotated,
       .make =
           [](const Workbench& bench) {
             return [evaluate = bench.evaluate](const Making& m, std::span<float> values) {
               std::vector<std::int32_t> next(m.operation.positions.begin(), m.operation.positions.end());
               for (std::int32_t& p : next) ++p;
               bitnet::Operation op = m.operation;
               op.positions = next;
               std::ranges::copy(evaluate(op), values.begin());
             };
           }},
      {.name = "rope-missing",
       .as_if = "RoPE were left out",
       .taps = kRotated,
       .make =
           [](const Workbench&) {
             return [](const Making& m, std::span<float> values) {
               std::copy_n(m.operation.a, values.size(), values.data());
             };
           }},
  };
}

}  // namespace crossval
