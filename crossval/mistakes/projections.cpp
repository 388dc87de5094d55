// Ternary products: layouts, scales, codes and sums.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>

#include "crossval/mistakes/mistake.h"
#include "engine/formats/i2s_layout.h"
#include "engine/formats/round.h"

namespace crossval {
namespace {

using bitnet::Projection;
using bitnet::Tap;
using bitnet::TernaryMatrix;

constexpr std::size_t kScaleBytes = 32;  // after the codes of an I2_S tensor

const std::vector<Tap> kProjections{Tap::q_proj,   Tap::k_proj, Tap::v_proj,  Tap::attn_out,
                                    Tap::ffn_gate, Tap::ffn_up, Tap::ffn_down};

// Activations as the product takes them.
struct Codes {
  std::int64_t n = 0;
  std::vector<std::int8_t> codes;  // [rows][n]
  std::vector<float> scales;
  std::vector<std::int32_t> sums;

  std::span<std::int8_t> row(std::size_t t) {
    return std::span(codes).subspan(t * static_cast<std::size_t>(n), static_cast<std::size_t>(n));
  }
  void sum_up() {
    for (std::size_t t = 0; t < sums.size(); ++t) sums[t] = std::accumulate(row(t).begin(), row(t).end(), 0);
  }
  bitnet::QuantizedRows rows() const {
    return {codes.data(), scales.data(), sums.data(), std::ssize(scales), n};
  }
};

Codes quantized(const bitnet::Kernels& kernels, const Making& m, std::int64_t n) {
  Codes x{.n = n, .codes = {}, .scales = {}, .sums = {}};
  x.codes.resize(m.rows() * static_cast<std::size_t>(n));
  x.scales.resize(m.rows());
  x.sums.resize(m.rows());
  for (std::size_t t = 0; t < m.rows(); ++t)
    kernels.quantize_row(m.input(t, n).data(), n, x.row(t).data(), &x.scales[t], &x.sums[t]);
  return x;
}

// Each code anew, from the value that it stands for.
void requantize(const Making& m, Codes& x, const std::function<float(std::size_t row)>& scale,
                const std::function<int(float)>& round) {
  for (std::size_t t = 0; t < m.rows(); ++t) {
    x.scales[t] = scale(t);
    const std::span<const float> values = m.input(t, x.n);
    const std::span<std::int8_t> codes = x.row(t);
    for (std::size_t k = 0; k < codes.size(); ++k)
      codes[k] = static_cast<std::int8_t>(std::clamp(round(values[k] * x.scales[t]), -128, 127));
  }
  x.sum_up();
}

void finish(const Projection& p, bool with_bias, std::span<float> row) {
  if (p.factor != 1)
    for (float& y : row) y *= p.factor;
  for (std::size_t k = 0; with_bias && k < p.bias.size(); ++k) row[k] += p.bias[k];
}

// A product with something changed before it and something after it, each row before its factor and bias.
struct Otherwise {
  std::function<void(const Making&, TernaryMatrix&, Codes&)> before = {};
  std::function<void(const Projection&, std::span<float> row)> after = {};
  bool with_bias = true;
};

using Make = std::function<Remake(const Workbench&)>;

Make product(const Otherwise& other) {
  return [other](const Workbench& bench) -> Remake {
    return [&model = bench.model, &kernels = bench.kernels, other](const Making& m, std::span<float> values) {
      const Projection& p = projection_of(model.weights(), m.operation.output);
      TernaryMatrix matrix = p.matrix;
      Codes x = quantized(kernels, m, matrix.cols);
      if (other.before) other.before(m, matrix, x);
      kernels.ternary_matmul(matrix, 0, matrix.rows, x.rows(), values.data(), matrix.rows);
      for (std::size_t t = 0; t < m.rows(); ++t) {
        if (other.after) other.after(p, m.row(values, t));
        finish(p, other.with_bias, m.row(values, t));
      }
    };
  };
}

// The product over other codes, which `rewrite` makes of the right ones, in place, in x86's layout.
Make product_of_codes(std::function<void(const TernaryMatrix&, std::vector<std::uint8_t>& packed)> rewrite) {
  return [rewrite = std::move(rewrite)](const Workbench& bench) -> Remake {
    // Each matrix is rewritten once.
    const auto rewritten = std::make_shared<std::map<const std::uint8_t*, std::vector<std::uint8_t>>>();
    return product({.before = [rewrite, rewritten](const Making&, TernaryMatrix& matrix, Codes&) {
      const auto [it, is_new] = rewritten->try_emplace(matrix.codes);
      if (is_new) {
        it->second.assign(matrix.codes, matrix.codes + matrix.rows * matrix.cols / 4);
        rewrite(matrix, it->second);
      }
      matrix.codes = it->second.data();
    }})(bench);
  };
}

// The bytes of the file, read as if they lay in another I2_S layout.
void reread(bitnet::I2sLayout layout, const TernaryMatrix& matrix, std::vector<std::uint8_t>& packed) {
  const bitnet::TernaryShape shape{static_cast<std::uint64_t>(matrix.cols),
                                   static_cast<std::uint64_t>(matrix.rows)};
  std::vector<std::int8_t> weights(static_cast<std::size_t>(matrix.rows * matrix.cols));
  std::vector<std::byte> tensor(packed.size() + kScaleBytes);
  std::memcpy(tensor.data(), packed.data(), packed.size());
  bitnet::i2s::decode(layout, tensor, shape, weights);
  bitnet::i2s::encode(bitnet::I2sLayout::x86, weights, shape, matrix.scale, tensor);
  std::memcpy(packed.data(), tensor.data(), packed.size());
}

// Where one weight lies in x86's layout.
void flip_weight(std::int64_t row, std::int64_t column, const TernaryMatrix& matrix,
                 std::vector<std::uint8_t>& packed) {
  const std::int64_t in_block = column % 128;
  auto& byte = packed[static_cast<std::size_t>(row * matrix.cols / 4 + column / 128 * 32 + in_block % 32)];
  const int shift = 6 - 2 * static_cast<int>(in_block / 32);
  const int code = (byte >> shift) & 3;
  byte = static_cast<std::uint8_t>((byte & ~(3 << shift)) | ((code == 2 ? 0 : code + 1) << shift));
}

}  // namespace

std::vector<Mistake> projection_mistakes() {
  std::vector<Mistake> all;
  const auto add = [&all](std::string_view name, std::string_view as_if, Make make,
                          std::vector<Tap> taps = kProjections) {
    all.push_back({.name = name, .as_if = as_if, .taps = std::move(taps), .make = std::move(make)});
  };
  const auto after = [](std::function<void(const Projection&, std::span<float>)> change) {
    return product({.after = std::move(change)});
  };
  const auto before = [](std::function<void(const Making&, TernaryMatrix&, Codes&)> change) {
    return product({.before = std::move(change)});
  };
  const auto to_nearest = [](float x) { return static_cast<int>(bitnet::round_half_even(x)); };

  add("scale-missing", "the weight scale were left out",
      before([](const Making&, TernaryMatrix& matrix, Codes&) { matrix.scale = 1; }));
  add("scale-divided", "it divided by the weight scale instead of multiplying",
      product({.before = [](const Making&, TernaryMatrix& matrix, Codes&) { matrix.scale = 1; },
               .after =
                   [](const Projection& p, std::span<float> row) {
                     for (float& y : row) y /= p.matrix.scale;
                   }}));
  add("scale-squared", "the weight scale were multiplied in twice",
      after([](const Projection& p, std::span<float> row) {
        for (float& y : row) y *= p.matrix.scale;
      }));
  add("i2s-arm-layout", "the I2_S bytes were read in Arm's layout (64 weights a block) instead of x86's",
      product_of_codes(
          [](const TernaryMatrix& m, auto& packed) { reread(bitnet::I2sLayout::arm, m, packed); }));
  add("i2s-4-row-layout", "the I2_S bytes were read in the 4-row layout instead of x86's",
      product_of_codes([](const TernaryMatrix& m, auto& packed) {
        if (m.rows % 4 == 0) reread(bitnet::I2sLayout::four_row, m, packed);
      }));
  add("codes-not-centred", "the codes 0, 1, 2 were taken as weights, without the -1",
      before([](const Making&, TernaryMatrix&, Codes& x) { std::ranges::fill(x.sums, 0); }));
  add("codes-reversed", "-1 and +1 had changed places", after([](const Projection&, std::span<float> row) {
        for (float& y : row) y = -y;
      }));
  add("one-scale-per-batch", "all rows of the batch shared one activation scale",
      before([=](const Making& m, TernaryMatrix&, Codes& x) {
        const float shared = *std::ranges::min_element(x.scales);
        requantize(
            m, x, [=](std::size_t) { return shared; }, to_nearest);
      }));
  add("activations-of-128", "activations were scaled to 128 instead of 127, and clipped",
      before([=](const Making& m, TernaryMatrix&, Codes& x) {
        const std::vector<float> right = x.scales;
        requantize(
            m, x, [&](std::size_t t) { return right[t] * (128.0f / 127.0f); }, to_nearest);
      }));
  add("activations-truncated", "activation codes were rounded towards zero",
      before([](const Making& m, TernaryMatrix&, Codes& x) {
        const std::vector<float> right = x.scales;
        requantize(
            m, x, [&](std::size_t t) { return right[t]; }, [](float v) { return static_cast<int>(v); });
      }));
  add("last-columns-dropped", "the last 32 columns of each dot product were left out",
      before([](const Making& m, TernaryMatrix&, Codes& x) {
        for (std::size_t t = 0; t < m.rows(); ++t) std::ranges::fill(x.row(t).last(32), std::int8_t{0});
        x.sum_up();
      }));
  add("last-rows-dropped", "the last 16 rows of the matrix were never computed",
      after([](const Projection&, std::span<float> row) {
        std::ranges::fill(row.last(std::min<std::size_t>(16, row.size())), 0.0f);
      }));
  add("empty-kernel", "the kernel did nothing",
      after([](const Projection&, std::span<float> row) { std::ranges::fill(row, 0.0f); }));
  add("weight-flipped", "one ternary weight (row 11, column 37) had another value",
      product_of_codes([](const TernaryMatrix& m, auto& packed) { flip_weight(11, 37, m, packed); }));
  add("channel-scaled", "channel 7 were 1 % too great",
      after([](const Projection&, std::span<float> row) { row[7] *= 1.01f; }));
  for (Mistake& m : all) m.planted_only = m.name == "weight-flipped" || m.name == "channel-scaled";
  add("bias-missing", "the bias were left out",
      [without = product({.with_bias = false})](const Workbench& bench) -> Remake {
        const auto& layers = bench.model.weights().layers;
        const bool biased = std::ranges::any_of(layers, [](const bitnet::LayerWeights& l) {
          return std::ranges::any_of(l.projections(), [](const Projection* p) { return !p->bias.empty(); });
        });
        if (!biased) return {};
        return without(bench);
      });
  add("gate-and-up-swapped", "gate and up projection had changed places",
      [](const Workbench& bench) {
        return evaluates_instead(bench, [](bitnet::Operation op) {
          op.output.tap = op.output.tap == Tap::ffn_gate ? Tap::ffn_up : Tap::ffn_gate;
          return op;
        });
      },
      {Tap::ffn_gate, Tap::ffn_up});
  add("keys-for-values", "the values were the keys",
      [](const Workbench& bench) {
        return evaluates_instead(bench, [](bitnet::Operation op) {
          op.output.tap = Tap::k_proj;
          return op;
        });
      },
      {Tap::v_proj});
  add("kv-heads-swapped", "the first two KV heads had changed places",
      [](const Workbench& bench) -> Remake {
        const bitnet::Config& c = bench.model.config();
        if (c.n_head_kv < 2) return {};
        return [hd = static_cast<std::ptrdiff_t>(c.head_dim)](const Making& m, std::span<float> values) {
          for (std::size_t t = 0; t < m.rows(); ++t) {
            const auto row = m.row(values, t);
            std::swap_ranges(row.begin(), row.begin() + hd, row.begin() + hd);
          }
        };
      },
      {Tap::k_proj, Tap::v_proj});
  return all;
}

}  // namespace crossval
