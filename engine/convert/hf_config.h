#pragma once
// config.json: the hyper-parameters of a checkpoint, in Hugging Face's words.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/convert/json_object.h"

namespace bitnet::hf {

/// As transformers' class names tell them apart.
enum class Family : std::uint8_t { bitnet, llama };

/// RoPE angles: as they are, all divided by one number, or each by its own as Llama 3.1 does.
struct RopeScaling {
  enum class Kind : std::uint8_t { none, linear, llama3 };
  Kind kind = Kind::none;
  double factor = 1;
  double low_frequency_factor = 1;
  double high_frequency_factor = 1;
  double original_context = 0;
};

struct HfConfig {
  Family family{};
  std::string name;  // what the checkpoint calls itself, "" if nothing
  std::uint32_t n_embd = 0;
  std::uint32_t n_ff = 0;
  std::uint32_t n_layer = 0;
  std::uint32_t n_head = 0;
  std::uint32_t n_head_kv = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t n_ctx = 0;
  std::uint32_t n_vocab = 0;
  float rms_eps = 0;
  float rope_theta = 0;
  RopeScaling rope_scaling;
  std::optional<std::string> activation;  // hidden_act
  std::optional<bool> tied;               // tie_word_embeddings
  bool ternary = false;                   // says that its projections are to be ternary
  bool quantized_by_bitnet = false;       // quantization_config.quant_method is bitnet
  std::optional<std::string> linear_class;
  std::vector<std::string> not_converted;  // parts of the names of what is not to be ternary
};

/// Throws InputError that names the field when one is missing, out of range or not supported.
HfConfig read_hf_config(const JsonObject& config);

/// By how much Llama 3.1's scaling divides each of the head_dim / 2 frequencies.
std::vector<float> rope_divisors(const HfConfig& config);

}  // namespace bitnet::hf
