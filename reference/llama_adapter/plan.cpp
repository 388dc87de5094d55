#include "reference/llama_adapter/plan.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

namespace crossval::llama_adapter {
namespace {

using bitnet::Tap;
using bitnet::TapId;

struct Name {
  std::string_view base;
  int layer = -1;
};

// "ffn_sqr(relu)-12" -> layer 12; "result_norm" -> no layer; "Qcur-0 (reshaped)" is another name altogether.
Name split(std::string_view name) {
  const auto dash = name.rfind('-');
  if (dash == std::string_view::npos) return {name};
  int layer = -1;
  const auto [end, error] = std::from_chars(name.data() + dash + 1, name.data() + name.size(), layer);
  if (error != std::errc() || end != name.data() + name.size() || layer < 0) return {name};
  return {name.substr(0, dash), layer};
}

// Nodes that show values of another node in another arrangement.
bool arranges(std::string_view op) {
  constexpr std::array kOps = {"NONE", "RESHAPE", "VIEW", "PERMUTE", "TRANSPOSE", "CPY", "DUP", "SET_ROWS"};
  return std::find(kOps.begin(), kOps.end(), op) != kOps.end();
}

bool is_product(std::string_view op) {
  // Gate times up: a plain product, or one fused with the activation.
  return op == "MUL" || op == "GLU" || op == "FUSED_MUL_UNARY" || op == "MUL_UNARY";
}

bool any_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The layer of "blk.3.ffn_down.weight" and the name of what comes of a product with it; empty for others.
Name product_with(std::string_view weights) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kNames = {
      {{"attn_q", "Qcur"},
       {"attn_k", "Kcur"},
       {"attn_v", "Vcur"},
       {"attn_output", "attn_out"},
       {"ffn_gate", "ffn_gate"},
       {"ffn_up", "ffn_up"},
       {"ffn_down", "ffn_down"}}};
  constexpr std::string_view kHead = "blk.", kTail = ".weight";
  if (!weights.starts_with(kHead) || !weights.ends_with(kTail)) return {};
  weights.remove_prefix(kHead.size());
  weights.remove_suffix(kTail.size());
  int layer = -1;
  const auto [end, error] = std::from_chars(weights.data(), weights.data() + weights.size(), layer);
  if (error != std::errc() || layer < 0) return {};
  const std::string_view rest(end, static_cast<std::size_t>(weights.data() + weights.size() - end));
  for (const auto& [matrix, product] : kNames)
    if (rest.size() == matrix.size() + 1 && rest.front() == '.' && rest.substr(1) == matrix)
      return {product, layer};
  return {};
}

// The name of a node, or, where it has none but a number, the one that its operand gives it.
std::string name_of(const Node& node) {
  const std::string_view name = node.name;
  if (!name.starts_with("node_")) return node.name;
  Name given;
  if (node.op == "MUL_MAT") given = product_with(node.first_source);
  const Name source = split(node.first_source);
  if (node.op == "FUSED_RMS_NORM" && any_of(source.base, {"ffn_inp", "ffn_norm"}))
    given = {"ffn_norm", source.layer};
  if (node.op == "FUSED_MUL_UNARY" && any_of(source.base, {"ffn_gate", "ffn_gate_b", "ffn_gate_s"}))
    given = {"ffn_gate_par", source.layer};
  if (given.base.empty()) return node.name;
  return std::string(given.base) + "-" + std::to_string(given.layer);
}

// The tap that a node may be. Of several candidates in one layer the last is meant: the matrix product is
// followed by its scale and its bias, and each of them bears the name.
std::optional<Tap> candidate(std::string_view base, std::string_view op, bool layer_has_ffn_down) {
  if (any_of(base, {"inp_embd", "embd"})) return Tap::inp_embd;
  if (op == "GET_ROWS") return std::nullopt;  // the rows that the last layer keeps: all, here
  if (base == "attn_norm") return Tap::attn_norm;
  if (base == "Qcur") return op == "ROPE" ? Tap::q_rope : Tap::q_proj;
  if (base == "Kcur") return op == "ROPE" ? Tap::k_rope : Tap::k_proj;
  if (base == "Vcur") return Tap::v_proj;
  if (base == "Qcur_roped") return Tap::q_rope;
  if (base == "Kcur_roped") return Tap::k_rope;
  if (base == "kq") return Tap::kq;
  if (any_of(base, {"kq_soft_max_ext", "kq_soft_max"})) return Tap::kq_soft_max;
  // kqv_out: the joined heads where a sub-norm follows or where the output projection has a name of its own,
  // else what the projection gives. Only the former is made by a copy.
  if (base == "kqv_merged_cont") return Tap::attn_ctx;
  if (base == "kqv_out") return op == "CONT" ? Tap::attn_ctx : Tap::attn_out;
  if (any_of(base, {"attn_o_out", "attn_out"})) return Tap::attn_out;
  if (base == "attn_sub_norm") return Tap::attn_sub_norm;
  if (base == "ffn_inp") return Tap::ffn_inp;
  // Where the norm is one operation with the multiplication by its weight, its name may be on the sum before.
  if (base == "ffn_norm") return op == "ADD" ? Tap::ffn_inp : Tap::ffn_norm;
  if (any_of(base, {"ffn_gate", "ffn_gate_b", "ffn_gate_s"})) return Tap::ffn_gate;
  if (any_of(base, {"ffn_up", "ffn_up_b", "ffn_up_s"})) return Tap::ffn_up;
  if (any_of(base, {"ffn_silu", "ffn_gelu", "ffn_relu", "ffn_sqr(relu)", "ffn_act"})) return Tap::ffn_act;
  if (any_of(base, {"ffn_sub_out", "ffn_gate_par"})) return Tap::ffn_par;
  if (any_of(base, {"ffn_swiglu", "ffn_reglu", "ffn_geglu"})) return Tap::ffn_par;
  // ffn_out: gate times up where a later ffn_down is the projection, else that projection.
  if (base == "ffn_out") return layer_has_ffn_down && is_product(op) ? Tap::ffn_par : Tap::ffn_down;
  if (any_of(base, {"ffn_down", "ffn_down_b", "ffn_down_s"})) return Tap::ffn_down;
  if (base == "ffn_sub_norm") return Tap::ffn_sub_norm;
  if (base == "l_out") return Tap::l_out;
  if (base == "result_norm") return Tap::result_norm;
  if (base == "result_output") return Tap::result_output;
  return std::nullopt;
}

}  // namespace

TapPlan::TapPlan(const std::vector<Node>& nodes) {
  std::set<int> with_ffn_down;
  for (const Node& node : nodes)
    if (const std::string name = name_of(node); split(name).base == "ffn_down")
      with_ffn_down.insert(split(name).layer);

  std::map<TapId, std::pair<Key, std::size_t>> chosen;  // and the place of the node in the order
  std::map<std::pair<std::string, std::string>, int> seen;
  std::string fused;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Node& node = nodes[i];
    if (arranges(node.op)) continue;
    const std::string full_name = name_of(node);
    const int occurrence = seen[{full_name, node.op}]++;
    const Name name = split(full_name);
    const auto tap = candidate(name.base, node.op, with_ffn_down.contains(name.layer));
    if (!tap || bitnet::has_layer(*tap) != (name.layer >= 0)) continue;
    chosen[{*tap, name.layer}] = {{full_name, node.op, occurrence}, i};
    if (*tap == Tap::ffn_act) activation_ = std::string(name.base);
    if (*tap == Tap::ffn_par && node.op != "MUL") fused = node.kind;
  }
  if (activation_.empty()) activation_ = fused;
  std::vector<std::pair<std::size_t, TapId>> order;
  for (const auto& [id, where] : chosen) {
    nodes_[where.first] = id;
    order.emplace_back(where.second, id);
  }
  std::sort(order.begin(), order.end());
  for (const auto& [place, id] : order) taps_.push_back(id);
}

std::optional<TapId> TapPlan::Follower::next(const Node& node) {
  if (arranges(node.op)) return std::nullopt;
  std::pair<std::string, std::string> key{name_of(node), node.op};
  const int occurrence = seen_[key]++;
  const auto found = plan_->nodes_.find({std::move(key.first), std::move(key.second), occurrence});
  if (found == plan_->nodes_.end()) return std::nullopt;
  return found->second;
}

}  // namespace crossval::llama_adapter
