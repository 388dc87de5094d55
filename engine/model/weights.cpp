#include "engine/model/weights.h"

#include <cstring>
#include <set>

#include "engine/gguf/checks.h"
#include "engine/gguf/gguf.h"

namespace bitnet {
namespace {

std::string shape_text(std::initializer_list<std::int64_t> ne) {
  std::string text = "[";
  for (auto n : ne) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

// Hands out tensors by name and remembers which were taken.
class Loader {
 public:
  Loader(const gguf::File& file, Weights& out) : file_(file), out_(out) {}

  std::vector<float> vector(const std::string& name, std::int64_t n) {
    const gguf::Tensor& tensor = take(name, {n});
    if (tensor.type != TensorType::f32) wrong_type(tensor, "F32");
    gguf::check_finite(file_, tensor);
    std::vector<float> values(static_cast<std::size_t>(n));
    std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(float));
    return values;
  }

  TernaryMatrix ternary(const std::string& name, std::int64_t cols, std::int64_t rows) {
    const gguf::Tensor& tensor = take(name, {cols, rows});
    if (tensor.type != TensorType::i2_s) wrong_type(tensor, "I2_S");
    gguf::check_i2s(file_, tensor);
    TernaryMatrix matrix;
    matrix.codes = reinterpret_cast<const std::uint8_t*>(tensor.data.data());
    matrix.rows = rows;
    matrix.cols = cols;
    std::memcpy(&matrix.scale, tensor.data.data() + rows * cols / 4, sizeof(float));
    return matrix;
  }

  FloatMatrix matrix(const std::string& name, std::int64_t cols, std::int64_t rows) {
    const gguf::Tensor& tensor = take(name, {cols, rows});
    switch (tensor.type) {
      case TensorType::f32:
        return {view<float>(tensor), rows, cols};
      case TensorType::f16:
        return {view<f16>(tensor), rows, cols};
      case TensorType::bf16:
        return {view<bf16>(tensor), rows, cols};
      case TensorType::q8_0:
        return {view<q8_0::Block>(tensor), rows, cols};
      case TensorType::q6_k:
        return {view<q6_k::Block>(tensor), rows, cols};
      default:
        wrong_type(tensor, "F32, F16, BF16, Q8_0 or Q6_K");
    }
  }

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }

  // bitnet.cpp refuses files with tensors it does not use; a part of the model left unread is an error here
  // too.
  void refuse_surplus() const {
    for (const auto& tensor : file_.tensors()) {
      if (taken_.contains(std::string(tensor.name))) continue;
      const bool planned = tensor.name.ends_with(".bias") || tensor.name.ends_with(".scale");
      file_.fail(tensor.name, planned
                                  ? "biases and separate scales are not supported yet"
                                  : "this architecture has no such tensor; bitnet.cpp refuses the file too");
    }
  }

 private:
  const gguf::Tensor& take(const std::string& name, std::initializer_list<std::int64_t> shape) {
    const gguf::Tensor* tensor = file_.find_tensor(name);
    if (!tensor) file_.fail(name, "the tensor is missing; expected shape " + shape_text(shape));
    std::size_t i = 0;
    bool fits = true;
    for (auto n : shape) fits = fits && tensor->ne[i++] == static_cast<std::uint64_t>(n);
    for (; i < 4; ++i) fits = fits && tensor->ne[i] == 1;
    if (!fits)
      file_.fail(name, "its shape is [" + std::to_string(tensor->ne[0]) + ", " +
                           std::to_string(tensor->ne[1]) + ", " + std::to_string(tensor->ne[2]) + ", " +
                           std::to_string(tensor->ne[3]) + "], expected " + shape_text(shape));
    taken_.insert(name);
    return *tensor;
  }

  // The tensor's bytes as they lie in the file, or a copy where they lie at an address that T cannot have.
  template <class T>
  const T* view(const gguf::Tensor& tensor) const {
    const std::byte* data = tensor.data.data();
    if (reinterpret_cast<std::uintptr_t>(data) % alignof(T) != 0) {
      auto& copy = out_.realigned.emplace_back((tensor.data.size() + sizeof(float) - 1) / sizeof(float));
      std::memcpy(copy.data(), data, tensor.data.size());
      data = reinterpret_cast<const std::byte*>(copy.data());
    }
    return reinterpret_cast<const T*>(data);
  }

  [[noreturn]] void wrong_type(const gguf::Tensor& tensor, const char* wanted) const {
    file_.fail(tensor.name, "has type " + std::string(type_name(static_cast<std::uint32_t>(tensor.type))) +
                                ", which is not supported here; expected " + wanted);
  }

  const gguf::File& file_;
  Weights& out_;
  std::set<std::string, std::less<>> taken_;
};

}  // namespace

TensorType FloatMatrix::type() const {
  constexpr TensorType kTypes[] = {TensorType::f32, TensorType::f16, TensorType::bf16, TensorType::q8_0,
                                   TensorType::q6_k};
  static_assert(std::size(kTypes) == std::variant_size_v<decltype(data)>, "in the order of `data`");
  return kTypes[data.index()];
}

std::int64_t FloatMatrix::bytes() const {
  const auto n = tensor_bytes(type(), static_cast<std::uint64_t>(cols), static_cast<std::uint64_t>(rows));
  return static_cast<std::int64_t>(n.value());
}

Weights load_weights(const gguf::File& file, const Config& c) {
  Weights w;
  Loader load(file, w);
  w.token_embd = load.matrix("token_embd.weight", c.n_embd, c.n_vocab);
  w.output_norm = load.vector("output_norm.weight", c.n_embd);
  w.layers.resize(static_cast<std::size_t>(c.n_layer));
  for (std::size_t i = 0; i < w.layers.size(); ++i) {
    const std::string blk = "blk." + std::to_string(i) + ".";
    LayerWeights& l = w.layers[i];
    l.attn_norm = load.vector(blk + "attn_norm.weight", c.n_embd);
    l.attn_q = load.ternary(blk + "attn_q.weight", c.n_embd, c.q_width());
    l.attn_k = load.ternary(blk + "attn_k.weight", c.n_embd, c.kv_width());
    l.attn_v = load.ternary(blk + "attn_v.weight", c.n_embd, c.kv_width());
    l.attn_output = load.ternary(blk + "attn_output.weight", c.q_width(), c.n_embd);
    l.ffn_norm = load.vector(blk + "ffn_norm.weight", c.n_embd);
    l.ffn_gate = load.ternary(blk + "ffn_gate.weight", c.n_embd, c.n_ff);
    l.ffn_up = load.ternary(blk + "ffn_up.weight", c.n_embd, c.n_ff);
    l.ffn_down = load.ternary(blk + "ffn_down.weight", c.n_ff, c.n_embd);
    if (c.sub_norms) {
      l.attn_sub_norm = load.vector(blk + "attn_sub_norm.weight", c.q_width());
      l.ffn_sub_norm = load.vector(blk + "ffn_sub_norm.weight", c.n_ff);
    }
  }
  w.tied = !load.has("output.weight");
  w.output = w.tied ? w.token_embd : load.matrix("output.weight", c.n_embd, c.n_vocab);
  if (!w.tied && c.architecture != Architecture::llama)
    w.warnings.push_back(file.name() + ": output.weight is used as the head; bitnet.cpp " +
                         (c.architecture == Architecture::bitnet ? "refuses such a file"
                                                                 : "ignores it and uses token_embd.weight"));
  if (c.architecture != Architecture::bitnet && load.has("rope_freqs.weight")) {
    w.rope_freqs = load.vector("rope_freqs.weight", c.n_rot / 2);
    for (float factor : w.rope_freqs)
      if (factor == 0) file.fail("rope_freqs.weight", "holds a zero, by which angles would be divided");
  }
  load.refuse_surplus();
  return w;
}

}  // namespace bitnet
