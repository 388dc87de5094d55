#include "crossval/lockstep/operation_kind.h"

#include <stdexcept>

namespace crossval {

using bitnet::Tap;

OperationKind operation_kind(Tap tap) {
  switch (tap) {
    case Tap::inp_embd:
      return OperationKind::embedding;
    case Tap::attn_norm:
    case Tap::attn_sub_norm:
    case Tap::ffn_norm:
    case Tap::ffn_sub_norm:
    case Tap::result_norm:
      return OperationKind::norm;
    case Tap::q_proj:
    case Tap::k_proj:
    case Tap::v_proj:
    case Tap::attn_out:
    case Tap::ffn_gate:
    case Tap::ffn_up:
    case Tap::ffn_down:
      return OperationKind::projection;
    case Tap::q_rope:
    case Tap::k_rope:
      return OperationKind::rope;
    case Tap::kq:
      return OperationKind::scores;
    case Tap::kq_soft_max:
      return OperationKind::softmax;
    case Tap::attn_ctx:
      return OperationKind::context;
    case Tap::ffn_act:
      return OperationKind::activation;
    case Tap::ffn_par:
      return OperationKind::product;
    case Tap::ffn_inp:
    case Tap::l_out:
      return OperationKind::sum;
    case Tap::result_output:
      return OperationKind::head;
  }
  throw std::logic_error("a tap of no kind");
}

std::string_view to_string(OperationKind kind) {
  constexpr std::string_view kNames[] = {"embedding", "norm",       "projection", "rope", "scores", "softmax",
                                         "context",   "activation", "product",    "sum",  "head"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace crossval
