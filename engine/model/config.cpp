#include "engine/model/config.h"

#include <cmath>
#include <optional>

#include "engine/error.h"
#include "engine/gguf/gguf.h"

namespace bitnet {
namespace {

// Far above any model; keeps every product of dimensions inside 63 bits.
constexpr std::int64_t kMaxDimension = 1 << 24;

class Keys {
 public:
  Keys(const gguf::File& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  std::string full(std::string_view key) const { return prefix_ + "." + std::string(key); }

  std::int64_t count(std::string_view key) const {
    return checked(key, file_.require<std::uint32_t>(full(key)));
  }

  std::int64_t count_or(std::string_view key, std::int64_t otherwise) const {
    const auto value = file_.get<std::uint32_t>(full(key));
    return value ? checked(key, *value) : otherwise;
  }

  // A number, or an array with one number per layer; layers of different shapes are refused.
  std::int64_t count_per_layer(std::string_view key, std::int64_t n_layer) const {
    const gguf::Value* value = file_.find(full(key));
    const auto* array = value ? std::get_if<gguf::Array>(value) : nullptr;
    if (!array) return count(key);
    std::vector<std::int64_t> numbers;
    if (array->type == gguf::ValueType::u32)
      for (auto n : array->as<std::uint32_t>()) numbers.push_back(n);
    else if (array->type == gguf::ValueType::i32)
      for (auto n : array->as<std::int32_t>()) numbers.push_back(n);
    else
      file_.fail(full(key), "must be a u32 or an array of them");
    if (static_cast<std::int64_t>(numbers.size()) != n_layer)
      file_.fail(full(key), "must have one entry per layer (" + std::to_string(n_layer) + "), not " +
                                std::to_string(numbers.size()));
    for (auto n : numbers)
      if (n != numbers.front()) file_.fail(full(key), "differs between layers, which is not supported");
    return checked(key, numbers.front());
  }

  float number_or(std::string_view key, float otherwise) const {
    const float value = file_.get<float>(full(key)).value_or(otherwise);
    if (!std::isfinite(value)) file_.fail(full(key), "must be finite");
    return value;
  }

 private:
  std::int64_t checked(std::string_view key, std::int64_t value) const {
    if (value < 1 || value > kMaxDimension)
      file_.fail(full(key),
                 "must be between 1 and " + std::to_string(kMaxDimension) + ", not " + std::to_string(value));
    return value;
  }

  const gguf::File& file_;
  std::string prefix_;
};

Architecture parse_architecture(const gguf::File& file, std::string_view name) {
  if (name == "bitnet") return Architecture::bitnet;
  if (name == "bitnet-25") return Architecture::bitnet_25;
  if (name == "bitnet-b1.58") return Architecture::bitnet_b158;
  if (name == "llama") return Architecture::llama;
  file.fail(
      "general.architecture",
      "`" + std::string(name) + "` is not supported; supported are bitnet, bitnet-25, bitnet-b1.58, llama");
}

// The architecture's own, unless the file names another.
Activation read_activation(const gguf::File& file, const Keys& keys, Architecture architecture) {
  std::optional<Activation> named;
  for (const char* key : {"hidden_activation", "hidden_act"}) {
    const auto name = file.get<std::string_view>(keys.full(key));
    if (!name) continue;
    if (*name != "relu2" && *name != "silu")
      file.fail(keys.full(key),
                "`" + std::string(*name) + "` is not supported; supported are relu2 and silu");
    const Activation activation = *name == "silu" ? Activation::silu : Activation::relu_squared;
    if (named && *named != activation)
      file.fail(keys.full(key), "contradicts " + keys.full("hidden_activation"));
    named = activation;
  }
  const bool gated_silu = architecture == Architecture::llama || architecture == Architecture::bitnet;
  return named.value_or(gated_silu ? Activation::silu : Activation::relu_squared);
}

// The size that the weights really have decides; the key, if present, must agree.
std::int64_t vocabulary_size(const gguf::File& file, const Keys& keys) {
  const gguf::Tensor* embedding = file.find_tensor("token_embd.weight");
  if (!embedding) file.fail("token_embd.weight", "the tensor is missing; convert the model again");
  const auto rows = static_cast<std::int64_t>(embedding->ne[1]);
  const std::int64_t stated = keys.count_or("vocab_size", rows);
  if (stated != rows)
    file.fail(keys.full("vocab_size"), "says " + std::to_string(stated) + ", but token_embd.weight has " +
                                           std::to_string(rows) + " rows");
  return rows;
}

void read_rope(const gguf::File& file, const Keys& keys, Config& c) {
  c.n_rot = keys.count_or("rope.dimension_count", c.head_dim);
  if (c.n_rot % 2 != 0 || c.n_rot > c.head_dim)
    file.fail(keys.full("rope.dimension_count"), "must be even and at most the head size " +
                                                     std::to_string(c.head_dim) + ", not " +
                                                     std::to_string(c.n_rot));
  if (c.architecture != Architecture::bitnet && c.n_rot != c.head_dim)
    file.fail(keys.full("rope.dimension_count"), "must equal the head size " + std::to_string(c.head_dim) +
                                                     " for this architecture, not " +
                                                     std::to_string(c.n_rot));
  c.rope_freq_base = keys.number_or("rope.freq_base", 10000.0f);
  if (!(c.rope_freq_base > 0)) file.fail(keys.full("rope.freq_base"), "must be positive");

  const auto scaling = file.get<std::string_view>(keys.full("rope.scaling.type")).value_or("linear");
  if (scaling != "none" && scaling != "linear")
    file.fail(keys.full("rope.scaling.type"),
              "`" + std::string(scaling) + "` is not supported; supported are none and linear");
  float factor = keys.number_or("rope.scaling.factor", 0.0f);
  if (factor == 0) factor = keys.number_or("rope.scale_linear", 0.0f);
  if (scaling == "linear" && factor != 0) {
    if (!(factor > 0)) file.fail(keys.full("rope.scaling.factor"), "must be positive");
    c.rope_freq_scale = 1.0f / factor;
  }
  if (keys.number_or("rope.scaling.attn_factor", 1.0f) != 1.0f)
    file.fail(keys.full("rope.scaling.attn_factor"), "other than 1 is not supported");
}

}  // namespace

Config read_config(const gguf::File& file) {
  Config c;
  c.architecture_name = std::string(file.require<std::string_view>("general.architecture"));
  c.architecture = parse_architecture(file, c.architecture_name);
  c.name = std::string(file.get<std::string_view>("general.name").value_or(""));

  const Keys keys(file, c.architecture_name);
  c.n_ctx = keys.count("context_length");
  c.n_embd = keys.count("embedding_length");
  c.n_layer = keys.count("block_count");
  if (c.n_layer > 4096) file.fail(keys.full("block_count"), "must be at most 4096");
  c.n_ff = keys.count_per_layer("feed_forward_length", c.n_layer);
  c.n_head = keys.count_per_layer("attention.head_count", c.n_layer);
  c.n_head_kv = file.find(keys.full("attention.head_count_kv"))
                    ? keys.count_per_layer("attention.head_count_kv", c.n_layer)
                    : c.n_head;
  if (c.n_head % c.n_head_kv != 0)
    file.fail(keys.full("attention.head_count_kv"), "must divide attention.head_count (" +
                                                        std::to_string(c.n_head) + "), but is " +
                                                        std::to_string(c.n_head_kv));
  if (!file.find(keys.full("attention.key_length")) && c.n_embd % c.n_head != 0)
    file.fail(keys.full("attention.head_count"),
              "must divide embedding_length (" + std::to_string(c.n_embd) + ")");
  c.head_dim = keys.count_or("attention.key_length", c.n_embd / c.n_head);
  const std::int64_t value_length = keys.count_or("attention.value_length", c.head_dim);
  if (value_length != c.head_dim)
    file.fail(keys.full("attention.value_length"),
              "must equal key_length (" + std::to_string(c.head_dim) + ")");
  if (c.head_dim % 2 != 0 || c.head_dim > 4096)
    file.fail(keys.full("attention.key_length"), "must be even and at most 4096");
  if (keys.count_or("expert_count", 1) > 1)
    file.fail(keys.full("expert_count"), "mixtures of experts are not supported");

  c.rms_eps = file.require<float>(keys.full("attention.layer_norm_rms_epsilon"));
  if (!(c.rms_eps >= 0) || !std::isfinite(c.rms_eps))
    file.fail(keys.full("attention.layer_norm_rms_epsilon"), "must be finite and not negative");
  c.n_vocab = vocabulary_size(file, keys);
  const bool llama = c.architecture == Architecture::llama;
  c.activation = read_activation(file, keys, c.architecture);
  c.sub_norms = !llama;
  c.rope_pairing = llama ? RopePairing::adjacent : RopePairing::neox;
  read_rope(file, keys, c);
  return c;
}

}  // namespace bitnet
