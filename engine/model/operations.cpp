#include "engine/model/operations.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "engine/formats/i2s.h"
#include "engine/kernels/huge_pages.h"
#include "engine/model/grow.h"

namespace bitnet {
namespace {

// Below this many elements, handing work to other threads costs more than it saves.
constexpr std::int64_t kElementGrain = 8192;

// With this many rows of activations for each thread, threads share out those of a product instead of the
// rows of weights: each keeps its activations in its own cache, and all read the same weights.
constexpr std::int64_t kRowsToShare = 64;

// Rows of a prompt whose attention is taken together, and the scores that a worker holds for them: so many
// rows that keys and values are read and widened seldom, so few scores that they stay in a core's own cache.
constexpr std::int64_t kGroupRows = 16;
constexpr std::int64_t kGroupScores = 65536;
constexpr std::int64_t kLine = 16;  // floats in a cache line

// One function of several signatures, for the type that a matrix turns out to have.
template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

// The kernel that decodes a row of a matrix.
constexpr Overloaded decoder_of = {
    [](const f16*) { return &Kernels::to_f32; },
    [](const bf16*) { return &Kernels::decode_bf16; },
    [](const q8_0::Block*) { return &Kernels::decode_q8_0; },
    [](const q6_k::Block*) { return &Kernels::decode_q6_k; },
    [](const q5_0::Block*) { return &Kernels::decode_q5_0; },
    [](const q4_k::Block*) { return &Kernels::decode_q4_k; },
    [](const q4_0::Block*) { return &Kernels::decode_q4_0; },
};

// What a kind of work costs at least (profile.h).

constexpr std::int64_t kFloat = sizeof(float);
constexpr std::int64_t kHalf = sizeof(f16);

Amount product_amount(const TernaryMatrix& w, std::int64_t rows) {
  return {.bytes = w.rows * w.cols / 4 + rows * (w.cols + w.rows * kFloat),
          .int_operations = 2 * w.rows * w.cols * rows};
}

Amount head_amount(const FloatMatrix& w, std::int64_t rows) {
  Amount amount = {.bytes = w.bytes() + rows * (w.cols + w.rows) * kFloat};
  const bool integer = w.type() == TensorType::q6_k || w.type() == TensorType::i2_s;
  (integer ? amount.int_operations : amount.float_operations) = 2 * w.rows * w.cols * rows;
  return amount;
}

// Rows that follow one another in a sequence share the cells that they see.
std::array<Amount, Profile::kSteps.size()> attention_amounts(const Config& c,
                                                             std::span<const VisibleCells> rows) {
  std::int64_t read = 0, seen = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    seen += rows[i].cells;
    if (i + 1 == rows.size() || rows[i + 1].keys != rows[i].keys) read += rows[i].cells;
  }
  const std::int64_t cached = read * c.kv_width() * kHalf, products = 2 * seen * c.q_width();
  const std::int64_t scores = seen * c.n_head, row = static_cast<std::int64_t>(rows.size()) * c.q_width();
  return {{{.bytes = cached + row * kHalf + scores * kFloat, .float_operations = products},
           {.bytes = 2 * scores * kFloat, .float_operations = 16 * scores},
           {.bytes = cached + row * kFloat + scores * kFloat, .float_operations = products}}};
}

}  // namespace

Operations::Operations(const Config& config, const Weights& weights, const Kernels& kernels, int threads,
                       RopeTable rope, std::span<const int> cpus)
    : config_(config),
      weights_(weights),
      kernels_(kernels),
      pool_(threads, cpus),
      rope_(std::move(rope)),
      kq_scale_(1.0f / std::sqrt(static_cast<float>(config.head_dim))),
      scores_(static_cast<std::size_t>(pool_.threads())) {
  // Reserved once, so that no token allocates; untouched memory costs nothing.
  const std::int64_t heads = config.n_head / config.n_head_kv;
  for (auto& s : scores_)
    s.reserve(static_cast<std::size_t>(std::max(heads * config.n_ctx, kGroupScores) +
                                       2 * kLine * (kGroupRows * heads + 1)));
}

void Operations::add_kernels(KernelCounts& counts) const {
  kernels_.add_to(counts);
  if (screen_) screen_->kernels().add_to(counts);
}

void Operations::populate_weights() {
  const auto populate_all = [&](const void* p, std::int64_t bytes) {
    pool_.parallel_for(bytes, std::int64_t{1} << 21, [&](std::int64_t begin, std::int64_t end, int) {
      populate(static_cast<const std::byte*>(p) + begin, end - begin);
    });
  };
  for (const LayerWeights& l : weights_.layers)
    for (const Projection* p : l.projections())
      populate_all(p->matrix.codes, p->matrix.rows * p->matrix.cols / 4);
  populate_all(weights_.output.bytes_at(), weights_.output.bytes());
}

void Operations::embed(std::span<const std::int32_t> tokens, float* y) {
  const FloatMatrix& embedding = weights_.token_embd;
  const std::int64_t n = config_.n_embd;
  const Timed timed(profile_, Work::embedding,
                    {.bytes = std::ssize(tokens) * (embedding.bytes() / embedding.rows + n * kFloat)});
  std::visit(
      Overloaded{[&](const float* data) {
                   for (std::size_t t = 0; t < tokens.size(); ++t)
                     std::memcpy(y + static_cast<std::int64_t>(t) * n, data + tokens[t] * n,
                                 static_cast<std::size_t>(n) * sizeof(float));
                 },
                 [&]<class T>(const T* data) {
                   const auto decode = kernels_.take(decoder_of(data));
                   for (std::size_t t = 0; t < tokens.size(); ++t)
                     decode(data + tokens[t] * (n / elements_in<T>), n, y + static_cast<std::int64_t>(t) * n);
                 },
                 [&](const TernaryMatrix& w) {
                   const std::span codes(reinterpret_cast<const std::byte*>(w.codes),
                                         static_cast<std::size_t>(w.rows * n / 4));
                   for (std::size_t t = 0; t < tokens.size(); ++t)
                     for (std::int64_t k = 0; k < n; ++k)
                       y[static_cast<std::int64_t>(t) * n + k] =
                           w.scale * static_cast<float>(i2s::code_at(codes, static_cast<std::uint64_t>(n),
                                                                     static_cast<std::uint64_t>(tokens[t]),
                                                                     static_cast<std::uint64_t>(k)) -
                                                        1);
                 }},
      embedding.data);
}

void Operations::norm(const float* x, std::int64_t rows, std::span<const float> weight, float* y) {
  const auto n = static_cast<std::int64_t>(weight.size());
  const Timed timed(profile_, Work::norm,
                    {.bytes = (2 * rows + 1) * n * kFloat, .float_operations = 4 * rows * n});
  const auto kernel = kernels_.take(&Kernels::rms_norm);
  // The kernel takes up to eight rows side by side, since each sum has one fixed order.
  pool_.parallel_for(rows, 8, [&](std::int64_t begin, std::int64_t end, int) {
    kernel(x + begin * n, end - begin, n, weight.data(), n, config_.rms_eps, y + begin * n, n);
  });
}

void Operations::quantize(const float* x, std::int64_t rows, std::int64_t n) {
  // Vectors of codes that cross cache lines cost a quarter of the AVX2 product's speed.
  quantized_codes_ = grow_aligned(codes_, rows * n);
  grow(scales_, rows);
  grow(sums_, rows);
  quantized_rows_ = rows;
  quantized_width_ = n;
  const Timed timed(profile_, Work::quantize,
                    {.bytes = rows * n * (kFloat + 1), .float_operations = 3 * rows * n});
  const auto kernel = kernels_.take(&Kernels::quantize_row);
  pool_.parallel_for(rows, 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t t = begin; t < end; ++t)
      kernel(x + t * n, n, quantized_codes_ + t * n, &scales_[static_cast<std::size_t>(t)],
             &sums_[static_cast<std::size_t>(t)]);
  });
}

void Operations::project(const Projection& p, float* y, Work work) {
  const TernaryMatrix& w = p.matrix;
  const Timed timed(profile_, work, product_amount(w, quantized_rows_));
  const QuantizedRows x{quantized_codes_, scales_.data(), sums_.data(), quantized_rows_, quantized_width_};
  const auto multiply = kernels_.take(&Kernels::ternary_matmul);
  const auto add = p.bias.empty() ? nullptr : kernels_.take(&Kernels::add);
  // Rows [begin, end) of the matrix for those of `part`, whose results lie at `to`.
  const auto product = [&](std::int64_t begin, std::int64_t end, const QuantizedRows& part, float* to) {
    multiply(w, begin, end, part, to, w.rows);
    for (std::int64_t t = 0; t < part.rows; ++t) {
      float* row = to + t * w.rows;
      if (p.factor != 1)
        for (std::int64_t r = begin; r < end; ++r) row[r] *= p.factor;
      if (add) add(row + begin, p.bias.data() + begin, end - begin, row + begin);
    }
  };
  if (x.rows >= kRowsToShare * threads()) {
    pool_.parallel_for(x.rows, 16, [&](std::int64_t begin, std::int64_t end, int) {
      const QuantizedRows part{x.codes + begin * x.stride, x.scales + begin, x.sums + begin, end - begin,
                               x.stride};
      product(0, w.rows, part, y + begin * w.rows);
    });
    return;
  }
  pool_.parallel_for(w.rows, 32,
                     [&](std::int64_t begin, std::int64_t end, int) { product(begin, end, x, y); });
}

void Operations::rope(float* x, std::int64_t heads, std::span<const std::int32_t> positions) {
  std::int64_t last = 0;
  for (std::int32_t p : positions) last = p > last ? p : last;
  rope_.prepare(last + 1);
  const auto rows = static_cast<std::int64_t>(positions.size());
  const std::int64_t width = heads * config_.head_dim;
  const Timed timed(profile_, Work::rope,
                    {.bytes = 2 * rows * width * kFloat, .float_operations = 3 * rows * width});
  const auto kernel = kernels_.take(&Kernels::rope);
  pool_.parallel_for(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t t = begin; t < end; ++t) {
      const RopeTable::Row row = rope_.row(positions[static_cast<std::size_t>(t)]);
      kernel(x + t * width, heads, config_.head_dim, config_.n_rot, config_.rope_pairing, row.cos, row.sin);
    }
  });
}

void Operations::to_f16(const float* x, std::int64_t n, f16* y) {
  const Timed timed(profile_, Work::elementwise, {.bytes = n * (kFloat + kHalf)});
  const auto kernel = kernels_.take(&Kernels::to_f16);
  pool_.parallel_for(n, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    kernel(x + begin, end - begin, y + begin);
  });
}

void Operations::group_rows(std::span<const VisibleCells> rows, std::int64_t most) {
  const std::int64_t heads = config_.n_head / config_.n_head_kv;
  groups_.clear();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!groups_.empty()) {
      RowGroup& last = groups_.back();
      const std::int64_t scores = (last.rows + 1) * heads * rows[i].cells;
      if (last.rows < most && scores <= kGroupScores && rows[i].keys == rows[last.first].keys &&
          rows[i].values == rows[last.first].values && rows[i].cells == rows[i - 1].cells + 1) {
        ++last.rows;
        continue;
      }
    }
    groups_.push_back({i, 1});
  }
}

template <class F>
void Operations::for_each_group(std::span<const VisibleCells> rows, std::int64_t most, F&& f) {
  group_rows(rows, most);
  const auto groups = std::ssize(groups_);
  const std::int64_t heads_per_kv = config_.n_head / config_.n_head_kv;
  // All heads of a KV head together, unless that leaves threads without work.
  std::int64_t heads = heads_per_kv;
  while (heads % 2 == 0 && groups * (config_.n_head / heads) < 4 * pool_.threads()) heads /= 2;
  const std::int64_t parts = config_.n_head / heads;
  pool_.parallel_for(groups * parts, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
    for (std::int64_t i = begin; i < end; ++i) {
      const RowGroup& group = groups_[static_cast<std::size_t>(i / parts)];
      const VisibleCells& cells = rows[group.first];
      const std::int64_t head = i % parts * heads;
      f(Heads{cells,
              {group.rows, heads, cells.cells},
              group.first,
              head,
              (static_cast<std::int64_t>(group.first) * config_.n_head + head) * config_.head_dim,
              head / heads_per_kv * config_.head_dim,
              worker});
    }
  });
}

void Operations::attention(const f16* q, std::span<const VisibleCells> rows, float* context) {
  const std::int64_t dim = config_.head_dim;
  const std::int64_t width = config_.q_width();
  const auto start = profile_ ? Profile::Clock::now() : Profile::Clock::time_point{};
  const auto score = kernels_.take(&Kernels::attn_scores);
  const auto soften = kernels_.take(&Kernels::softmax);
  const auto mix = kernels_.take(&Kernels::attn_context);
  for_each_group(rows, kGroupRows, [&](const Heads& h) {
    // Whole cache lines, an odd number of them so that rows do not crowd into a few sets of a cache.
    const std::int64_t stride = (h.cells.cells + h.group.tokens - 1 + kLine - 1) / kLine * kLine | kLine;
    const std::int64_t queries = h.group.tokens * h.group.heads;
    float* p = grow_aligned(scores_[static_cast<std::size_t>(h.worker)], queries * stride);
    StepTimer timer(profile_, h.worker);
    score(h.group, q + h.at, width, h.cells.keys, config_.kv_width(), h.kv_offset, dim, p, stride);
    timer.done(Work::scores);
    for (std::int64_t i = 0; i < queries; ++i)
      soften(p + i * stride, h.cells.cells + i / h.group.heads, kq_scale_);
    timer.done(Work::softmax);
    mix(h.group, p, stride, h.cells.values, h.kv_offset, dim, context + h.at, width);
    timer.done(Work::context);
  });
  if (profile_) profile_->add_steps(Profile::Clock::now() - start, attention_amounts(config_, rows));
}

void Operations::scores(const f16* q, std::span<const VisibleCells> rows,
                        std::span<const std::int64_t> offsets, float* kq) {
  const auto kernel = kernels_.take(&Kernels::attn_scores);
  for_each_group(rows, 1, [&](const Heads& h) {
    const std::int64_t cells = h.cells.cells;
    kernel(h.group, q + h.at, config_.q_width(), h.cells.keys, config_.kv_width(), h.kv_offset,
           config_.head_dim, kq + offsets[h.row] + h.head * cells, cells);
  });
}

void Operations::softmax(float* kq, std::span<const VisibleCells> rows,
                         std::span<const std::int64_t> offsets) {
  const auto kernel = kernels_.take(&Kernels::softmax);
  for_each_group(rows, 1, [&](const Heads& h) {
    const std::int64_t cells = h.cells.cells;
    for (std::int64_t i = 0; i < h.group.heads; ++i)
      kernel(kq + offsets[h.row] + (h.head + i) * cells, cells, kq_scale_);
  });
}

void Operations::context(const float* p, std::span<const VisibleCells> rows,
                         std::span<const std::int64_t> offsets, float* context) {
  const auto kernel = kernels_.take(&Kernels::attn_context);
  for_each_group(rows, 1, [&](const Heads& h) {
    const std::int64_t cells = h.cells.cells;
    float* copy = grow_aligned(scores_[static_cast<std::size_t>(h.worker)],
                               h.group.heads * cells);  // the kernel may round it
    std::copy_n(p + offsets[h.row] + h.head * cells, h.group.heads * cells, copy);
    kernel(h.group, copy, cells, h.cells.values, h.kv_offset, config_.head_dim, context + h.at,
           config_.q_width());
  });
}

void Operations::activate(const float* gate, std::int64_t n, float* y) {
  const auto kernel =
      kernels_.take(config_.activation == Activation::silu ? &Kernels::silu : &Kernels::relu_squared);
  const Timed timed(
      profile_, Work::elementwise,
      {.bytes = 2 * n * kFloat, .float_operations = config_.activation == Activation::silu ? 15 * n : n});
  pool_.parallel_for(n, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    kernel(gate + begin, end - begin, y + begin);
  });
}

void Operations::add(const float* a, const float* b, std::int64_t n, float* y) {
  const Timed timed(profile_, Work::elementwise, {.bytes = 3 * n * kFloat, .float_operations = n});
  const auto kernel = kernels_.take(&Kernels::add);
  pool_.parallel_for(n, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    kernel(a + begin, b + begin, end - begin, y + begin);
  });
}

void Operations::mul(const float* a, const float* b, std::int64_t n, float* y) {
  const Timed timed(profile_, Work::elementwise, {.bytes = 3 * n * kFloat, .float_operations = n});
  const auto kernel = kernels_.take(&Kernels::mul);
  pool_.parallel_for(n, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    kernel(a + begin, b + begin, end - begin, y + begin);
  });
}

void Operations::head(const float* x, std::int64_t rows, float* logits) {
  const FloatMatrix& m = weights_.output;
  const Timed timed(profile_, Work::head, head_amount(m, rows));
  const auto share = [&](auto&& product) {
    pool_.parallel_for(m.rows, 64, [&](std::int64_t begin, std::int64_t end, int) { product(begin, end); });
  };
  const auto dense = [&](auto operation, const auto* w, const auto* input) {
    const auto kernel = kernels_.take(operation);
    share([&](std::int64_t begin, std::int64_t end) {
      kernel(w, m.cols, begin, end, input, rows, m.cols, logits, m.rows);
    });
  };
  std::visit(Overloaded{
                 [&](const float* w) { dense(&Kernels::matmul_f32, w, x); },
                 [&](const f16* w) {
                   // An F16 head takes its input rounded to F16, as the reference's dot product does (6.3).
                   grow(half_, rows * m.cols);
                   kernels_.take (&Kernels::to_f16)(x, rows * m.cols, half_.data());
                   dense(&Kernels::matmul_f16, w, half_.data());
                 },
                 [&](const bf16* w) { dense(&Kernels::matmul_bf16, w, x); },
                 [&](const q8_0::Block* w) { dense(&Kernels::matmul_q8_0, w, x); },
                 [&](const q5_0::Block* w) { dense(&Kernels::matmul_q5_0, w, x); },
                 [&](const q4_k::Block* w) { dense(&Kernels::matmul_q4_k, w, x); },
                 [&](const q4_0::Block* w) { dense(&Kernels::matmul_q4_0, w, x); },
                 [&](const q6_k::Block* w) {
                   // Row follows row without a gap, so all blocks are one row to the kernel.
                   grow(blocks_, rows * m.cols / q6_k::Block::kElements);
                   kernels_.take (&Kernels::quantize_blocks)(x, rows * m.cols, blocks_.data());
                   const auto kernel = kernels_.take(&Kernels::matmul_q6_k);
                   share([&](std::int64_t begin, std::int64_t end) {
                     kernel(w, m.cols, begin, end, blocks_.data(), rows, logits, m.rows);
                   });
                 },
                 [&](const TernaryMatrix& w) {
                   quantize(x, rows, m.cols);
                   const QuantizedRows codes{quantized_codes_, scales_.data(), sums_.data(), rows, m.cols};
                   const auto kernel = kernels_.take(&Kernels::ternary_matmul);
                   share([&](std::int64_t begin, std::int64_t end) {
                     kernel(w, begin, end, codes, logits, m.rows);
                   });
                 },
             },
             m.data);
}

bool Operations::screened_argmax(const float* x, std::span<Pick> picks) {
  const FloatMatrix& w = weights_.output;
  const auto rows = static_cast<std::int64_t>(picks.size());
  if (!screen_) {
    if (screen_after_ < 0 || head_work_.tokens < screen_after_ || !ScreenedHead::possible(w)) return false;
    if (w.bytes() < screen_min_bytes_) return false;
    const auto start = std::chrono::steady_clock::now();
    screen_.emplace(w, kernels_.table(), pool_);
    head_work_.screen_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    head_work_.screens = 1;
    head_work_.screen_bytes = screen_->bytes();
  }
  if (!screen_pays_.ready()) return false;
  grow(half_, rows * w.cols);
  kernels_.take (&Kernels::to_f16)(x, rows * w.cols, half_.data());
  const bool picked = screen_->pick(half_.data(), picks, profile_);
  head_work_.bytes += screen_->bytes_read();
  if (!picked) {
    screen_pays_.failed();
    return false;
  }
  screen_pays_.succeeded();
  head_work_.screened += rows;
  head_work_.survivors += screen_->survivors();
  return true;
}

void Operations::head_argmax(const float* x, std::span<Pick> picks) {
  const FloatMatrix& w = weights_.output;
  const auto rows = static_cast<std::int64_t>(picks.size());
  if (!screened_argmax(x, picks)) {
    grow(logits_, rows * w.rows);
    head(x, rows, logits_.data());
    const Timed timed(profile_, Work::head, {.bytes = rows * w.rows * kFloat});
    const auto kernel = kernels_.take(&Kernels::argmax);
    for (std::int64_t t = 0; t < rows; ++t) {
      const float* logits = logits_.data() + t * w.rows;
      const std::int64_t best = kernel(logits, w.rows);
      picks[static_cast<std::size_t>(t)] = {static_cast<std::int32_t>(best), logits[best]};
    }
    head_work_.bytes += w.bytes();
  }
  head_work_.tokens += rows;
}

}  // namespace bitnet
