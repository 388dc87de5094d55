#include "engine/model/operation.h"

namespace bitnet {

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

}  // namespace bitnet
