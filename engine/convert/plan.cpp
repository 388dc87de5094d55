#include "engine/convert/plan.h"

#include <algorithm>
#include <set>

#include "engine/formats/i2s.h"
#include "engine/gguf/printable.h"

namespace bitnet::hf {
namespace {

// bitnet.cpp's graphs (reference-semantics 1.5), which the names of a checkpoint's norms tell apart.
struct Graph {
  std::string_view architecture;
  std::string_view activation;  // hidden_act
  std::string_view attn_sub_norm;
  std::string_view ffn_sub_norm;
};
constexpr Graph kB158 = {"bitnet-b1.58", "relu2", "self_attn.attn_sub_norm", "mlp.ffn_sub_norm"};
constexpr Graph kBitnet = {"bitnet", "silu", "self_attn.inner_attn_ln", "mlp.ffn_layernorm"};
constexpr Graph kLlama = {"llama", "silu", "", ""};

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";
constexpr std::uint64_t kI2sRows = 4;  // that kernels take at a time (reference-semantics 2.6)

class Planner {
 public:
  Planner(const Checkpoint& checkpoint, const HfConfig& config, TensorType embedding)
      : checkpoint_(checkpoint), c_(config), embedding_(embedding), graph_(find_graph()) {
    plan_.architecture = graph_.architecture;
  }

  Plan run() {
    add_floats("token_embd.weight", kEmbedding, {c_.n_vocab, c_.n_embd}, embedding_);
    add_norm("output_norm.weight", "model.norm.weight", c_.n_embd);
    add_head();
    if (c_.rope_scaling.kind == RopeScaling::Kind::llama3) {
      Target t = {"rope_freqs.weight", TensorType::f32, {c_.head_dim / 2}, {}, rope_divisors(c_)};
      plan_.targets.push_back(std::move(t));
    }
    for (std::uint32_t i = 0; i < c_.n_layer; ++i) add_layer(i);
    refuse_surplus();
    return std::move(plan_);
  }

 private:
  Graph find_graph() const {
    const auto has = [&](std::string_view norm) {
      return checkpoint_.find("model.layers.0." + std::string(norm) + ".weight") != nullptr;
    };
    Graph graph = kLlama;
    if (c_.family == Family::bitnet) {
      if (!has(kB158.attn_sub_norm) && !has(kBitnet.attn_sub_norm))
        checkpoint_.fail("model.layers.0." + std::string(kB158.attn_sub_norm) + ".weight",
                         "missing, and " + std::string(kBitnet.attn_sub_norm) +
                             " too; no architecture of bitnet.cpp has BitNet layers without them");
      graph = has(kB158.attn_sub_norm) ? kB158 : kBitnet;
    }
    if (c_.activation && *c_.activation != graph.activation)
      checkpoint_.fail("hidden_act", "`" + gguf::printable(*c_.activation, 60) +
                                         "` of config.json cannot be: " + std::string(graph.architecture) +
                                         " has " + std::string(graph.activation) + " in bitnet.cpp");
    return graph;
  }

  const Safetensors::Tensor* take(const std::string& name) {
    taken_.insert(name);
    return checkpoint_.find(name);
  }

  const Safetensors::Tensor& require(const std::string& name) {
    const Safetensors::Tensor* t = take(name);
    if (t == nullptr) checkpoint_.fail(name, "missing; the checkpoint is not complete: download it again");
    return *t;
  }

  // `shape` as Hugging Face has it: rows first.
  void add_floats(const std::string& gguf_name, const std::string& name, std::vector<std::uint64_t> shape,
                  TensorType type, std::uint32_t heads_to_interleave = 0) {
    const Safetensors::Tensor& t = require(name);
    (void)float_type_of(checkpoint_, t);
    if (t.shape != shape)
      checkpoint_.fail(name, "has shape " + shape_text(t.shape) + ", but config.json makes it " +
                                 shape_text(shape) + "; they are of different checkpoints");
    Target target = {gguf_name, type, {shape.rbegin(), shape.rend()}, {}, {}};
    target.source.weight = &t;
    target.source.heads_to_interleave = heads_to_interleave;
    // A vector has a row for each number.
    target.source.shape = shape.size() == 1 ? TernaryShape{1, shape[0]} : TernaryShape{shape[1], shape[0]};
    plan_.targets.push_back(std::move(target));
  }

  void add_norm(const std::string& gguf_name, const std::string& name, std::uint64_t width) {
    add_floats(gguf_name, name, {width}, TensorType::f32);
  }

  void add_head() {
    const Safetensors::Tensor* head = take(kHead);
    if (!c_.tied) {
      plan_.notes.push_back(
          head != nullptr
              ? "config.json does not say whether the head is tied; lm_head.weight is there: it is not"
              : "config.json does not say whether the head is tied; there is no lm_head.weight: it is");
    }
    const bool tied = c_.tied.value_or(head == nullptr);
    if (!tied) {
      add_floats("output.weight", kHead, {c_.n_vocab, c_.n_embd}, embedding_);
      if (graph_.architecture != kLlama.architecture)
        plan_.notes.push_back(
            "the head is not tied: bitnet.cpp refuses or ignores output.weight in architecture " +
            plan_.architecture);
      return;
    }
    if (head == nullptr) return;
    const Safetensors::Tensor& embedding = require(kEmbedding);
    if (head->type != embedding.type || !std::ranges::equal(head->data, embedding.data))
      checkpoint_.fail(kHead,
                       "differs from the embedding, to which config.json ties it; set "
                       "tie_word_embeddings to what was meant");
    plan_.notes.push_back("lm_head.weight is the embedding once more, to which it is tied: it is left out");
  }

  void add_projection(const std::string& prefix, const std::string& hf_prefix, std::string_view gguf_name,
                      std::string_view name, std::uint64_t rows, std::uint64_t cols,
                      std::uint32_t heads_to_interleave = 0) {
    const std::string stem = hf_prefix + std::string(name);
    for (const std::string& part : c_.not_converted)
      if (stem.find(part) != std::string::npos)
        checkpoint_.fail(stem + ".weight", "is not ternary, because modules_to_not_convert names `" +
                                               gguf::printable(part, 60) + "`; architecture " +
                                               plan_.architecture + " needs it to be");
    Target t = {prefix + std::string(gguf_name) + ".weight", TensorType::i2_s, {cols, rows}, {}, {}};
    t.source.weight = &require(stem + ".weight");
    t.source.weight_scale = take(stem + ".weight_scale");
    t.source.shape = {cols, rows};
    t.source.heads_to_interleave = heads_to_interleave;
    if (cols % i2s::kBlockElements != 0 || rows % kI2sRows != 0)
      checkpoint_.fail(stem + ".weight",
                       "is a matrix of " + shape_text({rows, cols}) +
                           ", which I2_S cannot hold: it takes rows of a multiple of 128 weights, and a "
                           "multiple of 4 rows");
    plan_.targets.push_back(std::move(t));
    if (checkpoint_.find(stem + ".bias") == nullptr) return;
    if (graph_.architecture == kBitnet.architecture)
      checkpoint_.fail(stem + ".bias", "cannot be converted: architecture bitnet has no biases");
    add_floats(prefix + std::string(gguf_name) + ".bias", stem + ".bias", {rows}, TensorType::f32,
               heads_to_interleave);
  }

  void add_layer(std::uint32_t i) {
    const std::string p = "blk." + std::to_string(i) + ".";
    const std::string hf = "model.layers." + std::to_string(i) + ".";
    const std::uint64_t q = std::uint64_t{c_.n_head} * c_.head_dim;
    const std::uint64_t kv = std::uint64_t{c_.n_head_kv} * c_.head_dim;
    const auto norm = [&](const char* gguf_name, std::string_view name, std::uint64_t width) {
      if (!name.empty()) add_norm(p + gguf_name + ".weight", hf + std::string(name) + ".weight", width);
    };
    norm("attn_norm", "input_layernorm", c_.n_embd);
    norm("attn_sub_norm", graph_.attn_sub_norm, q);
    norm("ffn_norm", "post_attention_layernorm", c_.n_embd);
    norm("ffn_sub_norm", graph_.ffn_sub_norm, c_.n_ff);
    // llama's graph turns neighbours by RoPE, Hugging Face the two halves of a head.
    const bool interleave = graph_.architecture == kLlama.architecture;
    add_projection(p, hf, "attn_q", "self_attn.q_proj", q, c_.n_embd, interleave ? c_.n_head : 0);
    add_projection(p, hf, "attn_k", "self_attn.k_proj", kv, c_.n_embd, interleave ? c_.n_head_kv : 0);
    add_projection(p, hf, "attn_v", "self_attn.v_proj", kv, c_.n_embd);
    add_projection(p, hf, "attn_output", "self_attn.o_proj", c_.n_embd, q);
    add_projection(p, hf, "ffn_gate", "mlp.gate_proj", c_.n_ff, c_.n_embd);
    add_projection(p, hf, "ffn_up", "mlp.up_proj", c_.n_ff, c_.n_embd);
    add_projection(p, hf, "ffn_down", "mlp.down_proj", c_.n_embd, c_.n_ff);
  }

  void refuse_surplus() {
    std::size_t frequencies = 0;
    for (const Safetensors::Tensor* t : checkpoint_.tensors()) {
      if (taken_.contains(t->name)) continue;
      // RoPE's angles, which old versions of transformers saved; they follow from the configuration.
      if (t->name.ends_with("rotary_emb.inv_freq"))
        ++frequencies;
      else
        checkpoint_.fail(t->name, "is no tensor of architecture " + plan_.architecture + " with " +
                                      std::to_string(c_.n_layer) +
                                      " layers; is this another model, or are there layers more?");
    }
    if (frequencies > 0)
      plan_.notes.push_back(std::to_string(frequencies) +
                            " tensors of RoPE frequencies follow from config.json: they are left out");
  }

  const Checkpoint& checkpoint_;
  const HfConfig& c_;
  TensorType embedding_;
  Graph graph_;
  std::set<std::string, std::less<>> taken_;
  Plan plan_;
};

}  // namespace

Plan make_plan(const Checkpoint& checkpoint, const HfConfig& config, TensorType embedding) {
  return Planner(checkpoint, config, embedding).run();
}

}  // namespace bitnet::hf
