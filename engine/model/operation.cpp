#include "engine/model/operation.h"

#include <algorithm>
#include <string>

#include "engine/error.h"

namespace bitnet {
namespace {

void check_positions(const std::string& name, std::span<const std::int32_t> positions) {
  for (std::size_t i = 0; i < positions.size(); ++i)
    if (positions[i] < 0 || positions[i] != positions[0] + static_cast<std::int64_t>(i))
      throw InputError(name + ": its rows are not consecutive positions");
}

}  // namespace

std::vector<TapId> OperationInputs::taps() const {
  std::vector<TapId> some;
  for (const auto& input : {a, b, history})
    if (input) some.push_back(*input);
  return some;
}

OperationInputs inputs_of(const Config& config, TapId output) {
  const int i = output.layer;
  const auto here = [i](Tap tap) { return TapId{tap, i}; };
  const TapId layer_input = i > 0 ? TapId{Tap::l_out, i - 1} : TapId{Tap::inp_embd, -1};
  switch (output.tap) {
    case Tap::inp_embd:
      return {};
    case Tap::attn_norm:
      return {.a = layer_input};
    case Tap::q_proj:
    case Tap::k_proj:
    case Tap::v_proj:
      return {.a = here(Tap::attn_norm), .integer_product = true};
    case Tap::q_rope:
      return {.a = here(Tap::q_proj)};
    case Tap::k_rope:
      return {.a = here(Tap::k_proj)};
    case Tap::kq:
      return {.a = here(Tap::q_rope), .history = here(Tap::k_rope)};
    case Tap::kq_soft_max:
      return {.a = here(Tap::kq)};
    case Tap::attn_ctx:
      return {.a = here(Tap::kq_soft_max), .history = here(Tap::v_proj)};
    case Tap::attn_sub_norm:
      return {.a = here(Tap::attn_ctx)};
    case Tap::attn_out:
      return {.a = here(config.sub_norms ? Tap::attn_sub_norm : Tap::attn_ctx), .integer_product = true};
    case Tap::ffn_inp:
      return {.a = here(Tap::attn_out), .b = layer_input};
    case Tap::ffn_norm:
      return {.a = here(Tap::ffn_inp)};
    case Tap::ffn_gate:
    case Tap::ffn_up:
      return {.a = here(Tap::ffn_norm), .integer_product = true};
    case Tap::ffn_act:
      return {.a = here(Tap::ffn_gate)};
    case Tap::ffn_par:
      return {.a = here(Tap::ffn_act), .b = here(Tap::ffn_up)};
    case Tap::ffn_sub_norm:
      return {.a = here(Tap::ffn_par)};
    case Tap::ffn_down:
      return {.a = here(config.sub_norms ? Tap::ffn_sub_norm : Tap::ffn_par), .integer_product = true};
    case Tap::l_out:
      return {.a = here(Tap::ffn_down), .b = here(Tap::ffn_inp)};
    case Tap::result_norm:
      return {.a = TapId{Tap::l_out, static_cast<int>(config.n_layer) - 1}};
    case Tap::result_output:
      return {.a = TapId{Tap::result_norm, -1}};
  }
  return {};
}

void check(const Config& config, const Operation& o) {
  const std::string name = to_string(o.output);
  const auto taps = canonical_taps(config);
  if (std::ranges::find(taps, o.output) == taps.end())
    throw InputError(name + ": the model has no such operation");
  if (o.positions.empty()) return;
  check_positions(name, o.positions);
  const OperationInputs inputs = inputs_of(config, o.output);
  if ((inputs.a && !o.a) || (inputs.b && !o.b) || (inputs.history && !o.history))
    throw InputError(name + ": an input of the operation is missing");
  if (o.output.tap != Tap::inp_embd) return;
  if (o.tokens.size() != o.positions.size()) throw InputError(name + ": it needs one token per row");
  for (const std::int32_t token : o.tokens)
    if (token < 0 || token >= config.n_vocab)
      throw InputError("token " + std::to_string(token) + " is not of the vocabulary (" +
                       std::to_string(config.n_vocab) + " tokens)");
}

void check(const Config& config, const LayerInputs& l) {
  const std::string name = "layer " + std::to_string(l.layer);
  if (l.layer < 0 || l.layer >= config.n_layer)
    throw InputError(name + ": the model has " + std::to_string(config.n_layer) + " layers");
  if (l.positions.empty()) return;
  check_positions(name, l.positions);
  if (!l.input || (l.positions[0] > 0 && (!l.keys || !l.values)))
    throw InputError(name + ": an input of the layer is missing");
}

}  // namespace bitnet
