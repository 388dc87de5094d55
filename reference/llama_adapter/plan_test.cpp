// The plan over the node lists of real graphs: one layer of each architecture and library, written as the
// libraries name and order them.

#include "reference/llama_adapter/plan.h"

#include <gtest/gtest.h>

namespace crossval::llama_adapter {
namespace {

using Nodes = std::vector<Node>;

std::vector<std::string> names(const TapPlan& plan) {
  std::vector<std::string> all;
  for (const auto id : plan.taps()) all.push_back(bitnet::to_string(id));
  return all;
}

// Which node, counted from 0, is shown as which tap.
std::map<std::string, std::size_t> shown(const Nodes& nodes) {
  const TapPlan plan(nodes);
  TapPlan::Follower follower(plan);
  std::map<std::string, std::size_t> at;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    if (const auto id = follower.next(nodes[i])) {
      EXPECT_TRUE(at.emplace(bitnet::to_string(*id), i).second) << bitnet::to_string(*id) << " comes twice";
    }
  EXPECT_EQ(at.size(), plan.taps().size());
  return at;
}

const std::vector<std::string> kWithSubNorms = {
    "inp_embd",       "attn_norm-0", "Qcur-0#1",      "Qcur-0#2",    "Kcur-0#1",        "Kcur-0#2",
    "Vcur-0",         "kq-0",        "kq_soft_max-0", "attn_ctx-0",  "attn_sub_norm-0", "attn_out-0",
    "ffn_inp-0",      "ffn_norm-0",  "ffn_gate-0",    "ffn_act-0",   "ffn_up-0",        "ffn_par-0",
    "ffn_sub_norm-0", "ffn_down-0",  "l_out-0",       "result_norm", "result_output"};

Nodes attention() {
  return {{"inp_embd", "GET_ROWS", "GET_ROWS"},
          {"norm-0", "RMS_NORM", "RMS_NORM"},
          {"attn_norm-0", "MUL", "MUL"},
          {"Qcur-0", "MUL_MAT", "MUL_MAT"},
          {"Qcur-0 (reshaped)", "RESHAPE", "RESHAPE"},
          {"Qcur-0", "ROPE", "ROPE"},
          {"Kcur-0", "MUL_MAT", "MUL_MAT"},
          {"Kcur-0 (reshaped)", "RESHAPE", "RESHAPE"},
          {"Kcur-0", "ROPE", "ROPE"},
          {"Vcur-0", "MUL_MAT", "MUL_MAT"},
          {"k_cache_view-0", "VIEW", "VIEW"},
          {"k_cache_view-0 (copy of Kcur-0)", "CPY", "CPY"},
          {"k-0", "VIEW", "VIEW"},
          {"q-0", "PERMUTE", "PERMUTE"},
          {"kq-0", "MUL_MAT", "MUL_MAT"},
          {"kq_soft_max_ext-0", "SOFT_MAX", "SOFT_MAX"},
          {"kqv-0", "MUL_MAT", "MUL_MAT"},
          {"kqv_merged-0", "PERMUTE", "PERMUTE"}};
}

void append(Nodes& to, const Nodes& more) {
  to.insert(to.end(), more.begin(), more.end());
}

const Nodes kHead = {
    {"norm", "RMS_NORM", "RMS_NORM"}, {"result_norm", "MUL", "MUL"}, {"result_output", "MUL_MAT", "MUL_MAT"}};

TEST(TapPlan, BitnetB158) {
  Nodes nodes = attention();
  append(nodes, {{"kqv_out-0", "CONT", "CONT"},
                 {"norm-0", "RMS_NORM", "RMS_NORM"},
                 {"attn_sub_norm-0", "MUL", "MUL"},
                 {"attn_o_out-0", "MUL_MAT", "MUL_MAT"},
                 {"node_27", "GET_ROWS", "GET_ROWS"},
                 {"node_28", "GET_ROWS", "GET_ROWS"},
                 {"ffn_inp-0", "ADD", "ADD"},
                 {"norm-0", "RMS_NORM", "RMS_NORM"},
                 {"ffn_norm-0", "MUL", "MUL"},
                 {"ffn_gate-0", "MUL_MAT", "MUL_MAT"},
                 {"ffn_relu-0", "UNARY", "RELU"},
                 {"ffn_sqr(relu)-0", "SQR", "SQR"},
                 {"ffn_up-0", "MUL_MAT", "MUL_MAT"},
                 {"ffn_out-0", "MUL", "MUL"},
                 {"norm-0", "RMS_NORM", "RMS_NORM"},
                 {"ffn_sub_norm-0", "MUL", "MUL"},
                 {"ffn_down-0", "MUL_MAT", "MUL_MAT"},
                 {"l_out-0", "ADD", "ADD"}});
  append(nodes, kHead);
  EXPECT_EQ(names(TapPlan(nodes)), kWithSubNorms);
  EXPECT_EQ(TapPlan(nodes).activation(), "ffn_sqr(relu)");
  const auto at = shown(nodes);
  EXPECT_EQ(nodes[at.at("ffn_act-0")].op, "SQR");
  EXPECT_EQ(nodes[at.at("ffn_par-0")].name, "ffn_out-0");
  EXPECT_EQ(nodes[at.at("attn_ctx-0")].op, "CONT");
}

TEST(TapPlan, AnotherActivationThanTheModelsIsShownAllTheSame) {
  Nodes nodes = {{"ffn_gate-0", "MUL_MAT", "MUL_MAT"},
                 {"ffn_silu-0", "UNARY", "SILU"},
                 {"ffn_up-0", "MUL_MAT", "MUL_MAT"},
                 {"ffn_out-0", "MUL", "MUL"},
                 {"ffn_down-0", "MUL_MAT", "MUL_MAT"}};
  EXPECT_EQ(names(TapPlan(nodes)),
            (std::vector<std::string>{"ffn_gate-0", "ffn_act-0", "ffn_up-0", "ffn_par-0", "ffn_down-0"}));
  EXPECT_EQ(TapPlan(nodes).activation(), "ffn_silu");
}

TEST(TapPlan, BitnetWithScalesShowsWhatComesAfterThem) {
  const Nodes nodes = {
      {"node_3", "MUL_MAT", "MUL_MAT"}, {"Qcur-0", "MUL", "MUL"},        {"Qcur-0", "ROPE", "ROPE"},
      {"Vcur-0", "MUL_MAT", "MUL_MAT"}, {"Vcur-0", "ADD", "ADD"},        {"ffn_gate-0", "MUL_MAT", "MUL_MAT"},
      {"ffn_gate_s-0", "MUL", "MUL"},   {"ffn_silu-0", "UNARY", "SILU"}, {"ffn_up-0", "MUL_MAT", "MUL_MAT"},
      {"ffn_up_s-0", "MUL", "MUL"},     {"ffn_sub_out-0", "MUL", "MUL"}, {"node_30", "MUL_MAT", "MUL_MAT"},
      {"ffn_down-0", "MUL", "MUL"}};
  const auto at = shown(nodes);
  EXPECT_EQ(at, (std::map<std::string, std::size_t>{{"Qcur-0#1", 1},
                                                    {"Qcur-0#2", 2},
                                                    {"Vcur-0", 4},
                                                    {"ffn_gate-0", 6},
                                                    {"ffn_act-0", 7},
                                                    {"ffn_up-0", 9},
                                                    {"ffn_par-0", 10},
                                                    {"ffn_down-0", 12}}));
}

TEST(TapPlan, Llama) {
  Nodes nodes = attention();
  append(nodes, {{"kqv_merged_cont-0", "CONT", "CONT"},
                 {"kqv_out-0", "MUL_MAT", "MUL_MAT"},
                 {"ffn_inp-0", "ADD", "ADD"},
                 {"norm-0", "RMS_NORM", "RMS_NORM"},
                 {"ffn_norm-0", "MUL", "MUL"},
                 {"ffn_gate-0", "MUL_MAT", "MUL_MAT"},
                 {"ffn_silu-0", "UNARY", "SILU"},
                 {"ffn_up-0", "MUL_MAT", "MUL_MAT"},
                 {"ffn_gate_par-0", "MUL", "MUL"},
                 {"ffn_out-0", "MUL_MAT", "MUL_MAT"},
                 {"l_out-0", "ADD", "ADD"}});
  append(nodes, kHead);
  std::vector<std::string> expected;
  for (const auto& name : kWithSubNorms)
    if (name.find("sub_norm") == std::string::npos) expected.push_back(name);
  EXPECT_EQ(names(TapPlan(nodes)), expected);
  const auto at = shown(nodes);
  EXPECT_EQ(nodes[at.at("attn_out-0")].name, "kqv_out-0");
  EXPECT_EQ(nodes[at.at("ffn_down-0")].name, "ffn_out-0");
  EXPECT_EQ(nodes[at.at("ffn_par-0")].name, "ffn_gate_par-0");
}

TEST(TapPlan, BiasesOfLlamaComeInTheLastNodeOfTheName) {
  const Nodes nodes = {{"Qcur-7", "MUL_MAT", "MUL_MAT"}, {"Qcur-7", "ADD", "ADD"},
                       {"Qcur-7", "ROPE", "ROPE"},       {"ffn_gate-7", "MUL_MAT", "MUL_MAT"},
                       {"ffn_gate_b-7", "ADD", "ADD"},   {"ffn_out-7", "MUL_MAT", "MUL_MAT"},
                       {"ffn_out-7", "ADD", "ADD"}};
  EXPECT_EQ(shown(nodes), (std::map<std::string, std::size_t>{
                              {"Qcur-7#1", 1}, {"Qcur-7#2", 2}, {"ffn_gate-7", 4}, {"ffn_down-7", 6}}));
}

// Later libraries: the embedding is called embd, scores are kq_soft_max, gate and up are multiplied by one
// fused operation, so that no activated gate is to be seen.
TEST(TapPlan, LaterLibraries) {
  const Nodes nodes = {{"embd", "GET_ROWS", "GET_ROWS"},
                       {"Qcur-0", "MUL_MAT", "MUL_MAT"},
                       {"Qcur-0", "RESHAPE", "RESHAPE"},
                       {"Qcur-0", "ROPE", "ROPE"},
                       {"cache_k_l0 (view)", "SET_ROWS", "SET_ROWS"},
                       {"kq-0", "MUL_MAT", "MUL_MAT"},
                       {"kq_soft_max-0", "SOFT_MAX", "SOFT_MAX"},
                       {"kqv_out-0", "CONT", "CONT"},
                       {"attn_sub_norm-0", "MUL", "MUL"},
                       {"attn_out-0", "MUL_MAT", "MUL_MAT"},
                       {"ffn_up-0", "MUL_MAT", "MUL_MAT"},
                       {"ffn_gate-0", "MUL_MAT", "MUL_MAT"},
                       {"ffn_sub_out-0", "GLU", "SWIGLU"},
                       {"ffn_down-0", "MUL_MAT", "MUL_MAT"}};
  EXPECT_EQ(shown(nodes), (std::map<std::string, std::size_t>{{"inp_embd", 0},
                                                              {"Qcur-0#1", 1},
                                                              {"Qcur-0#2", 3},
                                                              {"kq-0", 5},
                                                              {"kq_soft_max-0", 6},
                                                              {"attn_ctx-0", 7},
                                                              {"attn_sub_norm-0", 8},
                                                              {"attn_out-0", 9},
                                                              {"ffn_up-0", 10},
                                                              {"ffn_gate-0", 11},
                                                              {"ffn_par-0", 12},
                                                              {"ffn_down-0", 13}}));
  EXPECT_EQ(TapPlan(nodes).activation(), "SWIGLU");
}

// ik_llama.cpp: norms are one operation with their weight, the name of the FFN's is on the sum before it;
// gate, activation and product are one; roped queries have a name of their own; and some nodes have none.
TEST(TapPlan, FusedAndUnnamedNodes) {
  const Nodes nodes = {{"attn_norm-1", "FUSED_RMS_NORM", "FUSED_RMS_NORM", "l_out-0"},
                       {"Qcur-1", "MUL_MAT", "MUL_MAT", "blk.1.attn_q.weight"},
                       {"Qcur_roped-1", "ROPE", "ROPE", "Qcur-1 (reshaped)"},
                       {"Kcur_roped-1", "ROPE", "ROPE", "Kcur-1 (reshaped)"},
                       {"kqv_merged_cont-1", "CONT", "CONT", "kqv_merged-1"},
                       {"kqv_out-1", "MUL_MAT", "MUL_MAT", "blk.1.attn_output.weight"},
                       {"attn_out-1", "GET_ROWS", "GET_ROWS", "kqv_out-1"},
                       {"sainp_get_rows-1", "GET_ROWS", "GET_ROWS", "l_out-0"},
                       {"ffn_norm-1", "ADD", "ADD", "attn_out-1"},
                       {"node_55", "FUSED_RMS_NORM", "FUSED_RMS_NORM", "ffn_norm-1"},
                       {"ffn_gate-1", "MUL_MAT", "MUL_MAT", "blk.1.ffn_gate.weight"},
                       {"ffn_up-1", "MUL_MAT", "MUL_MAT", "blk.1.ffn_up.weight"},
                       {"node_58", "FUSED_MUL_UNARY", "FUSED_MUL_UNARY", "ffn_gate-1"},
                       {"node_59", "MUL_MAT", "MUL_MAT", "blk.1.ffn_down.weight"},
                       {"node_60", "MUL_MAT", "MUL_MAT", "blk.1.some_other.weight"},
                       {"l_out-1", "ADD", "ADD", "node_59"}};
  EXPECT_EQ(shown(nodes), (std::map<std::string, std::size_t>{{"attn_norm-1", 0},
                                                              {"Qcur-1#1", 1},
                                                              {"Qcur-1#2", 2},
                                                              {"Kcur-1#2", 3},
                                                              {"attn_ctx-1", 4},
                                                              {"attn_out-1", 5},
                                                              {"ffn_inp-1", 8},
                                                              {"ffn_norm-1", 9},
                                                              {"ffn_gate-1", 10},
                                                              {"ffn_up-1", 11},
                                                              {"ffn_par-1", 12},
                                                              {"ffn_down-1", 13},
                                                              {"l_out-1", 15}}));
  EXPECT_EQ(TapPlan(nodes).activation(), "FUSED_MUL_UNARY");
}

TEST(TapPlan, NamesWithoutALayerOrWithMoreBehindItAreOthers) {
  EXPECT_TRUE(TapPlan({{"attn_norm", "MUL", "MUL"}}).taps().empty());
  EXPECT_TRUE(TapPlan({{"result_norm-0", "MUL", "MUL"}}).taps().empty());
  EXPECT_TRUE(
      TapPlan({{"Qcur-0 (copy)", "MUL_MAT", "MUL_MAT"}, {"Qcur-", "MUL_MAT", "MUL_MAT"}}).taps().empty());
}

}  // namespace
}  // namespace crossval::llama_adapter
