#include "engine/convert/hf_config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numbers>

#include "engine/gguf/printable.h"

namespace bitnet::hf {
namespace {

// As in the engine's own reader: keeps every product of dimensions inside 63 bits.
constexpr std::uint64_t kMaxDimension = 1 << 24;

std::string in_quotes(std::string_view text) {
  return "`" + gguf::printable(text, 60) + "`";
}

std::uint32_t dimension(const JsonObject& config, const char* key,
                        std::optional<std::uint32_t> otherwise = {}) {
  const auto value = config.count(key);
  if (!value && otherwise) return *otherwise;
  if (!value) config.fail(key, "missing; download config.json again");
  if (*value < 1 || *value > kMaxDimension)
    config.fail(key,
                "must be between 1 and " + std::to_string(kMaxDimension) + ", not " + std::to_string(*value));
  return static_cast<std::uint32_t>(*value);
}

// A class name of `architectures`; else of `model_type`.
std::string class_name(const JsonObject& config) {
  const nlohmann::json* list = config.find("architectures");
  if (list == nullptr) {
    const auto type = config.text("model_type");
    if (!type) config.fail("architectures", "missing, and model_type too; download config.json again");
    return *type;
  }
  if (!list->is_array() || list->size() != 1 || !list->front().is_string())
    config.fail("architectures", "must be a list of one name");
  return list->front().get<std::string>();
}

Family family_of(const JsonObject& config) {
  const std::string name = class_name(config);
  if (name == "BitNetForCausalLM" || name == "BitnetForCausalLM" || name == "bitnet") return Family::bitnet;
  if (name == "LlamaForCausalLM" || name == "llama") return Family::llama;
  config.fail("architectures",
              in_quotes(name) +
                  " is not supported; supported are BitNetForCausalLM, BitnetForCausalLM and "
                  "LlamaForCausalLM");
}

double positive(const JsonObject& object, const char* key, std::optional<double> otherwise = {}) {
  const auto value = object.number(key);
  if (!value && !otherwise) object.fail(key, "missing; download config.json again");
  const double number = value.value_or(otherwise.value_or(0));
  if (!(number > 0) || !std::isfinite(static_cast<float>(number))) object.fail(key, "must be positive");
  return number;
}

RopeScaling read_scaling(const JsonObject& config, const JsonObject& scaling) {
  auto kind = scaling.text("rope_type");
  if (!kind) kind = scaling.text("type");
  RopeScaling s;
  if (!kind || *kind == "default") return s;
  if (*kind == "linear") {
    s.kind = RopeScaling::Kind::linear;
    s.factor = positive(scaling, "factor");
    return s;
  }
  if (*kind != "llama3")
    scaling.fail("rope_type", in_quotes(*kind) + " is not supported; supported are default, linear, llama3");
  s.kind = RopeScaling::Kind::llama3;
  s.factor = positive(scaling, "factor");
  s.low_frequency_factor = positive(scaling, "low_freq_factor");
  s.high_frequency_factor = positive(scaling, "high_freq_factor");
  s.original_context = positive(scaling, "original_max_position_embeddings");
  if (s.high_frequency_factor <= s.low_frequency_factor)
    config.fail("rope_scaling.high_freq_factor", "must be greater than low_freq_factor");
  return s;
}

void read_rope(const JsonObject& config, HfConfig& c) {
  // Since transformers 5 both stand in one object.
  if (const auto parameters = config.object("rope_parameters")) {
    c.rope_theta = static_cast<float>(positive(*parameters, "rope_theta"));
    c.rope_scaling = read_scaling(config, *parameters);
    return;
  }
  c.rope_theta = static_cast<float>(positive(config, "rope_theta", 10000.0));
  if (const auto scaling = config.object("rope_scaling")) c.rope_scaling = read_scaling(config, *scaling);
}

void read_quantization(const JsonObject& config, HfConfig& c) {
  c.ternary = c.family == Family::bitnet;
  const auto quantization = config.object("quantization_config");
  if (!quantization) return;
  const auto method = quantization->text("quant_method");
  if (!method || *method != "bitnet")
    quantization->fail("quant_method", in_quotes(method.value_or("")) +
                                           " is not supported; only bitnet stands for ternary weights");
  if (quantization->flag("use_rms_norm").value_or(false))
    quantization->fail("use_rms_norm", "a norm before every projection is not supported by any architecture");
  c.ternary = c.quantized_by_bitnet = true;
  c.linear_class = quantization->text("linear_class");
  if (c.linear_class && *c.linear_class != "bitlinear" && *c.linear_class != "autobitlinear")
    quantization->fail("linear_class",
                       in_quotes(*c.linear_class) + " is unknown; known are bitlinear and autobitlinear");
  const nlohmann::json* list = quantization->find("modules_to_not_convert");
  if (list == nullptr) return;
  if (!list->is_array()) quantization->fail("modules_to_not_convert", "must be a list of names");
  for (const nlohmann::json& name : *list) {
    if (!name.is_string() || name.get_ref<const std::string&>().empty())
      quantization->fail("modules_to_not_convert", "must be a list of names");
    c.not_converted.push_back(name.get<std::string>());
  }
}

}  // namespace

HfConfig read_hf_config(const JsonObject& config) {
  HfConfig c;
  c.family = family_of(config);
  if (const auto path = config.text("_name_or_path"))
    c.name = std::filesystem::path(*path).filename().string();
  c.n_embd = dimension(config, "hidden_size");
  c.n_ff = dimension(config, "intermediate_size");
  c.n_layer = dimension(config, "num_hidden_layers");
  if (c.n_layer > 4096) config.fail("num_hidden_layers", "must be at most 4096");
  c.n_head = dimension(config, "num_attention_heads");
  c.n_head_kv = dimension(config, "num_key_value_heads", c.n_head);
  if (c.n_head % c.n_head_kv != 0)
    config.fail("num_key_value_heads", "must divide num_attention_heads (" + std::to_string(c.n_head) + ")");
  if (config.find("head_dim") == nullptr && c.n_embd % c.n_head != 0)
    config.fail("num_attention_heads", "must divide hidden_size (" + std::to_string(c.n_embd) + ")");
  c.head_dim = dimension(config, "head_dim", c.n_embd / c.n_head);
  if (c.head_dim % 2 != 0 || c.head_dim > 4096) config.fail("head_dim", "must be even and at most 4096");
  c.n_ctx = dimension(config, "max_position_embeddings");
  c.n_vocab = dimension(config, "vocab_size");
  c.rms_eps = static_cast<float>(positive(config, "rms_norm_eps"));
  c.activation = config.text("hidden_act");
  c.tied = config.flag("tie_word_embeddings");
  if (config.number("partial_rotary_factor").value_or(1.0) != 1.0)
    config.fail("partial_rotary_factor", "other than 1 is not supported");
  read_rope(config, c);
  read_quantization(config, c);
  return c;
}

std::vector<float> rope_divisors(const HfConfig& config) {
  const RopeScaling& s = config.rope_scaling;
  std::vector<float> divisors;
  for (std::uint32_t i = 0; i < config.head_dim / 2; ++i) {
    const double theta = std::pow(static_cast<double>(config.rope_theta), 2.0 * i / config.head_dim);
    const double turns = s.original_context / (2 * std::numbers::pi * theta);  // within the context
    // Fast angles stay, slow ones are divided by the factor, between them the frequencies blend.
    const double share =
        (turns - s.low_frequency_factor) / (s.high_frequency_factor - s.low_frequency_factor);
    const double kept = std::clamp(share, 0.0, 1.0);
    divisors.push_back(static_cast<float>(1 / ((1 - kept) / s.factor + kept)));
  }
  return divisors;
}

}  // namespace bitnet::hf
