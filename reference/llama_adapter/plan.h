#pragma once
// Which node of a library's graph is which canonical tap. Names come twice and thrice in a layer and mean
// other things in other architectures, so a node is known by its name, its operation and how many of both
// came before; one without a name by what it works on; and what a name means may depend on what else the
// layer has. Hence the plan is made from the list of all nodes of one evaluation.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "engine/model/taps.h"

namespace crossval::llama_adapter {

/// A node in the order of execution.
struct Node {
  std::string name;               // "Qcur-3"
  std::string op;                 // "MUL_MAT", as ggml_op_name says it
  std::string kind;               // as ggml_op_desc says it: "SILU" where op is "UNARY"
  std::string first_source = {};  // the name of its first operand: "blk.3.attn_q.weight"
};

class TapPlan {
 public:
  TapPlan() = default;
  explicit TapPlan(const std::vector<Node>& nodes);

  /// Shown taps in the order in which the nodes are computed.
  const std::vector<bitnet::TapId>& taps() const { return taps_; }
  /// What activates the gate: the name, without the layer, of the node that is shown as ffn_act; the kind of
  /// operation ("SWIGLU") where it is one with the product and no tap of its own; empty where there is none.
  const std::string& activation() const { return activation_; }

  /// Follows one evaluation: told every node in order, it answers which tap the node is.
  class Follower {
   public:
    explicit Follower(const TapPlan& plan) : plan_(&plan) {}
    std::optional<bitnet::TapId> next(const Node& node);

   private:
    const TapPlan* plan_;
    std::map<std::pair<std::string, std::string>, int> seen_;
  };

 private:
  using Key = std::tuple<std::string, std::string, int>;  // name, operation, occurrence of both
  std::map<Key, bitnet::TapId> nodes_;
  std::vector<bitnet::TapId> taps_;
  std::string activation_;
};

}  // namespace crossval::llama_adapter
