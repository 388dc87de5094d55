#include "crossval/lockstep/local.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace crossval {

using bitnet::Tap;

void LocalInputs::reset() {
  position_ = 0;
  tokens_.clear();
  positions_.clear();
  inputs_.clear();
  history_.clear();
}

void LocalInputs::begin(std::span<const Token> tokens) {
  position_ += static_cast<std::int64_t>(tokens_.size());
  tokens_.assign(tokens.begin(), tokens.end());
  positions_.clear();
  for (std::size_t i = 0; i < tokens.size(); ++i)
    positions_.push_back(static_cast<std::int32_t>(position_ + static_cast<std::int64_t>(i)));
  inputs_.clear();
}

void LocalInputs::add(const Tensor& tensor) {
  const TapId id = tensor.id;
  if (id.tap == Tap::result_output) return;  // nothing reads the logits
  if (id.tap == Tap::k_rope || id.tap == Tap::v_proj) {
    auto& rows = history_[id];
    rows.resize(static_cast<std::size_t>(position_ * config_.kv_width()));
    rows.insert(rows.end(), tensor.values.begin(), tensor.values.end());
  }
  if (id.tap == Tap::l_out) {
    // The layer is done: only its output is read again.
    std::erase_if(inputs_, [&](const auto& entry) { return entry.first.layer <= id.layer; });
  }
  inputs_.insert_or_assign(id, tensor.values);
}

std::optional<bitnet::Operation> LocalInputs::operation(TapId output) const {
  const bitnet::OperationInputs needed = bitnet::inputs_of(config_, output);
  bitnet::Operation op{.output = output, .positions = positions_, .tokens = tokens_};
  const auto look_up = [](const std::map<TapId, std::vector<float>>& where, const std::optional<TapId>& id,
                          const float*& out) {
    if (!id) return true;
    const auto it = where.find(*id);
    if (it == where.end()) return false;
    out = it->second.data();
    return true;
  };
  if (!look_up(inputs_, needed.a, op.a) || !look_up(inputs_, needed.b, op.b) ||
      !look_up(history_, needed.history, op.history))
    return std::nullopt;
  return op;
}

std::span<const float> LocalInputs::values(TapId id) const {
  for (const auto* where : {&history_, &inputs_})
    if (const auto it = where->find(id); it != where->end()) return it->second;
  return {};
}

std::vector<std::int64_t> integer_products(std::span<const float> output, std::span<const float> input,
                                           const bitnet::Projection& projection) {
  double largest = 1e-5;
  for (float x : input) largest = std::max(largest, std::abs(static_cast<double>(x)));
  const float activation_scale = static_cast<float>(127.0 / largest);
  std::vector<std::int64_t> products;
  products.reserve(output.size());
  for (std::size_t r = 0; r < output.size(); ++r) {
    double y = static_cast<double>(output[r]);
    if (!projection.bias.empty()) y -= static_cast<double>(projection.bias[r]);
    const double exact = y / projection.factor * activation_scale / projection.matrix.scale;
    const double nearest = std::nearbyint(exact);
    const bool explained =
        std::isfinite(exact) && std::abs(exact - nearest) <= 0.25 && std::abs(nearest) < 0x1p40;
    products.push_back(explained ? static_cast<std::int64_t>(nearest)
                                 : std::numeric_limits<std::int64_t>::min());
  }
  return products;
}

const bitnet::Projection& projection_of(const bitnet::Weights& weights, TapId id) {
  const bitnet::LayerWeights& l = weights.layers.at(static_cast<std::size_t>(id.layer));
  switch (id.tap) {
    case Tap::q_proj:
      return l.attn_q;
    case Tap::k_proj:
      return l.attn_k;
    case Tap::v_proj:
      return l.attn_v;
    case Tap::attn_out:
      return l.attn_output;
    case Tap::ffn_gate:
      return l.ffn_gate;
    case Tap::ffn_up:
      return l.ffn_up;
    case Tap::ffn_down:
      return l.ffn_down;
    default:
      throw std::logic_error(bitnet::to_string(id) + " is no projection");
  }
}

}  // namespace crossval
