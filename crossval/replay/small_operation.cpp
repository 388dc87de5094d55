#include "crossval/replay/small_operation.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "crossval/lockstep/local.h"
#include "crossval/lockstep/norm_weight.h"
#include "engine/formats/i2s.h"

namespace crossval {
namespace {

using bitnet::Tap;
using bitnet::TensorType;

std::int64_t heads_of(const bitnet::Config& config, Tap tap) {
  switch (operation_kind(tap)) {
    case OperationKind::rope:
      return tap == Tap::k_rope ? config.n_head_kv : config.n_head;
    case OperationKind::scores:
    case OperationKind::softmax:
    case OperationKind::context:
      return config.n_head;
    default:
      return 1;
  }
}

// Rows of a ternary matrix, as -1, 0, +1.
std::vector<std::int8_t> ternary_rows(const bitnet::TernaryMatrix& m, const std::vector<std::int64_t>& rows) {
  const auto width = static_cast<std::size_t>(m.cols);
  std::vector<std::int8_t> weights(rows.size() * width);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    // A row is whole blocks; what follows it is not read.
    const auto* codes = reinterpret_cast<const std::byte*>(m.codes) + rows[r] * m.cols / 4;
    bitnet::i2s::unpack({codes, bitnet::i2s::tensor_bytes(width)},
                        std::span(weights).subspan(r * width, width));
  }
  return weights;
}

void take_table(const bitnet::FloatMatrix& m, const std::vector<std::int64_t>& rows, SmallOperation& into) {
  into.width = m.cols;
  into.table_type = m.type();
  if (const auto* ternary = std::get_if<bitnet::TernaryMatrix>(&m.data)) {
    into.ternary = ternary_rows(*ternary, rows);
    into.scale = ternary->scale;
    return;
  }
  const std::int64_t bytes = m.bytes() / m.rows;
  for (const std::int64_t r : rows)
    into.table.insert(into.table.end(), m.bytes_at() + r * bytes, m.bytes_at() + (r + 1) * bytes);
}

// Of a row of heads, each `width` wide, those kept.
std::vector<float> pick(const float* row, std::int64_t width, const std::vector<std::int64_t>& heads,
                        const std::vector<std::int64_t>& values) {
  std::vector<float> some;
  some.reserve(heads.size() * values.size());
  for (const std::int64_t h : heads)
    for (const std::int64_t v : values) some.push_back(row[h * width + v]);
  return some;
}

std::vector<std::int64_t> first(std::int64_t n) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

// Where row `row` of scores begins.
std::int64_t scores_before(const bitnet::Config& config, const bitnet::Operation& o, std::size_t row) {
  std::int64_t n = 0;
  for (std::size_t t = 0; t < row; ++t) n += bitnet::tap_width(config, Tap::kq, o.positions[t]);
  return n;
}

}  // namespace

SmallSizes sizes_of(const SmallOperation& o) {
  const std::int64_t rows = o.heads * o.head_dim, scores = o.heads * o.cells();
  switch (operation_kind(o.tap.tap)) {
    case OperationKind::embedding:
      return {.outputs = o.width, .table_rows = 1};
    case OperationKind::norm:
      return {.a = o.width, .outputs = o.width};
    case OperationKind::projection:
    case OperationKind::head:
      return {.a = o.width, .table_rows = o.outputs()};
    case OperationKind::rope:
      return {.a = rows, .outputs = rows};
    case OperationKind::scores:
      return {.a = rows, .history = o.cells() * rows, .outputs = scores};
    case OperationKind::softmax:
      return {.a = scores, .outputs = scores};
    case OperationKind::context:
      return {.a = scores, .history = o.cells() * rows, .outputs = rows};
    case OperationKind::activation:
      return {.a = o.outputs()};
    case OperationKind::product:
    case OperationKind::sum:
      return {.a = o.outputs(), .b = o.outputs()};
  }
  return {};
}

std::int64_t head_width(const bitnet::Config& config, Tap tap, std::int64_t position) {
  return bitnet::tap_width(config, tap, position) / heads_of(config, tap);
}

Part whole(const bitnet::Config& config, Tap tap, std::int64_t position) {
  return {first(heads_of(config, tap)), first(head_width(config, tap, position))};
}

std::vector<std::int64_t> columns_of(const Part& part, std::int64_t width) {
  std::vector<std::int64_t> columns;
  columns.reserve(part.heads.size() * part.values.size());
  for (const std::int64_t h : part.heads)
    for (const std::int64_t v : part.values) columns.push_back(h * width + v);
  return columns;
}

bool heads_part(OperationKind kind) {
  return kind == OperationKind::rope || kind == OperationKind::scores || kind == OperationKind::softmax ||
         kind == OperationKind::context;
}

bool values_part(OperationKind kind) {
  return kind != OperationKind::embedding && kind != OperationKind::norm && kind != OperationKind::rope &&
         kind != OperationKind::softmax;
}

SmallOperation cut(const bitnet::Model& model, const bitnet::Operation& o, std::size_t row,
                   const Part& part) {
  const bitnet::Config& c = model.config();
  const bitnet::Weights& w = model.weights();
  const TapId tap = o.output;
  const auto t = static_cast<std::int64_t>(row);
  const std::int64_t position = o.positions[row], cells = position + 1;

  SmallOperation s;
  s.tap = tap;
  s.columns = columns_of(part, head_width(c, tap.tap, position));
  // Input rows that are as wide at every position.
  const auto input = [&](std::int64_t width) {
    s.width = width;
    s.a.assign(o.a + t * width, o.a + (t + 1) * width);
  };
  const auto heads = [&](std::int64_t dim) {
    s.heads = std::ssize(part.heads);
    s.head_dim = dim;
  };
  // Each query head's keys or values.
  const auto history = [&](const std::vector<std::int64_t>& kept, const std::vector<std::int64_t>& channels) {
    std::vector<std::int64_t> kv_heads;
    for (const std::int64_t h : part.heads) kv_heads.push_back(h / (c.n_head / c.n_head_kv));
    for (const std::int64_t cell : kept) {
      const auto some = pick(o.history + cell * c.kv_width(), c.head_dim, kv_heads, channels);
      s.history.insert(s.history.end(), some.begin(), some.end());
    }
  };
  switch (operation_kind(tap.tap)) {
    case OperationKind::embedding:
      take_table(w.token_embd, {o.tokens[row]}, s);
      break;
    case OperationKind::norm:
      s.weight = norm_weight_of(w, tap);
      s.epsilon = c.rms_eps;
      input(std::ssize(s.weight));
      break;
    case OperationKind::projection: {
      const bitnet::Projection& p = projection_of(w, tap);
      input(p.matrix.cols);
      s.ternary = ternary_rows(p.matrix, part.values);
      s.scale = p.matrix.scale;
      s.factor = p.factor;
      if (!p.bias.empty())
        for (const std::int64_t r : part.values) s.bias.push_back(p.bias[static_cast<std::size_t>(r)]);
      break;
    }
    case OperationKind::rope: {
      const std::int64_t width = heads_of(c, tap.tap) * c.head_dim;
      heads(c.head_dim);
      s.a = pick(o.a + t * width, c.head_dim, part.heads, part.values);
      s.position = position;
      s.n_rot = c.n_rot;
      s.rope_base = c.rope_freq_base;
      s.rope_scale = c.rope_freq_scale;
      s.pairing = c.rope_pairing;
      s.weight = w.rope_freqs;
      break;
    }
    case OperationKind::scores:
      // A score has one cell; how many others there are does not matter.
      heads(c.head_dim);
      s.position = std::ssize(part.values) - 1;
      s.a = pick(o.a + t * c.q_width(), c.head_dim, part.heads, first(c.head_dim));
      history(part.values, first(c.head_dim));
      break;
    case OperationKind::softmax:
      heads(c.head_dim);
      s.position = position;
      s.a = pick(o.a + scores_before(c, o, row), cells, part.heads, part.values);
      break;
    case OperationKind::context:
      heads(std::ssize(part.values));
      s.position = position;
      s.a = pick(o.a + scores_before(c, o, row), cells, part.heads, first(cells));
      history(first(cells), part.values);
      break;
    case OperationKind::activation:
      s.activation = c.activation;
      s.a = pick(o.a + t * c.n_ff, 0, {0}, part.values);
      break;
    case OperationKind::product:
      s.a = pick(o.a + t * c.n_ff, 0, {0}, part.values);
      s.b = pick(o.b + t * c.n_ff, 0, {0}, part.values);
      break;
    case OperationKind::sum:
      s.a = pick(o.a + t * c.n_embd, 0, {0}, part.values);
      s.b = pick(o.b + t * c.n_embd, 0, {0}, part.values);
      break;
    case OperationKind::head:
      input(c.n_embd);
      take_table(w.output, part.values, s);
      break;
  }
  return s;
}

}  // namespace crossval
