#include "reference/emulator/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>

#include "engine/gguf/gguf.h"
#include "reference/emulator/arithmetic.h"
#include "reference/formats/ternary.h"

namespace crossval::emulation {
namespace {

using bitnet::TensorType;

class Loader {
 public:
  Loader(const bitnet::gguf::File& file, const bitnet::Config& config,
         const bitnet::gguf::TernaryOptions& options, std::vector<std::vector<std::byte>>& decoded)
      : file_(file), c_(config), options_(options), decoded_(decoded) {}

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }
  bool scales_apart() const { return c_.architecture == bitnet::Architecture::bitnet; }

  std::vector<float> vector(const std::string& name, std::int64_t n) {
    const auto& tensor = take(name, n, 1);
    if (tensor.type != TensorType::f32) refuse_type(tensor, "F32");
    std::vector<float> values(static_cast<std::size_t>(n));
    std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(float));
    for (float value : values)
      if (!std::isfinite(value)) file_.fail(name, "holds a value that is not finite; the file is damaged");
    return values;
  }

  Matrix matrix(const std::string& name, std::int64_t cols, std::int64_t rows) {
    const auto& tensor = take(name, cols, rows);
    Matrix m{tensor.data.data(), tensor.type, rows, cols, 1};
    if (bitnet::is_ternary(tensor.type)) m.type = TensorType::i2_s;
    switch (m.type) {
      case TensorType::f32:
      case TensorType::f16:
      case TensorType::q6_k:
        break;
      case TensorType::i2_s:
        if (cols % 128 != 0 || (tensor.type == TensorType::i2_s && rows % 4 != 0))
          file_.fail(name, "I2_S needs rows of a multiple of 128 and a multiple of 4 rows, not " +
                               std::to_string(cols) + " and " + std::to_string(rows) + "; pad the model");
        m.data = as_i2s(file_, tensor, options_, decoded_);
        std::memcpy(&m.scale, m.data + rows * cols / 4, sizeof(float));
        if (!std::isfinite(m.scale)) file_.fail(name, "its weight scale is not finite; the file is damaged");
        break;
      default:
        refuse_type(tensor, "I2_S, F16, F32 or Q6_K");
    }
    return m;
  }

  // Embedding or head. Types that only these have take the engine's arithmetic (design.md 9), not
  // bitnet.cpp's.
  Matrix table(const std::string& name, std::int64_t cols, std::int64_t rows) {
    const auto* tensor = file_.find_tensor(name);
    constexpr TensorType kOwn[] = {TensorType::bf16, TensorType::q8_0, TensorType::q5_0, TensorType::q4_k,
                                   TensorType::q4_0};
    if (tensor && std::ranges::find(kOwn, tensor->type) != std::end(kOwn))
      return {take(name, cols, rows).data.data(), tensor->type, rows, cols, 1};
    return matrix(name, cols, rows);
  }

  // name: without ".weight".
  Projection projection(const std::string& name, std::int64_t cols, std::int64_t rows, bool bias_used) {
    Projection p{matrix(name + ".weight", cols, rows), {}, {}};
    if (scales_apart()) {
      if (has(name + ".scale")) p.factor = vector(name + ".scale", 1)[0];
    } else if (has(name + ".bias")) {
      p.bias = vector(name + ".bias", rows);
      if (!bias_used) p.bias.clear();  // the reference reads it and does not add it
    }
    return p;
  }

  // Counted, and never read.
  void ignore(const std::string& name) {
    if (const auto* tensor = file_.find_tensor(name)) taken_.insert(tensor->name);
  }

  void refuse_surplus() const {
    for (const auto& tensor : file_.tensors())
      if (!taken_.contains(tensor.name))
        file_.fail(tensor.name, "this architecture has no such tensor; bitnet.cpp refuses the file");
  }

 private:
  const bitnet::gguf::Tensor& take(const std::string& name, std::int64_t ne0, std::int64_t ne1) {
    const std::uint64_t wanted[4] = {static_cast<std::uint64_t>(ne0), static_cast<std::uint64_t>(ne1), 1, 1};
    const auto* tensor = file_.find_tensor(name);
    if (!tensor) file_.fail(name, "the tensor is missing");
    if (!std::equal(std::begin(wanted), std::end(wanted), std::begin(tensor->ne)))
      file_.fail(name, "its shape is [" + std::to_string(tensor->ne[0]) + ", " +
                           std::to_string(tensor->ne[1]) + "], expected [" + std::to_string(ne0) + ", " +
                           std::to_string(ne1) + "]");
    taken_.insert(tensor->name);
    return *tensor;
  }

  [[noreturn]] void refuse_type(const bitnet::gguf::Tensor& tensor, const char* expected) const {
    file_.fail(tensor.name, "has type " + std::string(bitnet::type_name(tensor.type)) +
                                ", which the emulator does not run; expected " + expected);
  }

  const bitnet::gguf::File& file_;
  const bitnet::Config& c_;
  const bitnet::gguf::TernaryOptions& options_;
  std::vector<std::vector<std::byte>>& decoded_;
  std::set<std::string_view> taken_;
};

}  // namespace

Weights load_weights(const bitnet::gguf::File& file, const bitnet::Config& c,
                     const bitnet::gguf::TernaryOptions& ternary) {
  Weights w;
  Loader load(file, c, ternary, w.decoded);
  const bool llama = c.architecture == bitnet::Architecture::llama;
  w.token_embd = load.table("token_embd.weight", c.n_embd, c.n_vocab);
  for (std::int64_t i = 0; i < c.n_layer; ++i) {
    const std::string blk = "blk." + std::to_string(i) + ".";
    Layer l;
    l.attn_norm = load.vector(blk + "attn_norm.weight", c.n_embd);
    l.wq = load.projection(blk + "attn_q", c.n_embd, c.q_width(), true);
    l.wk = load.projection(blk + "attn_k", c.n_embd, c.kv_width(), true);
    l.wv = load.projection(blk + "attn_v", c.n_embd, c.kv_width(), true);
    l.wo = load.projection(blk + "attn_output", c.q_width(), c.n_embd, true);
    l.ffn_norm = load.vector(blk + "ffn_norm.weight", c.n_embd);
    l.gate = load.projection(blk + "ffn_gate", c.n_embd, c.n_ff, llama);
    l.up = load.projection(blk + "ffn_up", c.n_embd, c.n_ff, llama);
    l.down = load.projection(blk + "ffn_down", c.n_ff, c.n_embd, llama);
    if (c.sub_norms) {
      l.attn_sub_norm = load.vector(blk + "attn_sub_norm.weight", c.n_embd);  // so H*hd must be that
      l.ffn_sub_norm = load.vector(blk + "ffn_sub_norm.weight", c.n_ff);
    }
    w.layers.push_back(std::move(l));
  }
  w.output_norm = load.vector("output_norm.weight", c.n_embd);
  w.head = w.token_embd;
  if (llama && load.has("output.weight")) w.head = load.table("output.weight", c.n_embd, c.n_vocab);
  if (c.architecture != bitnet::Architecture::bitnet) {
    load.ignore("output.weight");
    if (load.has("rope_freqs.weight")) w.rope_divisors = load.vector("rope_freqs.weight", c.n_rot / 2);
  }
  load.refuse_surplus();
  return w;
}

}  // namespace crossval::emulation
