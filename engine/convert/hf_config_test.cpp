#include "engine/convert/hf_config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/formats/test_ternary.h"

namespace bitnet::hf {
namespace {

using nlohmann::json;
using testing_support::error_of;

json plain() {
  return {{"architectures", {"BitNetForCausalLM"}},
          {"hidden_size", 256},
          {"intermediate_size", 768},
          {"num_hidden_layers", 4},
          {"num_attention_heads", 4},
          {"max_position_embeddings", 512},
          {"vocab_size", 1280},
          {"rms_norm_eps", 1e-5}};
}

HfConfig read(const json& config) {
  return read_hf_config(JsonObject::parse(config.dump(), "config.json"));
}

std::string failure(const json& config) {
  return error_of([&] { (void)read(config); });
}

json changed(const json& patch) {
  json c = plain();
  c.merge_patch(patch);
  return c;
}

TEST(HfConfig, TakesTransformersDefaults) {
  const HfConfig c = read(plain());
  EXPECT_EQ(c.family, Family::bitnet);
  EXPECT_EQ(c.n_head_kv, 4U);
  EXPECT_EQ(c.head_dim, 64U);
  EXPECT_EQ(c.rope_theta, 10000.0f);
  EXPECT_EQ(c.rms_eps, 1e-5f);
  EXPECT_EQ(c.rope_scaling.kind, RopeScaling::Kind::none);
  EXPECT_TRUE(c.ternary);
  EXPECT_FALSE(c.quantized_by_bitnet);
  EXPECT_EQ(c.tied, std::nullopt);
}

TEST(HfConfig, ReadsWhatIsStated) {
  const HfConfig c = read(changed({{"architectures", {"LlamaForCausalLM"}},
                                   {"head_dim", 128},
                                   {"num_key_value_heads", 2},
                                   {"rope_parameters", {{"rope_theta", 500000.0}, {"rope_type", "default"}}},
                                   {"tie_word_embeddings", false},
                                   {"_name_or_path", "some/where"},
                                   {"quantization_config", {{"quant_method", "bitnet"}}}}));
  EXPECT_EQ(c.family, Family::llama);
  EXPECT_EQ(c.head_dim, 128U);
  EXPECT_EQ(c.n_head_kv, 2U);
  EXPECT_EQ(c.rope_theta, 500000.0f);
  EXPECT_EQ(c.tied, false);
  EXPECT_EQ(c.name, "where");
  EXPECT_TRUE(c.ternary);
  EXPECT_TRUE(c.quantized_by_bitnet);
  EXPECT_EQ(c.linear_class, std::nullopt);
  EXPECT_FALSE(read(changed({{"architectures", {"LlamaForCausalLM"}}})).ternary);
}

TEST(HfConfig, NamesTheFieldThatItRefuses) {
  const std::pair<json, std::string> cases[] = {
      {{{"hidden_size", nullptr}}, "config.json: hidden_size: missing"},
      {{{"hidden_size", 0}}, "hidden_size: must be between 1 and"},
      {{{"hidden_size", 1ULL << 40}}, "hidden_size: must be between 1 and"},
      {{{"hidden_size", "256"}}, "hidden_size: must be a whole number"},
      {{{"num_hidden_layers", 5000}}, "num_hidden_layers: must be at most 4096"},
      {{{"num_key_value_heads", 3}}, "num_key_value_heads: must divide"},
      {{{"num_attention_heads", 7}}, "num_attention_heads: must divide hidden_size"},
      {{{"head_dim", 63}}, "head_dim: must be even"},
      {{{"rms_norm_eps", -1}}, "rms_norm_eps: must be positive"},
      {{{"architectures", {"Qwen2ForCausalLM"}}}, "architectures: `Qwen2ForCausalLM` is not supported"},
      {{{"architectures", nullptr}}, "architectures: missing, and model_type too"},
      {{{"rope_scaling", {{"type", "yarn"}}}}, "rope_scaling.rope_type: `yarn` is not supported"},
      {{{"rope_scaling", {{"type", "linear"}}}}, "rope_scaling.factor: missing"},
      {{{"partial_rotary_factor", 0.5}}, "partial_rotary_factor: other than 1"},
      {{{"quantization_config", {{"quant_method", "gptq"}}}}, "quantization_config.quant_method: `gptq`"},
      {{{"quantization_config", {{"quant_method", "bitnet"}, {"linear_class", "x"}}}},
       "linear_class: `x` is unknown"},
      {{{"quantization_config", {{"quant_method", "bitnet"}, {"use_rms_norm", true}}}},
       "use_rms_norm: a norm"},
  };
  for (const auto& [patch, expected] : cases) {
    const std::string message = failure(changed(patch));
    EXPECT_TRUE(message.starts_with("config.json: ")) << patch;
    EXPECT_NE(message.find(expected), std::string::npos) << patch << " gave " << message;
  }
}

TEST(HfConfig, DividesLlama31sFrequencies) {
  const HfConfig c = read(changed({{"head_dim", 128},
                                   {"rope_theta", 500000.0},
                                   {"rope_scaling",
                                    {{"rope_type", "llama3"},
                                     {"factor", 8.0},
                                     {"low_freq_factor", 1.0},
                                     {"high_freq_factor", 4.0},
                                     {"original_max_position_embeddings", 8192}}}}));
  const std::vector<float> d = rope_divisors(c);
  ASSERT_EQ(d.size(), 64U);
  // Fast angles stay, slow ones are divided, and between them it rises.
  EXPECT_EQ(d.front(), 1.0f);
  EXPECT_EQ(d.back(), 8.0f);
  EXPECT_TRUE(std::ranges::is_sorted(d));
  // Frequency 30 turns 8192 / (2 pi 500000^(60/128)) = 2.7794... times, so 0.5931 of it is kept.
  const double theta = std::pow(500000.0, 60.0 / 128), kept = (8192 / (2 * 3.14159265358979 * theta) - 1) / 3;
  ASSERT_GT(kept, 0.1);
  ASSERT_LT(kept, 0.9);
  EXPECT_NEAR(d[30], 1 / ((1 - kept) / 8 + kept), 1e-6);
}

}  // namespace
}  // namespace bitnet::hf
