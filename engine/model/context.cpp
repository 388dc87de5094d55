#include "engine/model/context.h"

#include <algorithm>
#include <map>

#include "engine/error.h"
#include "engine/model/grow.h"
#include "engine/model/kv_blob.h"

namespace bitnet {
namespace {

RopeTable make_rope(const Model& model, const ContextOptions& options) {
  const auto& freqs = model.weights().rope_freqs;
  if (options.recorded_rope)
    return {model.config(), freqs, options.recorded_rope->cos, options.recorded_rope->sin};
  return {model.config(), freqs, options.rope};
}

int thread_count(const ContextOptions& options) {
  if (options.threads < 0 || options.threads > 1024)
    throw InputError("threads: must be between 1 and 1024, not " + std::to_string(options.threads));
  return options.threads == 0 ? physical_cores() : options.threads;
}

std::vector<int> pinned_cpus(const ContextOptions& options) {
  return options.pin ? pinning_order() : std::vector<int>{};
}

std::int64_t context_length(const Model& model, const ContextOptions& options) {
  return options.n_ctx > 0 ? std::min(options.n_ctx, model.config().n_ctx) : model.config().n_ctx;
}

// Row boundaries of a dense tensor.
void uniform_offsets(std::vector<std::int64_t>& offsets, std::int64_t rows, std::int64_t width) {
  offsets.resize(static_cast<std::size_t>(rows) + 1);
  for (std::int64_t i = 0; i <= rows; ++i) offsets[static_cast<std::size_t>(i)] = i * width;
}

}  // namespace

Context::Context(const Model& model, const ContextOptions& options)
    : model_(model),
      config_(model.config()),
      batch_(std::max<std::int64_t>(1, options.batch)),
      fingerprint_(kv_fingerprint(model, options)),
      cache_(config_, {.n_ctx = context_length(model, options),
                       .sequences = options.sequences,
                       .pool_tokens = options.pool_tokens,
                       .idle_bytes = options.idle_bytes}),
      operations_(config_, model.weights(), select_kernels(options.isa), thread_count(options),
                  make_rope(model, options), pinned_cpus(options)) {
  operations_.screen_after(options.screen_after, options.screen_min_bytes);
  operations_.populate_weights();
}

void Context::check(int sequence) const {
  if (!exists(sequence)) throw InputError("sequence " + std::to_string(sequence) + " does not exist");
}

void Context::check(std::span<const BatchRow> rows) {
  for (const BatchRow& row : rows) {
    if (row.token < 0 || row.token >= config_.n_vocab)
      throw InputError("token " + std::to_string(row.token) + " is outside the vocabulary of " +
                       std::to_string(config_.n_vocab));
    check(row.sequence);
  }
  more_.assign(static_cast<std::size_t>(cache_.slots()), 0);
  for (const BatchRow& row : rows) ++more_[static_cast<std::size_t>(row.sequence)];
  int s = 0;
  try {
    for (; s < cache_.slots(); ++s) cache_.reserve(s, more_[static_cast<std::size_t>(s)]);
  } catch (const InputError&) {
    while (s-- > 0) cache_.unreserve(s);
    throw;
  }
}

std::span<const std::int32_t> Context::tokens(int sequence) const {
  check(sequence);
  return cache_.tokens(sequence);
}

void Context::release(int sequence) {
  check(sequence);
  cache_.release(sequence);
}

int Context::fork(int sequence, std::int64_t length) {
  check(sequence);
  if (length < 0 || length > cache_.length(sequence))
    throw InputError("cannot fork " + std::to_string(length) + " tokens of sequence " +
                     std::to_string(sequence) + ", which has " + std::to_string(cache_.length(sequence)));
  return cache_.fork(sequence, length);
}

void Context::truncate(int sequence, std::int64_t length) {
  check(sequence);
  cache_.truncate(sequence, length);
}

std::vector<std::byte> Context::save(int sequence) const {
  check(sequence);
  return write_kv_blob(cache_, sequence, config_, fingerprint_);
}

int Context::restore(std::span<const std::byte> bytes) {
  return read_kv_blob(bytes, cache_, config_, fingerprint_);
}

Context::PoolUse Context::pool_use() const {
  const PagePool& pool = cache_.pool();
  return {pool.pages(), pool.pages() - pool.free_pages(), pool.real_bytes()};
}

std::span<const float> Context::forward(std::span<const BatchRow> rows, const TapHook* hook) {
  check(rows);
  const auto wanted = std::count_if(rows.begin(), rows.end(), [](const BatchRow& r) { return r.logits; });
  grow(logits_, wanted * config_.n_vocab);
  float* logits = logits_.data();
  for (std::size_t at = 0; at < rows.size(); at += static_cast<std::size_t>(batch_)) {
    const auto part = rows.subspan(at, std::min(static_cast<std::size_t>(batch_), rows.size() - at));
    forward_batch(part, hook, logits);
    logits +=
        std::count_if(part.begin(), part.end(), [](const BatchRow& r) { return r.logits; }) * config_.n_vocab;
  }
  return {logits_.data(), static_cast<std::size_t>(wanted * config_.n_vocab)};
}

std::span<const Pick> Context::forward_greedy(std::span<const BatchRow> rows) {
  check(rows);
  picks_.resize(static_cast<std::size_t>(
      std::count_if(rows.begin(), rows.end(), [](const BatchRow& r) { return r.logits; })));
  std::span<Pick> picks = picks_;
  for (std::size_t at = 0; at < rows.size(); at += static_cast<std::size_t>(batch_)) {
    const auto part = rows.subspan(at, std::min(static_cast<std::size_t>(batch_), rows.size() - at));
    const auto wanted = static_cast<std::size_t>(forward_layers(part, nullptr));
    if (wanted == 0) continue;
    operations_.head_argmax(normed_.data(), picks.first(wanted));
    picks = picks.subspan(wanted);
  }
  return picks_;
}

std::int64_t Context::forward_layers(std::span<const BatchRow> rows, const TapHook* hook) {
  const Config& c = config_;
  Operations& op = operations_;
  const Weights& w = model_.weights();
  auto T = static_cast<std::int64_t>(rows.size());
  const std::int64_t d = c.n_embd, qw = c.q_width(), kvw = c.kv_width(), ff = c.n_ff;

  grow(x_, T * d);
  grow(normed_, T * std::max(d, qw));
  grow(q_, T * qw);
  grow(k_, T * kvw);
  grow(v_, T * kvw);
  grow(q_half_, T * qw);
  grow(k_half_, T * kvw);
  grow(v_half_, T * kvw);
  grow(attended_, T * qw);
  grow(branch_, T * d);
  grow(gate_, T * ff);
  grow(up_, T * ff);

  // Each row takes the next position of its sequence.
  tokens_.clear();
  positions_.clear();
  for (const BatchRow& row : rows) {
    tokens_.push_back(row.token);
    positions_.push_back(static_cast<std::int32_t>(cache_.length(row.sequence)));
    cache_.append(row.sequence, row.token);
  }

  const auto tap = [&](Tap which, std::int64_t layer, float* data, std::int64_t width) {
    if (!hook) return;
    const TapId id{which, has_layer(which) ? static_cast<int>(layer) : -1};
    if (!hook->wants(id)) return;
    uniform_offsets(offsets_, T, width);
    hook->show({id, offsets_, data});
  };

  op.embed(tokens_, x_.data());
  tap(Tap::inp_embd, -1, x_.data(), d);

  for (std::int64_t i = 0; i < c.n_layer; ++i) {
    const LayerWeights& l = w.layers[static_cast<std::size_t>(i)];

    op.norm(x_.data(), T, l.attn_norm, normed_.data());
    tap(Tap::attn_norm, i, normed_.data(), d);

    op.quantize(normed_.data(), T, d);
    op.project(l.attn_q, q_.data(), Work::attn_q);
    tap(Tap::q_proj, i, q_.data(), qw);
    op.rope(q_.data(), c.n_head, positions_);
    tap(Tap::q_rope, i, q_.data(), qw);
    op.project(l.attn_k, k_.data(), Work::attn_k);
    tap(Tap::k_proj, i, k_.data(), kvw);
    op.rope(k_.data(), c.n_head_kv, positions_);
    tap(Tap::k_rope, i, k_.data(), kvw);
    op.project(l.attn_v, v_.data(), Work::attn_v);
    tap(Tap::v_proj, i, v_.data(), kvw);

    op.to_f16(q_.data(), T * qw, q_half_.data());
    op.to_f16(k_.data(), T * kvw, k_half_.data());
    op.to_f16(v_.data(), T * kvw, v_half_.data());
    store(rows, i);
    attention(i, T, hook);
    tap(Tap::attn_ctx, i, attended_.data(), qw);

    if (c.sub_norms) {
      op.norm(attended_.data(), T, l.attn_sub_norm, normed_.data());
      tap(Tap::attn_sub_norm, i, normed_.data(), qw);
    } else {
      std::copy_n(attended_.data(), T * qw, normed_.data());
    }
    op.quantize(normed_.data(), T, qw);
    op.project(l.attn_output, branch_.data(), Work::attn_output);
    tap(Tap::attn_out, i, branch_.data(), d);

    // After the last attention, rows whose logits nobody wants have no further effect.
    if (i + 1 == c.n_layer && !hook) T = keep_rows_with_logits(rows);

    op.add(branch_.data(), x_.data(), T * d, x_.data());
    tap(Tap::ffn_inp, i, x_.data(), d);

    op.norm(x_.data(), T, l.ffn_norm, normed_.data());
    tap(Tap::ffn_norm, i, normed_.data(), d);
    op.quantize(normed_.data(), T, d);
    op.project(l.ffn_gate, gate_.data(), Work::ffn_gate);
    tap(Tap::ffn_gate, i, gate_.data(), ff);
    op.project(l.ffn_up, up_.data(), Work::ffn_up);
    tap(Tap::ffn_up, i, up_.data(), ff);
    op.activate(gate_.data(), T * ff, gate_.data());
    tap(Tap::ffn_act, i, gate_.data(), ff);
    op.mul(gate_.data(), up_.data(), T * ff, gate_.data());
    tap(Tap::ffn_par, i, gate_.data(), ff);
    if (c.sub_norms) {
      op.norm(gate_.data(), T, l.ffn_sub_norm, gate_.data());
      tap(Tap::ffn_sub_norm, i, gate_.data(), ff);
    }
    op.quantize(gate_.data(), T, ff);
    op.project(l.ffn_down, branch_.data(), Work::ffn_down);
    tap(Tap::ffn_down, i, branch_.data(), d);

    op.add(branch_.data(), x_.data(), T * d, x_.data());
    tap(Tap::l_out, i, x_.data(), d);
  }

  if (T == 0) return 0;
  op.norm(x_.data(), T, w.output_norm, normed_.data());
  tap(Tap::result_norm, -1, normed_.data(), d);
  return T;
}

void Context::store(std::span<const BatchRow> rows, std::int64_t layer) {
  const std::int64_t width = config_.kv_width();
  const Timed timed(operations_.profile(), Work::cache,
                    {.bytes = 4 * std::ssize(rows) * width * static_cast<std::int64_t>(sizeof(f16))});
  visible_.resize(rows.size());
  operations_.for_each_row(std::ssize(rows), [&](std::size_t t) {
    const int s = rows[t].sequence;
    const std::int64_t cell = positions_[t], at = static_cast<std::int64_t>(t) * width;
    cache_.store(s, layer, cell, k_half_.data() + at, v_half_.data() + at);
    visible_[t] = {cache_.key_pages(s, layer), cache_.value_pages(s, layer), cell + 1};
  });
}

void Context::forward_batch(std::span<const BatchRow> rows, const TapHook* hook, float* logits) {
  const Config& c = config_;
  Operations& op = operations_;
  const std::int64_t T = forward_layers(rows, hook);
  if (T == 0) return;
  if (hook) {
    // All rows went through; their logits are a tap, and the caller's choice of rows is copied out of it.
    grow(scores_, T * c.n_vocab);
    op.head(normed_.data(), T, scores_.data());
    if (const TapId id{Tap::result_output, -1}; hook->wants(id)) {
      uniform_offsets(offsets_, T, c.n_vocab);
      hook->show({id, offsets_, scores_.data()});
    }
    for (std::int64_t t = 0; t < T; ++t) {
      if (!rows[static_cast<std::size_t>(t)].logits) continue;
      std::copy_n(scores_.data() + t * c.n_vocab, c.n_vocab, logits);
      logits += c.n_vocab;
    }
  } else {
    op.head(normed_.data(), T, logits);
  }
}

void Context::attention(std::int64_t layer, std::int64_t rows, const TapHook* hook) {
  const TapId kq{Tap::kq, static_cast<int>(layer)};
  const TapId soft{Tap::kq_soft_max, static_cast<int>(layer)};
  const bool want_kq = hook && hook->wants(kq);
  const bool want_soft = hook && hook->wants(soft);
  if (!want_kq && !want_soft) {
    operations_.attention(q_half_.data(), visible_, attended_.data());
    return;
  }
  offsets_.assign(1, 0);
  for (std::int64_t t = 0; t < rows; ++t)
    offsets_.push_back(offsets_.back() + config_.n_head * visible_[static_cast<std::size_t>(t)].cells);
  grow(scores_, offsets_.back());
  operations_.scores(q_half_.data(), visible_, offsets_, scores_.data());
  if (want_kq) hook->show({kq, offsets_, scores_.data()});
  operations_.softmax(scores_.data(), visible_, offsets_);
  if (want_soft) hook->show({soft, offsets_, scores_.data()});
  operations_.context(scores_.data(), visible_, offsets_, attended_.data());
}

std::int64_t Context::keep_rows_with_logits(std::span<const BatchRow> rows) {
  const std::int64_t d = config_.n_embd;
  std::int64_t kept = 0;
  for (std::size_t t = 0; t < rows.size(); ++t) {
    if (!rows[t].logits) continue;
    const auto from = static_cast<std::int64_t>(t);
    if (kept != from) {
      std::copy_n(x_.data() + from * d, d, x_.data() + kept * d);
      std::copy_n(branch_.data() + from * d, d, branch_.data() + kept * d);
    }
    ++kept;
  }
  return kept;
}

OperationEvaluator::OperationEvaluator(const Model& model, const ContextOptions& options)
    : model_(model),
      config_(model.config()),
      operations_(config_, model.weights(), select_kernels(options.isa), thread_count(options),
                  make_rope(model, options), pinned_cpus(options)) {}

std::vector<float> OperationEvaluator::evaluate(const Operation& o) {
  const Config& c = config_;
  Operations& op = operations_;
  const Weights& w = model_.weights();
  const auto T = static_cast<std::int64_t>(o.positions.size());
  const Tap tap = o.output.tap;

  std::vector<std::int64_t> offsets{0};
  for (std::int32_t p : o.positions) offsets.push_back(offsets.back() + tap_width(c, tap, p));
  std::vector<float> y(static_cast<std::size_t>(offsets.back()));
  if (T == 0) return y;

  static const LayerWeights kNoLayer;
  const LayerWeights& l = has_layer(tap) ? w.layers.at(static_cast<std::size_t>(o.output.layer)) : kNoLayer;
  const auto product = [&](const Projection& projection, Work work) {
    op.quantize(o.a, T, projection.matrix.cols);
    op.project(projection, y.data(), work);
  };
  const auto rotate = [&](std::int64_t heads) {
    std::copy_n(o.a, y.size(), y.data());
    op.rope(y.data(), heads, o.positions);
  };
  // The rows of keys or values given as history, in pages of a one-layer cache.
  const auto paged = [&](KvCache& cache, std::vector<VisibleCells>& visible) {
    const std::int64_t cells = o.positions.back() + 1, width = c.kv_width();
    std::vector<f16> half(static_cast<std::size_t>(cells * width));
    op.to_f16(o.history, cells * width, half.data());
    for (std::int64_t cell = 0; cell < cells; ++cell) {
      cache.append(0, 0);  // whatever token it was
      cache.store(0, 0, cell, half.data() + cell * width, half.data() + cell * width);
    }
    for (std::int32_t p : o.positions)
      visible.push_back({cache.key_pages(0, 0), cache.value_pages(0, 0), p + 1});
  };
  Config one_layer = c;
  one_layer.n_layer = 1;

  switch (tap) {
    case Tap::inp_embd:
      op.embed(o.tokens, y.data());
      break;
    case Tap::attn_norm:
      op.norm(o.a, T, l.attn_norm, y.data());
      break;
    case Tap::q_proj:
      product(l.attn_q, Work::attn_q);
      break;
    case Tap::q_rope:
      rotate(c.n_head);
      break;
    case Tap::k_proj:
      product(l.attn_k, Work::attn_k);
      break;
    case Tap::k_rope:
      rotate(c.n_head_kv);
      break;
    case Tap::v_proj:
      product(l.attn_v, Work::attn_v);
      break;
    case Tap::kq: {
      KvCache cache(one_layer, {.n_ctx = o.positions.back() + 1});
      std::vector<VisibleCells> visible;
      paged(cache, visible);
      std::vector<f16> q(static_cast<std::size_t>(T * c.q_width()));
      op.to_f16(o.a, T * c.q_width(), q.data());
      op.scores(q.data(), visible, offsets, y.data());
      break;
    }
    case Tap::kq_soft_max: {
      std::copy_n(o.a, y.size(), y.data());
      std::vector<VisibleCells> visible;
      for (std::int32_t p : o.positions) visible.push_back({nullptr, nullptr, p + 1});
      op.softmax(y.data(), visible, offsets);
      break;
    }
    case Tap::attn_ctx: {
      KvCache cache(one_layer, {.n_ctx = o.positions.back() + 1});
      std::vector<VisibleCells> visible;
      paged(cache, visible);
      std::vector<std::int64_t> p_offsets{0};
      for (std::int32_t p : o.positions) p_offsets.push_back(p_offsets.back() + c.n_head * (p + 1));
      op.context(o.a, visible, p_offsets, y.data());
      break;
    }
    case Tap::attn_sub_norm:
      op.norm(o.a, T, l.attn_sub_norm, y.data());
      break;
    case Tap::attn_out:
      product(l.attn_output, Work::attn_output);
      break;
    case Tap::ffn_inp:
    case Tap::l_out:
      op.add(o.a, o.b, T * c.n_embd, y.data());
      break;
    case Tap::ffn_norm:
      op.norm(o.a, T, l.ffn_norm, y.data());
      break;
    case Tap::ffn_gate:
      product(l.ffn_gate, Work::ffn_gate);
      break;
    case Tap::ffn_up:
      product(l.ffn_up, Work::ffn_up);
      break;
    case Tap::ffn_act:
      op.activate(o.a, T * c.n_ff, y.data());
      break;
    case Tap::ffn_par:
      op.mul(o.a, o.b, T * c.n_ff, y.data());
      break;
    case Tap::ffn_sub_norm:
      op.norm(o.a, T, l.ffn_sub_norm, y.data());
      break;
    case Tap::ffn_down:
      product(l.ffn_down, Work::ffn_down);
      break;
    case Tap::result_norm:
      op.norm(o.a, T, w.output_norm, y.data());
      break;
    case Tap::result_output:
      op.head(o.a, T, y.data());
      break;
  }
  return y;
}

void OperationEvaluator::evaluate_layer(const LayerInputs& in, const TapHook& hook) {
  check(config_, in);
  if (in.positions.empty()) return;
  const auto rows = std::ssize(in.positions);
  const std::int64_t past = in.positions[0] * config_.kv_width();
  std::map<TapId, std::vector<float>> made;     // the layer's input and its taps so far
  std::map<TapId, std::vector<float>> history;  // keys and values of all positions so far
  const TapId input = *inputs_of(config_, {Tap::attn_norm, in.layer}).a;
  made[input].assign(in.input, in.input + rows * config_.n_embd);
  if (past > 0) {
    history[{Tap::k_rope, in.layer}].assign(in.keys, in.keys + past);
    history[{Tap::v_proj, in.layer}].assign(in.values, in.values + past);
  }

  std::vector<std::int64_t> offsets;
  for (const TapId id : layer_taps(config_, in.layer)) {
    const OperationInputs from = inputs_of(config_, id);
    std::vector<float> y = evaluate({.output = id,
                                     .positions = in.positions,
                                     .tokens = {},
                                     .a = made.at(*from.a).data(),
                                     .b = from.b ? made.at(*from.b).data() : nullptr,
                                     .history = from.history ? history.at(*from.history).data() : nullptr});
    if (hook.wants(id)) {
      offsets.assign(1, 0);
      for (const std::int32_t p : in.positions)
        offsets.push_back(offsets.back() + tap_width(config_, id.tap, p));
      hook.show({id, offsets, y.data()});
    }
    if (id.tap == Tap::k_rope || id.tap == Tap::v_proj)
      history[id].insert(history[id].end(), y.begin(), y.end());
    made[id] = std::move(y);
  }
}

}  // namespace bitnet
