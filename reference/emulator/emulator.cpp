#include "reference/emulator/emulator.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "engine/error.h"
#include "engine/gguf/gguf.h"
#include "engine/kernels/thread_pool.h"
#include "reference/emulator/half.h"
#include "reference/emulator/weights.h"

namespace crossval {
namespace {

using bitnet::Config;
using bitnet::Tap;
using bitnet::TapId;
using bitnet::TensorType;
using namespace emulation;

static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");

// T tokens, d = n_embd, f = n_ff, H heads of hd channels, G KV heads, V = n_vocab.

// Keys and values of every position so far, rounded to binary16.
struct LayerCache {
  std::vector<float> keys;    // (n_past, G*hd), after RoPE
  std::vector<float> values;  // (n_past, G*hd)
};

// One row of floats per token. Scores have H*(position+1) columns, everything else the same number in each.
struct Rows {
  std::vector<std::int64_t> offsets{0};  // (T + 1)
  std::vector<float> values;

  Rows() = default;
  Rows(std::int64_t rows, std::int64_t width) {
    for (std::int64_t t = 0; t < rows; ++t) offsets.push_back(offsets.back() + width);
    values.resize(static_cast<std::size_t>(offsets.back()));
  }
  std::int64_t count() const { return std::ssize(offsets) - 1; }
  std::int64_t width(std::int64_t t) const { return at(t + 1) - at(t); }
  float* operator[](std::int64_t t) { return values.data() + at(t); }
  const float* operator[](std::int64_t t) const { return values.data() + at(t); }
  std::span<const float> row(std::int64_t t) const {
    return {values.data() + at(t), static_cast<std::size_t>(width(t))};
  }

 private:
  std::int64_t at(std::int64_t t) const { return offsets[static_cast<std::size_t>(t)]; }
};

using Positions = std::span<const std::int32_t>;  // (T)

void append_f16(const Rows& rows, std::vector<float>& cache) {
  for (float value : rows.values) cache.push_back(round_to_f16(value));
}

std::vector<float> rounded_f16(const float* x, std::int64_t n) {
  std::vector<float> y(static_cast<std::size_t>(n));
  for (std::size_t k = 0; k < y.size(); ++k) y[k] = round_to_f16(x[k]);
  return y;
}

// C: the cells that bitnet.cpp's attention runs over.
std::int64_t padded_cells(std::int64_t cells) {
  return (cells + 31) / 32 * 32;
}

}  // namespace

struct Emulator::Impl {
  Impl(const bitnet::gguf::File& file, const Options& given)
      : c(bitnet::read_config(file)),
        w(load_weights(file, c, given.ternary)),
        options(given),
        loops(loops_of(given.width)),
        angles(c, w.rope_divisors, given.rope, given.rope_table),
        pool(given.threads > 0 ? given.threads : bitnet::physical_cores()) {
    if (given.width != 16 && given.width != 8) throw bitnet::InputError("the emulator's width is 16 or 8");
    if (c.head_dim % 16 != 0 || c.n_embd % 16 != 0 || c.n_ff % 16 != 0)
      throw bitnet::InputError(file.name() +
                               ": the emulator runs head, embedding and FFN sizes that are multiples of 16");
    if (reported()) options.quantizer = Quantizer::reported;
    c.activation = activation();
    caches.resize(static_cast<std::size_t>(c.n_layer));
  }

  bool reported() const { return options.generation == EmulatorGeneration::reported_2026; }
  // The architecture's, whatever the file's keys say. Of the architectures only this one is reported to have
  // changed.
  bitnet::Activation activation() const {
    const bool squared = c.architecture == bitnet::Architecture::bitnet_25 ||
                         (c.architecture == bitnet::Architecture::bitnet_b158 && !reported());
    return squared ? bitnet::Activation::relu_squared : bitnet::Activation::silu;
  }

  Config c;
  Weights w;
  Options options;
  const Loops& loops;
  Angles angles;
  std::int64_t n_past = 0;
  std::vector<LayerCache> caches;
  bitnet::ThreadPool pool;  // rows and heads are shared out; each sum is made by one thread

  // ---- Operations: rows in, rows out. `several`: the kernels for more than one token ----

  Rows embed(std::span<const std::int32_t> tokens) const {
    Rows y(std::ssize(tokens), c.n_embd);
    for (std::int64_t t = 0; t < y.count(); ++t)
      decode_row(w.token_embd, tokens[static_cast<std::size_t>(t)], y[t]);
    return y;
  }

  Rows rms_norm(const Rows& x, const std::vector<float>& weight) {
    Rows y(x.count(), std::ssize(weight));
    pool.parallel_for(x.count(), 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t t = begin; t < end; ++t) emulation::rms_norm(x[t], weight, c.rms_eps, y[t]);
    });
    return y;
  }

  Rows project(const Projection& p, const Rows& x, bool several) {
    Rows y = multiply_matrix(p.matrix, x, several);
    for (std::int64_t t = 0; t < y.count(); ++t)
      for (std::int64_t r = 0; r < p.matrix.rows; ++r) {
        if (p.factor) y[t][r] *= *p.factor;
        if (!p.bias.empty()) y[t][r] += p.bias[static_cast<std::size_t>(r)];
      }
    return y;
  }

  Rows multiply_matrix(const Matrix& m, const Rows& x, bool several) {
    if (m.type == TensorType::i2_s) return multiply_ternary(m, x);
    if (m.type == TensorType::q6_k) return multiply_q6_k(m, x);
    return multiply_float(m, x, several);
  }

  // 3.5: the same bits for any number of tokens.
  Rows multiply_ternary(const Matrix& m, const Rows& x) {
    std::vector<Codes> codes(static_cast<std::size_t>(x.count()));
    pool.parallel_for(x.count(), 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t t = begin; t < end; ++t)
        quantize(x.row(t), options.quantizer, codes[static_cast<std::size_t>(t)]);
    });
    Rows y(x.count(), m.rows);
    pool.parallel_for(m.rows, 16, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t r = begin; r < end; ++r)
        for (std::int64_t t = 0; t < x.count(); ++t) {
          const Codes& row = codes[static_cast<std::size_t>(t)];
          const std::int32_t dot =
              loops.code_dot(m.data + r * m.cols / 4, row.q.data(), m.cols, options.sums);
          y[t][r] = epilogue(dot, row, m.scale, options.quantizer);
        }
    });
    return y;
  }

  // F16 and F32 weights. One token: the input is rounded to the weights' type, 6.3 or 6.5. Several: 6.4 with
  // the input as it is, where tinyBLAS is built in and takes the row length. The other types: 6.5 always.
  Rows multiply_float(const Matrix& m, const Rows& x, bool several) {
    const bool half = m.type == TensorType::f16;
    const bool native = half || m.type == TensorType::f32;
    const bool tiny = native && several && options.tinyblas && m.cols % options.width == 0;
    const auto dot = tiny ? loops.dot_tiny : half ? loops.dot_f16 : loops.dot_f32;
    std::vector<float> input = x.values;
    if (half && !tiny) input = rounded_f16(x.values.data(), std::ssize(x.values));
    Rows y(x.count(), m.rows);
    constexpr std::int64_t kBlock = 4;  // rows of weights decoded at a time
    std::vector<float> rows(static_cast<std::size_t>(pool.threads() * kBlock * m.cols));
    pool.parallel_for(m.rows, 16, [&](std::int64_t begin, std::int64_t end, int worker) {
      float* block = rows.data() + worker * kBlock * m.cols;
      for (std::int64_t r = begin; r < end; r += kBlock) {
        const std::int64_t n = std::min(kBlock, end - r);
        for (std::int64_t i = 0; i < n; ++i) decode_row(m, r + i, block + i * m.cols);
        for (std::int64_t t = 0; t < x.count(); ++t) {
          const float* in = input.data() + t * m.cols;
          if (tiny && n == kBlock) {
            loops.dots_tiny(block, in, m.cols, y[t] + r);
          } else {
            for (std::int64_t i = 0; i < n; ++i) y[t][r + i] = dot(block + i * m.cols, in, m.cols);
          }
        }
      }
    });
    return y;
  }

  Rows multiply_q6_k(const Matrix& m, const Rows& x) {
    std::vector<BlockCodes> codes(static_cast<std::size_t>(x.count()));
    for (std::int64_t t = 0; t < x.count(); ++t)
      quantize_blocks(x.row(t), codes[static_cast<std::size_t>(t)]);
    Rows y(x.count(), m.rows);
    pool.parallel_for(m.rows, 16, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t r = begin; r < end; ++r)
        for (std::int64_t t = 0; t < x.count(); ++t)
          y[t][r] =
              dot_q6_k(m.data + r * (m.cols / kQ6Values * kQ6Bytes), codes[static_cast<std::size_t>(t)]);
    });
    return y;
  }

  // 6.10. FMA as clang writes it.
  Rows rope(Rows x, std::int64_t heads, Positions positions) {
    angles.prepare(positions.back() + 1);
    const std::int64_t pairs = c.n_rot / 2;
    const bool neox = c.rope_pairing == bitnet::RopePairing::neox;
    for (std::int64_t t = 0; t < x.count(); ++t) {
      const float* cosine = angles.cosines(positions[static_cast<std::size_t>(t)]);
      const float* sine = angles.sines(positions[static_cast<std::size_t>(t)]);
      for (std::int64_t h = 0; h < heads; ++h)
        for (std::int64_t i = 0; i < pairs; ++i) {
          float* first = x[t] + h * c.head_dim + (neox ? i : 2 * i);
          float* second = first + (neox ? pairs : 1);
          const float x0 = *first, x1 = *second;
          *first = std::fma(x0, cosine[i], -(x1 * sine[i]));
          *second = std::fma(x0, sine[i], x1 * cosine[i]);
        }
    }
    return x;
  }

  // q k: (T, H*hd) -> (T, H*(p+1)). Queries lie apart from each other, which keeps tinyBLAS away, unless the
  // model has a single head (5.3).
  Rows scores(const Rows& q, const std::vector<float>& keys, Positions positions, bool several) {
    const bool tiny = several && options.tinyblas && c.n_head == 1 && c.head_dim % options.width == 0;
    Rows y = score_rows(positions);
    for_each_head(q.count(), [&](std::int64_t t, std::int64_t h, int) {
      const std::int64_t cells = cells_of(positions, t);
      const float* query = q[t] + h * c.head_dim;
      const auto rounded = rounded_f16(query, c.head_dim);
      for (std::int64_t cell = 0; cell < cells; ++cell) {
        const float* key = keys.data() + cell * c.kv_width() + kv_head(h) * c.head_dim;
        y[t][h * cells + cell] =
            tiny ? loops.dot_tiny(key, query, c.head_dim) : loops.dot_f16(key, rounded.data(), c.head_dim);
      }
    });
    return y;
  }

  Rows soft_max(Rows x, Positions positions) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    for_each_head(x.count(), [&](std::int64_t t, std::int64_t h, int) {
      const std::int64_t cells = cells_of(positions, t);
      loops.soft_max(x[t] + h * cells, cells, scale);
    });
    return x;
  }

  // Probabilities times values: (T, H*(p+1)) -> (T, H*hd). `padded`: the cells of the evaluation, or 0 where
  // each row counts its own.
  Rows context(const Rows& probabilities, const std::vector<float>& values, Positions positions, bool several,
               std::int64_t padded) {
    const bool tiny = several && options.tinyblas;  // a padded row is a multiple of 32
    Rows y(probabilities.count(), c.q_width());
    std::vector<float> scratch(static_cast<std::size_t>(pool.threads() * 64 * c.head_dim));
    for_each_head(probabilities.count(), [&](std::int64_t t, std::int64_t h, int worker) {
      const std::int64_t cells = cells_of(positions, t);
      const float* p = probabilities[t] + h * cells;
      const float* value = values.data() + kv_head(h) * c.head_dim;
      float* lanes = scratch.data() + worker * 64 * c.head_dim;
      float* out = y[t] + h * c.head_dim;
      if (tiny) {
        loops.context_tiny(p, value, c.kv_width(), cells, c.head_dim, lanes, out);
      } else {
        const auto rounded = rounded_f16(p, cells);
        loops.context_f16(rounded.data(), value, c.kv_width(), cells,
                          padded > 0 ? padded : padded_cells(cells), c.head_dim, lanes, out);
      }
    });
    return y;
  }

  Rows activate(Rows x) const {
    if (c.activation == bitnet::Activation::silu) {
      loops.silu(x.values.data(), std::ssize(x.values));
    } else {
      for (float& v : x.values) {
        v = v > 0 ? v : 0;
        v *= v;
      }
    }
    return x;
  }

  static Rows add(Rows a, const Rows& b) {
    for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] += b.values[i];
    return a;
  }

  static Rows multiply(Rows a, const Rows& b) {
    for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] *= b.values[i];
    return a;
  }

  // ---- The forward pass ----

  // What the place and the number of an evaluation's tokens decide.
  struct Step {
    std::vector<std::int32_t> positions;
    bool several;         // the kernels for more than one token
    std::int64_t padded;  // cells that attention runs over
  };
  Step step_at(std::int64_t first, std::int64_t tokens) const {
    Step s{
        {}, tokens >= 2 || options.batch_class == EmulatorBatchClass::several, padded_cells(first + tokens)};
    for (std::int64_t t = 0; t < tokens; ++t) s.positions.push_back(static_cast<std::int32_t>(first + t));
    return s;
  }

  static bool wanted(const Hook& hook, TapId id) { return hook.wants && hook.wants(id); }
  // Every value passes here between the operation that makes it and those that read it.
  static Rows tap(const Hook& hook, TapId id, Rows rows) {
    if (wanted(hook, id)) hook.show(id, rows.offsets, rows.values);
    return rows;
  }

  Rows run_layer(int i, Rows x, LayerCache& cache, const Step& s, const Hook& hook) {
    const Layer& layer = w.layers[static_cast<std::size_t>(i)];
    const bool several = s.several;

    const Rows a = tap(hook, {Tap::attn_norm, i}, rms_norm(x, layer.attn_norm));
    Rows q = tap(hook, {Tap::q_proj, i}, project(layer.wq, a, several));
    q = tap(hook, {Tap::q_rope, i}, rope(std::move(q), c.n_head, s.positions));
    Rows k = tap(hook, {Tap::k_proj, i}, project(layer.wk, a, several));
    k = tap(hook, {Tap::k_rope, i}, rope(std::move(k), c.n_head_kv, s.positions));
    const Rows v = tap(hook, {Tap::v_proj, i}, project(layer.wv, a, several));
    append_f16(k, cache.keys);
    append_f16(v, cache.values);

    const Rows kq = tap(hook, {Tap::kq, i}, scores(q, cache.keys, s.positions, several));
    const Rows probabilities = tap(hook, {Tap::kq_soft_max, i}, soft_max(kq, s.positions));
    Rows attended =
        tap(hook, {Tap::attn_ctx, i}, context(probabilities, cache.values, s.positions, several, s.padded));
    if (c.sub_norms) attended = tap(hook, {Tap::attn_sub_norm, i}, rms_norm(attended, layer.attn_sub_norm));
    Rows o = tap(hook, {Tap::attn_out, i}, project(layer.wo, attended, several));
    x = tap(hook, {Tap::ffn_inp, i}, add(std::move(o), x));

    const Rows b = tap(hook, {Tap::ffn_norm, i}, rms_norm(x, layer.ffn_norm));
    Rows gate = tap(hook, {Tap::ffn_gate, i}, project(layer.gate, b, several));
    const Rows up = tap(hook, {Tap::ffn_up, i}, project(layer.up, b, several));
    gate = tap(hook, {Tap::ffn_act, i}, activate(std::move(gate)));
    Rows hidden = tap(hook, {Tap::ffn_par, i}, multiply(std::move(gate), up));
    if (c.sub_norms) hidden = tap(hook, {Tap::ffn_sub_norm, i}, rms_norm(hidden, layer.ffn_sub_norm));
    Rows down = tap(hook, {Tap::ffn_down, i}, project(layer.down, hidden, several));
    return tap(hook, {Tap::l_out, i}, add(std::move(down), x));
  }

  void forward(std::span<const std::int32_t> tokens, const Hook& hook) {
    // What an evaluation that threw has left in the cache is not of the sequence.
    for (LayerCache& cache : caches) {
      cache.keys.resize(static_cast<std::size_t>(n_past * c.kv_width()));
      cache.values.resize(static_cast<std::size_t>(n_past * c.kv_width()));
    }
    const Step s = step_at(n_past, std::ssize(tokens));
    Rows x = tap(hook, {Tap::inp_embd, -1}, embed(tokens));
    for (int i = 0; i < c.n_layer; ++i)
      x = run_layer(i, std::move(x), caches[static_cast<std::size_t>(i)], s, hook);

    // Half of a small model's work, so it waits until someone looks.
    if (wanted(hook, {Tap::result_norm, -1}) || wanted(hook, {Tap::result_output, -1})) {
      x = tap(hook, {Tap::result_norm, -1}, rms_norm(x, w.output_norm));
      if (wanted(hook, {Tap::result_output, -1}))
        tap(hook, {Tap::result_output, -1}, multiply_matrix(w.head, x, s.several));
    }
    n_past += std::ssize(tokens);
  }

  // One layer of `forward` on given inputs.
  void evaluate_layer(const bitnet::LayerInputs& in, const Hook& hook) {
    const std::int64_t past = in.positions[0] * c.kv_width();
    LayerCache cache{rounded_f16(in.keys, past), rounded_f16(in.values, past)};
    Rows x(std::ssize(in.positions), c.n_embd);
    std::copy_n(in.input, std::ssize(x.values), x.values.begin());
    run_layer(in.layer, std::move(x), cache, step_at(in.positions[0], std::ssize(in.positions)), hook);
  }

  // One operation of `forward` on given inputs.
  Rows evaluate(const bitnet::Operation& op) {
    const bitnet::OperationInputs inputs = bitnet::inputs_of(c, op.output);
    const Positions p = op.positions;
    const auto rows_of = [&](const std::optional<TapId>& id, const float* data) {
      Rows rows;
      if (!id) return rows;
      for (std::int32_t position : p)
        rows.offsets.push_back(rows.offsets.back() + bitnet::tap_width(c, id->tap, position));
      rows.values.assign(data, data + rows.offsets.back());
      return rows;
    };
    Rows a = rows_of(inputs.a, op.a);
    const Rows b = rows_of(inputs.b, op.b);
    std::vector<float> history;  // as the cache would hold it
    if (inputs.history) history = rounded_f16(op.history, (p.back() + 1) * c.kv_width());

    static const Layer kNone;
    const Layer& layer = op.output.layer >= 0 ? w.layers[static_cast<std::size_t>(op.output.layer)] : kNone;
    const bool several = options.batch_class == EmulatorBatchClass::several;
    // clang-format off
    switch (op.output.tap) {
      case Tap::inp_embd: return embed(op.tokens);
      case Tap::attn_norm: return rms_norm(a, layer.attn_norm);
      case Tap::q_proj: return project(layer.wq, a, several);
      case Tap::q_rope: return rope(std::move(a), c.n_head, p);
      case Tap::k_proj: return project(layer.wk, a, several);
      case Tap::k_rope: return rope(std::move(a), c.n_head_kv, p);
      case Tap::v_proj: return project(layer.wv, a, several);
      case Tap::kq: return scores(a, history, p, several);
      case Tap::kq_soft_max: return soft_max(std::move(a), p);
      case Tap::attn_ctx: return context(a, history, p, several, 0);
      case Tap::attn_sub_norm: return rms_norm(a, layer.attn_sub_norm);
      case Tap::attn_out: return project(layer.wo, a, several);
      case Tap::ffn_inp: return add(std::move(a), b);
      case Tap::ffn_norm: return rms_norm(a, layer.ffn_norm);
      case Tap::ffn_gate: return project(layer.gate, a, several);
      case Tap::ffn_up: return project(layer.up, a, several);
      case Tap::ffn_act: return activate(std::move(a));
      case Tap::ffn_par: return multiply(std::move(a), b);
      case Tap::ffn_sub_norm: return rms_norm(a, layer.ffn_sub_norm);
      case Tap::ffn_down: return project(layer.down, a, several);
      case Tap::l_out: return add(std::move(a), b);
      case Tap::result_norm: return rms_norm(a, w.output_norm);
      case Tap::result_output: return multiply_matrix(w.head, a, several);
    }
    // clang-format on
    return {};
  }

  // ---- What the operations share ----

  void decode_row(const Matrix& m, std::int64_t r, float* row) const {
    switch (m.type) {
      case TensorType::f32:
        std::memcpy(row, m.data + r * m.cols * 4, static_cast<std::size_t>(m.cols) * 4);
        break;
      case TensorType::f16:
        loops.widen(m.data + r * m.cols * 2, m.cols, row);
        break;
      case TensorType::q6_k:
        decode_q6_k(m.data + r * (m.cols / kQ6Values * kQ6Bytes), m.cols, row);
        break;
      case TensorType::q8_0:
        decode_q8_0(m.data + r * (m.cols / kQ8Values * kQ8Bytes), m.cols, row);
        break;
      case TensorType::q5_0:
        decode_q5_0(m.data + r * (m.cols / kQ8Values * kQ5Bytes), m.cols, row);
        break;
      case TensorType::q4_0:
        decode_q4_0(m.data + r * (m.cols / kQ8Values * kQ4Bytes), m.cols, row);
        break;
      case TensorType::q4_k:
        decode_q4_k(m.data + r * (m.cols / kQ6Values * kQ4kBytes), m.cols, row);
        break;
      case TensorType::bf16:
        decode_bf16(m.data + r * m.cols * 2, m.cols, row);
        break;
      default:
        for (std::int64_t k = 0; k < m.cols; ++k) {
          const std::int64_t j = k % 128;
          const auto byte = std::to_integer<unsigned>(m.data[(r * m.cols + k) / 128 * 32 + j % 32]);
          const unsigned code = (byte >> (6 - 2 * (j / 32))) & 3u;
          row[k] = code == 3 ? 0.0f : m.scale * (static_cast<float>(code) - 1.0f);  // 3.7
        }
    }
  }

  static std::int64_t cells_of(Positions positions, std::int64_t t) {
    return positions[static_cast<std::size_t>(t)] + 1;
  }
  std::int64_t kv_head(std::int64_t h) const { return h / (c.n_head / c.n_head_kv); }

  // (T, H*(p+1)), head by head cells 0 .. p.
  Rows score_rows(Positions positions) const {
    Rows y;
    for (std::int64_t position : positions) y.offsets.push_back(y.offsets.back() + c.n_head * (position + 1));
    y.values.resize(static_cast<std::size_t>(y.offsets.back()));
    return y;
  }

  template <class F>
  void for_each_head(std::int64_t tokens, F&& f) {
    pool.parallel_for(tokens * c.n_head, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
      for (std::int64_t i = begin; i < end; ++i) f(i / c.n_head, i % c.n_head, worker);
    });
  }

  void check_tokens(std::span<const std::int32_t> tokens) const {
    for (std::int32_t token : tokens)
      if (token < 0 || token >= c.n_vocab)
        throw bitnet::InputError("token " + std::to_string(token) + " is not of the vocabulary (" +
                                 std::to_string(c.n_vocab) + " tokens)");
  }
};

Emulator::Emulator(const bitnet::gguf::File& file, const Options& options)
    : impl_(std::make_unique<Impl>(file, options)) {}
Emulator::Emulator(Emulator&&) noexcept = default;
Emulator& Emulator::operator=(Emulator&&) noexcept = default;
Emulator::~Emulator() = default;

const Config& Emulator::config() const {
  return impl_->c;
}
const EmulatorOptions& Emulator::options() const {
  return impl_->options;
}
int Emulator::threads() const {
  return impl_->pool.threads();
}
std::int64_t Emulator::position() const {
  return impl_->n_past;
}
void Emulator::reset() {
  impl_->n_past = 0;
}

void Emulator::forward(std::span<const std::int32_t> tokens, const Hook& hook) {
  impl_->check_tokens(tokens);
  if (position() + std::ssize(tokens) > config().n_ctx)
    throw bitnet::InputError("the model's context holds " + std::to_string(config().n_ctx) + " tokens, not " +
                             std::to_string(position() + std::ssize(tokens)));
  if (!tokens.empty()) impl_->forward(tokens, hook);
}

std::vector<float> Emulator::evaluate(const bitnet::Operation& operation) {
  bitnet::check(config(), operation);
  if (operation.positions.empty()) return {};
  return impl_->evaluate(operation).values;
}

void Emulator::evaluate_layer(const bitnet::LayerInputs& inputs, const Hook& hook) {
  bitnet::check(config(), inputs);
  if (!inputs.positions.empty()) impl_->evaluate_layer(inputs, hook);
}

}  // namespace crossval
