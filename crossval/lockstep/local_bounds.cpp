#include "crossval/lockstep/local_bounds.h"

#include <cmath>
#include <cstring>

#include "crossval/lockstep/local.h"
#include "crossval/lockstep/operation_kind.h"

namespace crossval {
namespace {

using bitnet::Tap;
using Bounds = std::vector<double>;
using Row = std::span<const float>;

std::size_t size(std::int64_t n) {
  return static_cast<std::size_t>(n);
}

// Frequency of each pair of channels.
std::vector<double> frequencies(const bitnet::Config& c, const std::vector<float>& divisors) {
  std::vector<double> f(size(c.n_rot / 2));
  for (std::size_t i = 0; i < f.size(); ++i) {
    const double turn = -2.0 * static_cast<double>(i) / static_cast<double>(c.n_rot);
    f[i] = std::pow(static_cast<double>(c.rope_freq_base), turn) * c.rope_freq_scale;
    if (!divisors.empty()) f[i] /= divisors[i];
  }
  return f;
}

Bounds rope(const bitnet::Model& model, Row x, std::int64_t position) {
  const bitnet::Config& c = model.config();
  const std::vector<double> f = frequencies(c, model.weights().rope_freqs);
  const bool neox = c.rope_pairing == bitnet::RopePairing::neox;
  Bounds bounds = bounds_of_roundings(x, 0);  // channels beyond n_rot are copied
  for (std::size_t head = 0; head < x.size(); head += size(c.head_dim))
    for (std::size_t i = 0; i < f.size(); ++i) {
      const std::size_t first = head + (neox ? i : 2 * i), second = neox ? first + f.size() : first + 1;
      bounds[first] = bounds[second] = bound_of_rope(
          x[first], x[second], static_cast<double>(position) * f[i], static_cast<std::int64_t>(i));
    }
  return bounds;
}

Bounds scores(const bitnet::Config& c, Row q, const float* keys, std::int64_t cells) {
  Bounds bounds;
  for (std::int64_t h = 0; h < c.n_head; ++h) {
    const float* key = keys + h / (c.n_head / c.n_head_kv) * c.head_dim;
    for (std::int64_t cell = 0; cell < cells; ++cell, key += c.kv_width())
      bounds.push_back(
          bound_of_score(q.subspan(size(h * c.head_dim), size(c.head_dim)), {key, size(c.head_dim)}));
  }
  return bounds;
}

Bounds soft_max(const bitnet::Config& c, Row y, Row scores, std::int64_t cells) {
  Bounds bounds;
  const double scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
  for (std::int64_t h = 0; h < c.n_head; ++h) {
    const Bounds head = bounds_of_soft_max(y.subspan(size(h * cells), size(cells)),
                                           scores.subspan(size(h * cells), size(cells)), scale);
    bounds.insert(bounds.end(), head.begin(), head.end());
  }
  return bounds;
}

Bounds context(const bitnet::Config& c, Row probabilities, const float* values, std::int64_t cells) {
  Bounds bounds;
  for (std::int64_t h = 0; h < c.n_head; ++h) {
    const Bounds head =
        bounds_of_context(probabilities.subspan(size(h * cells), size(cells)),
                          values + h / (c.n_head / c.n_head_kv) * c.head_dim, c.kv_width(), c.head_dim);
    bounds.insert(bounds.end(), head.begin(), head.end());
  }
  return bounds;
}

// `input` is the row of operation.a, where the operation has one, `other` that of operation.b.
Bounds bounds_of(const bitnet::Model& model, const bitnet::Operation& operation, Row input, Row other,
                 std::int64_t position, Row y) {
  const bitnet::Config& c = model.config();
  switch (operation_kind(operation.output.tap)) {
    case OperationKind::embedding:
    case OperationKind::product:
      return bounds_of_roundings(y, 4);
    case OperationKind::sum:
      return bounds_of_sum(input, other);
    case OperationKind::activation:
      return c.activation == bitnet::Activation::silu ? bounds_of_silu(y, input) : bounds_of_roundings(y, 4);
    case OperationKind::norm:
      return bounds_of_rms_norm(y);
    case OperationKind::projection:
      return bounds_of_product(y, projection_of(model.weights(), operation.output).bias);
    case OperationKind::rope:
      return rope(model, input, position);
    case OperationKind::scores:
      return scores(c, input, operation.history, position + 1);
    case OperationKind::softmax:
      return soft_max(c, y, input, position + 1);
    case OperationKind::context:
      return context(c, input, operation.history, position + 1);
    case OperationKind::head:
      break;
  }
  return {};
}

bool same_bits(Row a, Row b) {
  return a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace

std::vector<BoundFigures> hold_to_bounds(const bitnet::Model& model, const bitnet::Operation& operation,
                                         const Tensor& got, const Tensor& expected) {
  if (operation.output.tap == Tap::result_output) return {};
  const bitnet::OperationInputs inputs = bitnet::inputs_of(model.config(), operation.output);
  std::vector<BoundFigures> figures;
  const float *a = operation.a, *b = operation.b;
  for (std::int64_t i = 0; i < expected.rows(); ++i) {
    const std::int64_t position = operation.positions[size(i)];
    const auto next = [&](const std::optional<TapId>& id, const float*& at) {
      const std::int64_t width = id ? bitnet::tap_width(model.config(), id->tap, position) : 0;
      const Row row(at, size(width));
      if (id) at += width;
      return row;
    };
    const Row input = next(inputs.a, a), other = next(inputs.b, b), y = expected.row(i);
    figures.push_back(same_bits(got.row(i), y)
                          ? BoundFigures{}
                          : held_to(bounds_of(model, operation, input, other, position, y), got.row(i), y));
  }
  return figures;
}

}  // namespace crossval
