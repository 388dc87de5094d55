#include "engine/model/weights.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "engine/formats/i2s.h"
#include "engine/gguf/checks.h"
#include "engine/gguf/gguf.h"
#include "engine/kernels/huge_pages.h"
#include "engine/model/ternary_workers.h"

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
  Loader(const gguf::File& file, const WeightOptions& options, Weights& out)
      : file_(file), options_(options), out_(out) {}

  std::vector<float> vector(const std::string& name, std::int64_t n) {
    const gguf::Tensor& tensor = take(name, {n});
    if (tensor.type != TensorType::f32) wrong_type(tensor, "F32");
    gguf::check_finite(file_, tensor);
    std::vector<float> values(static_cast<std::size_t>(n));
    std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(float));
    return values;
  }

  // `matrix` must stay where it is until `decode`.
  void ternary(const std::string& name, std::int64_t cols, std::int64_t rows, TernaryMatrix& matrix) {
    const gguf::Tensor& tensor = take(name, {cols, rows});
    if (!is_ternary(tensor.type))
      wrong_type(tensor, "I2_S, TL1, TL2, TQ1_0, TQ2_0, IQ1_BN, IQ2_BN or IQ2_BN_R4");
    ternary(tensor, matrix);
  }

  void ternary(const gguf::Tensor& tensor, TernaryMatrix& matrix) {
    const auto cols = static_cast<std::int64_t>(tensor.ne[0]), rows = static_cast<std::int64_t>(tensor.ne[1]);
    if (tensor.type == TensorType::i2_s) gguf::check_i2s(file_, tensor);
    if (cols % 128 != 0)
      file_.fail(tensor.name, "its row length " + std::to_string(cols) +
                                  " is no multiple of 128, as ternary products need it; pad the model");
    matrix.rows = rows;
    matrix.cols = cols;
    const TernaryFormat format = gguf::ternary_format(file_, tensor, options_.ternary);
    if (format.type == TensorType::i2_s && format.i2s == I2sLayout::x86) {
      matrix.codes = reinterpret_cast<const std::uint8_t*>(tensor.data.data());
      matrix.scale = i2s::scale(tensor.data, tensor.elements());
    } else {
      others_.push_back({&tensor, &matrix});
    }
  }

  // name: without ".weight". `projection` must stay where it is until `decode`.
  void projection(const std::string& name, std::int64_t cols, std::int64_t rows, Projection& projection) {
    ternary(name + ".weight", cols, rows, projection.matrix);
    if (has(name + ".scale")) projection.factor = vector(name + ".scale", 1)[0];
    if (has(name + ".bias")) projection.bias = vector(name + ".bias", rows);
  }

  // Those that lie in the file otherwise than in memory.
  void decode() {
    if (others_.empty() || !options_.decode) return;
    std::vector<std::uint64_t> at;
    std::uint64_t bytes = 0;
    for (const Other& o : others_) {
      at.push_back(bytes);
      bytes += i2s::tensor_bytes(o.tensor->elements());
    }
    out_.decoded = allocate_huge_pages(static_cast<std::int64_t>(bytes));
    TernaryWorkers workers;
    for (std::size_t i = 0; i < others_.size(); ++i) decode(workers, others_[i], out_.decoded.get() + at[i]);
  }

  // `matrix` must stay where it is until `decode`.
  void matrix(const std::string& name, std::int64_t cols, std::int64_t rows, FloatMatrix& matrix) {
    const gguf::Tensor& tensor = take(name, {cols, rows});
    matrix.rows = rows;
    matrix.cols = cols;
    switch (tensor.type) {
      case TensorType::f32:
        matrix.data = view<float>(tensor);
        break;
      case TensorType::f16:
        matrix.data = view<f16>(tensor);
        break;
      case TensorType::bf16:
        matrix.data = view<bf16>(tensor);
        break;
      case TensorType::q8_0:
        matrix.data = view<q8_0::Block>(tensor);
        break;
      case TensorType::q6_k:
        matrix.data = view<q6_k::Block>(tensor);
        break;
      case TensorType::q5_0:
        matrix.data = view<q5_0::Block>(tensor);
        break;
      case TensorType::q4_k:
        matrix.data = view<q4_k::Block>(tensor);
        break;
      case TensorType::q4_0:
        matrix.data = view<q4_0::Block>(tensor);
        break;
      case TensorType::i2_s:
        ternary(tensor, matrix.data.emplace<TernaryMatrix>());
        break;
      default:
        wrong_type(tensor, "F32, F16, BF16, Q8_0, Q6_K, Q5_0, Q4_K, Q4_0 or I2_S");
    }
  }

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }

  // bitnet.cpp refuses files with tensors it does not use; a part of the model left unread is an error here
  // too.
  void refuse_surplus() const {
    for (const auto& tensor : file_.tensors()) {
      if (taken_.contains(std::string(tensor.name))) continue;
      file_.fail(tensor.name, "this architecture has no such tensor; bitnet.cpp refuses the file too");
    }
  }

 private:
  struct Other {
    const gguf::Tensor* tensor;
    TernaryMatrix* matrix;
  };

  void decode(TernaryWorkers& workers, const Other& other, std::byte* memory) const {
    const auto pack = [&](std::span<const std::int8_t> weights, std::uint64_t first) {
      i2s::pack_codes(weights, {memory + first / 4, weights.size() / 4});
    };
    other.matrix->scale = workers.decode(file_, *other.tensor, options_.ternary, pack);
    other.matrix->codes = reinterpret_cast<const std::uint8_t*>(memory);
  }

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
    file_.fail(tensor.name, "has type " + std::string(type_name(tensor.type)) +
                                ", which is not supported here; expected " + wanted);
  }

  const gguf::File& file_;
  const WeightOptions& options_;
  Weights& out_;
  std::vector<Other> others_;
  std::set<std::string, std::less<>> taken_;
};

// What the engine does with tensors that bitnet.cpp treats otherwise, a line for each kind.
void warn_of_differences(const gguf::File& file, const Config& c, std::vector<std::string>& warnings) {
  const auto warn = [&](const char* what, const char* bitnet_cpp, auto&& differs) {
    const auto& tensors = file.tensors();
    const auto first = std::ranges::find_if(tensors, [&](const auto& t) { return differs(t.name); });
    if (first != tensors.end())
      warnings.push_back(file.name() + ": " + std::string(first->name) + " " + what + "; bitnet.cpp " +
                         bitnet_cpp);
  };
  const bool old = c.architecture == Architecture::bitnet, llama = c.architecture == Architecture::llama;
  if (!llama)
    warn("is used as the head", old ? "refuses such a file" : "ignores it and uses token_embd.weight",
         [](std::string_view name) { return name == "output.weight"; });
  if (!old)
    warn("multiplies what its matrix gives", "refuses such a file",
         [](std::string_view name) { return name.ends_with(".scale"); });
  if (!llama)
    warn("is added to what its matrix gives", old ? "refuses such a file" : "reads it and does not add it",
         [&](std::string_view name) {
           return name.ends_with(".bias") && (old || name.find(".ffn_") != std::string_view::npos);
         });
}

}  // namespace

TensorType FloatMatrix::type() const {
  constexpr TensorType kTypes[] = {TensorType::f32,  TensorType::f16,  TensorType::bf16,
                                   TensorType::q8_0, TensorType::q6_k, TensorType::q5_0,
                                   TensorType::q4_k, TensorType::q4_0, TensorType::i2_s};
  static_assert(std::size(kTypes) == std::variant_size_v<decltype(data)>, "in the order of `data`");
  return kTypes[data.index()];
}

const std::byte* FloatMatrix::bytes_at() const {
  if (const auto* ternary = std::get_if<TernaryMatrix>(&data))
    return reinterpret_cast<const std::byte*>(ternary->codes);
  return std::visit(
      []<class T>(const T& first) -> const std::byte* {
        if constexpr (std::is_pointer_v<T>) return reinterpret_cast<const std::byte*>(first);
        return nullptr;
      },
      data);
}

std::int64_t FloatMatrix::bytes() const {
  const auto n = tensor_bytes(type(), static_cast<std::uint64_t>(cols), static_cast<std::uint64_t>(rows));
  return static_cast<std::int64_t>(n.value());
}

Weights load_weights(const gguf::File& file, const Config& c, const WeightOptions& options) {
  Weights w;
  Loader load(file, options, w);
  load.matrix("token_embd.weight", c.n_embd, c.n_vocab, w.token_embd);
  w.output_norm = load.vector("output_norm.weight", c.n_embd);
  w.layers.resize(static_cast<std::size_t>(c.n_layer));
  for (std::size_t i = 0; i < w.layers.size(); ++i) {
    const std::string blk = "blk." + std::to_string(i) + ".";
    LayerWeights& l = w.layers[i];
    l.attn_norm = load.vector(blk + "attn_norm.weight", c.n_embd);
    load.projection(blk + "attn_q", c.n_embd, c.q_width(), l.attn_q);
    load.projection(blk + "attn_k", c.n_embd, c.kv_width(), l.attn_k);
    load.projection(blk + "attn_v", c.n_embd, c.kv_width(), l.attn_v);
    load.projection(blk + "attn_output", c.q_width(), c.n_embd, l.attn_output);
    l.ffn_norm = load.vector(blk + "ffn_norm.weight", c.n_embd);
    load.projection(blk + "ffn_gate", c.n_embd, c.n_ff, l.ffn_gate);
    load.projection(blk + "ffn_up", c.n_embd, c.n_ff, l.ffn_up);
    load.projection(blk + "ffn_down", c.n_ff, c.n_embd, l.ffn_down);
    if (c.sub_norms) {
      l.attn_sub_norm = load.vector(blk + "attn_sub_norm.weight", c.q_width());
      l.ffn_sub_norm = load.vector(blk + "ffn_sub_norm.weight", c.n_ff);
    }
  }
  w.tied = !load.has("output.weight");
  if (!w.tied) load.matrix("output.weight", c.n_embd, c.n_vocab, w.output);
  warn_of_differences(file, c, w.warnings);
  if (c.architecture != Architecture::bitnet && load.has("rope_freqs.weight")) {
    w.rope_freqs = load.vector("rope_freqs.weight", c.n_rot / 2);
    for (float factor : w.rope_freqs)
      if (factor == 0) file.fail("rope_freqs.weight", "holds a zero, by which angles would be divided");
  }
  load.refuse_surplus();
  load.decode();
  if (w.tied) w.output = w.token_embd;
  return w;
}

}  // namespace bitnet
