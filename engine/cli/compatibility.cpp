#include "engine/cli/compatibility.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>

#include "engine/formats/float_format.h"
#include "engine/formats/ternary_format.h"
#include "engine/gguf/ternary_tensor.h"

namespace bitnet {
namespace {

using namespace std::string_view_literals;

constexpr auto kArchitectures = std::to_array({"bitnet"sv, "bitnet-25"sv, "bitnet-b1.58"sv, "llama"sv});
constexpr auto kRequiredKeys =
    std::to_array({"context_length"sv, "embedding_length"sv, "block_count"sv, "feed_forward_length"sv,
                   "attention.head_count"sv, "attention.layer_norm_rms_epsilon"sv});
constexpr auto kProjections = std::to_array(
    {"attn_q"sv, "attn_k"sv, "attn_v"sv, "attn_output"sv, "ffn_gate"sv, "ffn_up"sv, "ffn_down"sv});
constexpr auto kPreTokenizers =
    std::to_array({"default"sv, "llama3"sv, "llama-v3"sv, "llama-bpe"sv, "falcon3"sv, "falcon_e"sv,
                   "falcon"sv, "gpt-2"sv, "qwen2"sv, "starcoder"sv, "deepseek-llm"sv, "deepseek-coder"sv});

template <class Range>
bool contains(const Range& range, std::string_view name) {
  return std::ranges::find(range, name) != std::ranges::end(range);
}

// What a file states; absent or ill-typed keys are nothing.
class Facts {
 public:
  explicit Facts(const gguf::File& f) : file(f) {
    const auto* text = value<std::string_view>("general.architecture");
    architecture = text ? std::string(*text) : "";
  }

  template <class T>
  const T* value(std::string_view key) const {
    const gguf::Value* v = file.find(key);
    return v ? std::get_if<T>(v) : nullptr;
  }
  std::string key(std::string_view name) const { return architecture + "." + std::string(name); }
  std::optional<std::uint64_t> number(std::string_view name) const {
    const auto* n = value<std::uint32_t>(key(name));
    return n ? std::optional<std::uint64_t>(*n) : std::nullopt;
  }
  bool bitnet_family() const { return architecture.starts_with("bitnet"); }
  bool has(std::string_view name) const { return file.find_tensor(name) != nullptr; }

  const gguf::File& file;
  std::string architecture;
};

std::string in_quotes(std::string_view text) {
  std::string out = "`";
  out += text;
  return out += '`';
}

// The tensor without its layer: "blk.3.attn_q.weight" is "attn_q.weight".
std::string_view without_layer(std::string_view name) {
  if (!name.starts_with("blk.")) return name;
  const std::size_t dot = name.find('.', 4);
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

bool accepts_tensor(const Facts& f, std::string_view name) {
  const std::string_view part = without_layer(name);
  if (!name.starts_with("blk.")) {
    if (name == "token_embd.weight" || name == "output_norm.weight") return true;
    if (name == "output.weight" || name == "rope_freqs.weight") return f.architecture != "bitnet";
    return false;
  }
  if (part == "attn_norm.weight" || part == "ffn_norm.weight") return true;
  if (part == "attn_sub_norm.weight" || part == "ffn_sub_norm.weight") return f.bitnet_family();
  for (const std::string_view projection : kProjections) {
    if (!part.starts_with(projection)) continue;
    const std::string_view suffix = part.substr(projection.size());
    if (suffix == ".weight") return true;
    if (suffix == ".scale") return f.architecture == "bitnet";
    if (suffix == ".bias") return f.architecture != "bitnet";
  }
  return false;
}

void judge_keys(const Facts& f, Compatibility& c) {
  for (const std::string_view key : kRequiredKeys)
    if (f.file.find(f.key(key)) == nullptr)
      c.because.push_back("the key " + in_quotes(f.key(key)) + " is missing");
  const auto n_embd = f.number("embedding_length");
  const auto n_head = f.number("attention.head_count");
  if (f.architecture != "bitnet" && n_embd && n_head && *n_head > 0) {
    const std::uint64_t key_length = f.number("attention.key_length").value_or(*n_embd / *n_head);
    const std::uint64_t rotated = f.number("rope.dimension_count").value_or(key_length);
    if (rotated != key_length)
      c.because.push_back("rope.dimension_count " + std::to_string(rotated) + " differs from the head size " +
                          std::to_string(key_length));
  }
  const auto* tokens = f.value<gguf::Array>("tokenizer.ggml.tokens");
  const auto* model = f.value<std::string_view>("tokenizer.ggml.model");
  const auto size = f.number("vocab_size");
  if (model == nullptr)
    c.because.push_back("the key `tokenizer.ggml.model` is missing");
  else if (*model != "no_vocab" && tokens == nullptr)
    c.because.push_back("the key `tokenizer.ggml.tokens` is missing");
  else if (tokens != nullptr && size && *size != tokens->count)
    c.because.push_back("vocab_size " + std::to_string(*size) + " differs from the number of tokens " +
                        std::to_string(tokens->count));
  const auto* pre = f.value<std::string_view>("tokenizer.ggml.pre");
  if (pre != nullptr && !contains(kPreTokenizers, *pre))
    c.remarks.push_back("the pre-tokenizer " + in_quotes(*pre) +
                        " is not one of those checked here; an unknown one fails");
  if (pre == nullptr && model != nullptr && *model == "gpt2")
    c.remarks.push_back("without `tokenizer.ggml.pre` the default pre-tokenizer is used, with a warning");
}

void judge_surplus_tensors(const Facts& f, Compatibility& c) {
  std::size_t surplus = 0;
  std::string first;
  for (const auto& tensor : f.file.tensors()) {
    if (accepts_tensor(f, tensor.name)) continue;
    if (surplus++ == 0) first = tensor.name;
  }
  if (surplus > 0)
    c.because.push_back("architecture " + in_quotes(f.architecture) + " has no tensor " + in_quotes(first) +
                        (surplus > 1 ? " (and " + std::to_string(surplus - 1) + " more)" : "") +
                        ": \"wrong number of tensors\"");
}

void judge_missing_tensors(const Facts& f, Compatibility& c) {
  for (const std::string_view name : {"token_embd.weight"sv, "output_norm.weight"sv})
    if (!f.has(name)) c.because.push_back("the tensor " + in_quotes(name) + " is missing");
  const std::uint64_t layers =
      std::min<std::uint64_t>(f.number("block_count").value_or(0), f.file.tensors().size());
  for (std::uint64_t i = 0; i < layers; ++i) {
    std::vector<std::string> names = {"attn_norm", "ffn_norm"};
    names.insert(names.end(), kProjections.begin(), kProjections.end());
    if (f.bitnet_family()) names.insert(names.end(), {"attn_sub_norm", "ffn_sub_norm"});
    for (const std::string& name : names) {
      const std::string full = "blk." + std::to_string(i) + "." + name + ".weight";
      if (f.has(full)) continue;
      c.because.push_back("the tensor " + in_quotes(full) + " is missing");
      return;
    }
  }
  if (f.number("block_count").value_or(0) > layers)
    c.because.push_back("block_count is larger than the tensors allow");
}

void judge_tensor_types(const Facts& f, Compatibility& c) {
  std::set<TensorType> seen;
  for (const auto& tensor : f.file.tensors()) {
    if (tensor.type == TensorType::i2_s && (tensor.ne[0] % 128 != 0 || tensor.rows() % 4 != 0)) {
      c.remarks.push_back(in_quotes(tensor.name) +
                          " has rows or a row count that the I2_S kernels do not cover (multiples of 128 "
                          "and 4): it loads, and computes wrong numbers");
    }
    if (!seen.insert(tensor.type).second) continue;
    const std::string name(type_name(tensor.type));
    if (tensor.type == TensorType::iq1_bn || tensor.type == TensorType::iq2_bn ||
        tensor.type == TensorType::iq2_bn_r4)
      c.because.push_back(name + " is a type of ik_llama.cpp's");
    if (tensor.type == TensorType::bitnet32_f16 || tensor.type == TensorType::qk256)
      c.because.push_back("its I2_S is BitNet-rs's " + name + ", whose bytes mean something else");
    if (tensor.number == kTl2NumberSince2026) c.because.emplace_back("TL2 has the number 39 there, not 42");
    if (tensor.type == TensorType::tq1_0 || tensor.type == TensorType::tq2_0)
      c.remarks.push_back(name +
                          " has other products there, with activations in blocks of 256: other logits");
    if (const auto* layout = f.value<std::string_view>(gguf::kI2sLayoutKey);
        layout != nullptr && tensor.type == TensorType::i2_s && *layout != "x86")
      c.remarks.push_back("its I2_S is in the layout " + in_quotes(*layout) +
                          ": it loads, and on x86 computes wrong numbers");
    if (tensor.type == TensorType::tl1 || tensor.type == TensorType::tl2)
      c.remarks.push_back("TL1 and TL2 run only in a build whose kernels were generated for these shapes");
    if (is_float(tensor.type) && tensor.type != TensorType::f16 && tensor.type != TensorType::f32 &&
        tensor.type != TensorType::q6_k)
      c.remarks.push_back("products of " + name +
                          " are not rounded there as they are here: the logits differ in their last bits");
  }
}

// Its FFN has the activation of the architecture.
void judge_ignored_keys(const Facts& f, Compatibility& c) {
  const std::string_view own = f.architecture == "bitnet" || f.architecture == "llama" ? "silu" : "relu2";
  for (const std::string_view key : {"hidden_activation"sv, "hidden_act"sv}) {
    const auto* named = f.value<std::string_view>(f.key(key));
    if (named != nullptr && *named != own)
      c.remarks.push_back("the key " + in_quotes(f.key(key)) + " is not read: the FFN runs with " +
                          std::string(own));
  }
}

void judge_ignored_tensors(const Facts& f, Compatibility& c) {
  if (f.architecture != "bitnet-25" && f.architecture != "bitnet-b1.58") return;
  if (f.has("output.weight"))
    c.remarks.push_back("`output.weight` is loaded and ignored: the head is `token_embd.weight`");
  const bool bias = std::ranges::any_of(f.file.tensors(), [](const gguf::Tensor& t) {
    const std::string_view part = without_layer(t.name);
    return part.starts_with("ffn_") && part.ends_with(".bias");
  });
  if (bias) c.remarks.emplace_back("biases of the FFN are loaded and never applied");
}

Compatibility judge_generations_1_and_2(const Facts& f) {
  Compatibility c;
  c.program = "bitnet.cpp, generations 1 and 2 (until June 2026)";
  if (f.architecture.empty()) {
    c.because.emplace_back("the key `general.architecture` is missing");
    return c;
  }
  if (!contains(kArchitectures, f.architecture)) {
    c.because.push_back("architecture " + in_quotes(f.architecture) + " is not of the BitNet family");
    return c;
  }
  judge_keys(f, c);
  judge_surplus_tensors(f, c);
  judge_missing_tensors(f, c);
  judge_tensor_types(f, c);
  judge_ignored_keys(f, c);
  judge_ignored_tensors(f, c);
  c.loads = c.because.empty();
  return c;
}

// What public issues report of it; nobody here has run it.
Compatibility judge_generation_3(const Facts& f, const Compatibility& older) {
  Compatibility c;
  c.program = "bitnet.cpp since July 2026 (as reported, not verified)";
  c.loads = older.loads;
  c.because = older.because;
  if (f.architecture == "bitnet-b1.58")
    c.remarks.emplace_back("reported to run the FFN with SiLU where the model has squared ReLU");
  const bool tables = std::ranges::any_of(f.file.tensors(), [](const gguf::Tensor& t) {
    return t.type == TensorType::tl1 || t.type == TensorType::tl2;
  });
  if (tables) {
    c.loads = false;
    c.because.emplace_back("TL1 and TL2 are reported to have other numbers and no kernels there");
  }
  return c;
}

}  // namespace

std::vector<Compatibility> judge_compatibility(const gguf::File& file) {
  const Facts facts(file);
  std::vector<Compatibility> all;
  all.push_back(judge_generations_1_and_2(facts));
  all.push_back(judge_generation_3(facts, all.front()));
  return all;
}

}  // namespace bitnet
