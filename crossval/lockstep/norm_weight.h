#pragma once
// Which weight a norm has.

#include <stdexcept>
#include <vector>

#include "engine/model/taps.h"
#include "engine/model/weights.h"

namespace crossval {

/// What is behind a norm's tap. Throws std::logic_error for another tap.
inline const std::vector<float>& norm_weight_of(const bitnet::Weights& weights, bitnet::TapId id) {
  using bitnet::Tap;
  if (id.tap == Tap::result_norm) return weights.output_norm;
  const bitnet::LayerWeights& l = weights.layers.at(static_cast<std::size_t>(id.layer));
  switch (id.tap) {
    case Tap::attn_norm:
      return l.attn_norm;
    case Tap::attn_sub_norm:
      return l.attn_sub_norm;
    case Tap::ffn_norm:
      return l.ffn_norm;
    case Tap::ffn_sub_norm:
      return l.ffn_sub_norm;
    default:
      throw std::logic_error(bitnet::to_string(id) + " is no norm");
  }
}

}  // namespace crossval
