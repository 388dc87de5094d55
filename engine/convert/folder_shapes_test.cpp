// Folders as the public checkpoints have them, each with the habits of its kind, made of the bundled model:
// each becomes a model that runs, with the weights and scales that were meant.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/convert/convert.h"
#include "engine/convert/test_checkpoint.h"
#include "engine/convert/test_sentencepiece_model.h"
#include "engine/formats/bf16.h"
#include "engine/formats/f16.h"
#include "engine/formats/float_format.h"
#include "engine/formats/i2s.h"
#include "engine/formats/test_ternary.h"
#include "engine/gguf/temporary_directory.h"
#include "engine/model/context.h"
#include "engine/model/model.h"
#include "engine/tokenizer/test_vocabulary.h"

namespace bitnet {
namespace {

using hf::Storage;
using nlohmann::json;
using testing::TestCheckpoint;
using testing::TestTensor;
using testing_support::error_of;

std::string bf16_bytes(float value) {
  const std::uint16_t bits = f32_to_bf16(value).bits;
  return {reinterpret_cast<const char*>(&bits), sizeof bits};
}

std::string f16_bytes(float value) {
  const f16 bits = f32_to_f16(value);
  return {reinterpret_cast<const char*>(&bits), sizeof bits};
}

// Packed as U8: four rows in one.
std::vector<int> codes_of(const TestTensor& t) {
  const std::size_t n = t.bytes.size();
  std::vector<int> codes(4 * n);
  for (std::size_t i = 0; i < codes.size(); ++i)
    codes[i] = (static_cast<std::uint8_t>(t.bytes[i % n]) >> (2 * (i / n)) & 3) - 1;
  return codes;
}

// A weight that becomes `code` again: codes are of two magnitudes, zeros are not zero.
float master(int code, std::size_t i) {
  if (code == 0) return i % 3 == 0 ? 0x1p-10f : -0x1p-10f;
  return static_cast<float>(code) * (i % 2 == 0 ? 0x1p-5f : 0x1.8p-5f);
}

class FolderShapes : public ::testing::Test {
 protected:
  // Converts, and lets the model say something.
  ConvertReport converted(std::size_t shards = 1) {
    checkpoint_.write(dir_ / "hf", shards);
    if (!pieces_.empty()) testing::write_file(dir_ / "hf" / "tokenizer.model", pieces_);
    ConvertReport report = convert(dir_ / "hf", {}, dir_ / "out.gguf");
    const Model model = Model::load(dir_ / "out.gguf");
    Context context(model, {.threads = 1, .n_ctx = 8});
    const BatchRow rows[] = {{1}, {2}, {3}};
    for (const float logit : context.forward(rows)) EXPECT_TRUE(std::isfinite(logit));
    return report;
  }
  gguf::File result() { return gguf::File::open(dir_ / "out.gguf"); }

  static bool has_note(const ConvertReport& r, const std::string& part) {
    return std::ranges::any_of(r.notes,
                               [&](const std::string& n) { return n.find(part) != std::string::npos; });
  }

  // Every float but the weight scales, as the checkpoints of large models have them.
  void store_as_bf16() {
    for (TestTensor& t : checkpoint_.weights.tensors) {
      if (t.dtype != "F32" && t.dtype != "F16") continue;
      const TensorType type = t.dtype == "F32" ? TensorType::f32 : TensorType::f16;
      std::vector<float> values(t.bytes.size() / (type == TensorType::f32 ? 4 : 2));
      decode_floats(type, std::as_bytes(std::span(t.bytes)), values);
      t.dtype = "BF16";
      t.bytes.clear();
      for (const float value : values) t.bytes += bf16_bytes(value);
    }
  }

  // The mean magnitude of each matrix, all of which are made master weights.
  void store_masters(const char* dtype) {
    for (TestTensor& t : checkpoint_.weights.tensors) {
      if (t.dtype != "U8") continue;
      const std::vector<int> codes = codes_of(t);
      t.dtype = dtype;
      t.shape[0] *= 4;
      t.bytes.clear();
      for (std::size_t i = 0; i < codes.size(); ++i)
        t.bytes += t.dtype == "BF16" ? bf16_bytes(master(codes[i], i)) : f16_bytes(master(codes[i], i));
    }
    std::erase_if(checkpoint_.weights.tensors,
                  [](const TestTensor& t) { return t.name.ends_with("weight_scale"); });
  }

  void store_scales(float value, const std::vector<std::uint64_t>& shape = {1}) {
    for (TestTensor& t : checkpoint_.weights.tensors)
      if (t.name.ends_with("weight_scale")) t = {t.name, "BF16", shape, bf16_bytes(value)};
  }

  void make_llama() {
    json& c = checkpoint_.config;
    c["architectures"] = {"LlamaForCausalLM"};
    c["model_type"] = "llama";
    c["hidden_act"] = "silu";
    c["attention_bias"] = c["mlp_bias"] = false;
    c["pretraining_tp"] = 1;
    c["tie_word_embeddings"] = false;
    c["quantization_config"] = {{"modules_to_not_convert", {"lm_head"}}, {"quant_method", "bitnet"}};
    std::erase_if(checkpoint_.weights.tensors,
                  [](const TestTensor& t) { return t.name.find("_sub_norm") != std::string::npos; });
    TestTensor head = checkpoint_.weights.tensor("model.embed_tokens.weight");
    head.name = "lm_head.weight";
    checkpoint_.weights.tensors.push_back(head);
  }

  // The bundled model's weights; of q and k of a llama with the rows of each head as neighbours.
  void expect_codes(bool llama) {
    const gguf::File file = result();
    constexpr std::uint64_t kHead = 64;
    for (const gguf::Tensor& from : source_.tensors()) {
      if (from.type != TensorType::i2_s) continue;
      const gguf::Tensor& to = *file.find_tensor(from.name);
      const bool turned = llama && (from.name.find("attn_q") != std::string::npos ||
                                    from.name.find("attn_k") != std::string::npos);
      std::vector<std::int8_t> expected(from.elements()), got(to.elements());
      i2s::unpack(from.data, expected);
      i2s::unpack(to.data, got);
      const std::uint64_t cols = from.ne[0];
      std::size_t wrong = 0;
      for (std::uint64_t i = 0; i < got.size(); ++i) {
        const std::uint64_t row = i / cols, within = row % kHead;
        const std::uint64_t source = turned ? row - within + within % 2 * (kHead / 2) + within / 2 : row;
        wrong += got[i] != expected[source * cols + i % cols];
      }
      EXPECT_EQ(wrong, 0U) << from.name;
    }
  }

  // Of weights that store_masters made: in binary32, inverted twice as transformers does.
  void expect_scales_of_masters() {
    const gguf::File file = result();
    for (const gguf::Tensor& t : file.tensors()) {
      if (t.type != TensorType::i2_s) continue;
      std::vector<std::int8_t> codes(source_.find_tensor(t.name)->elements());
      i2s::unpack(source_.find_tensor(t.name)->data, codes);
      double sum = 0;
      for (std::size_t i = 0; i < codes.size(); ++i)
        sum += std::abs(static_cast<double>(master(codes[i], i)));
      const auto mean = static_cast<float>(sum / static_cast<double>(codes.size()));
      EXPECT_EQ(i2s::scale(t.data, t.elements()), 1 / (1 / mean)) << t.name;
    }
  }

  void expect_scale(float scale) {
    const gguf::File file = result();
    for (const gguf::Tensor& t : file.tensors())
      if (t.type == TensorType::i2_s) {
        EXPECT_EQ(i2s::scale(t.data, t.elements()), scale) << t.name;
      }
  }

  testing::TemporaryDirectory dir_;
  gguf::File source_ =
      gguf::File::open(std::filesystem::path(CROSSVAL_SOURCE_DIR) / "fixtures/model/bundled.gguf");
  TestCheckpoint checkpoint_ = testing::test_checkpoint(source_);
  std::string pieces_;  // tokenizer.model
};

// microsoft/bitnet-b1.58-2B-4T-bf16
TEST_F(FolderShapes, MasterWeightsThatTrainingGoesOnFrom) {
  store_masters("BF16");
  store_as_bf16();
  checkpoint_.config["quantization_config"]["quantization_mode"] = "online";
  checkpoint_.config["torch_dtype"] = "bfloat16";
  checkpoint_.config["auto_map"] = {{"AutoConfig", "configuration_bitnet.BitNetConfig"}};
  const ConvertReport r = converted();
  EXPECT_EQ(r.architecture, "bitnet-b1.58");
  EXPECT_EQ(r.master, 28);
  EXPECT_EQ(r.packed + r.ternary, 0);
  expect_codes(false);
  expect_scales_of_masters();
  const gguf::File file = result();
  EXPECT_EQ(file.find_tensor("output.weight"), nullptr);
  // Both ends of a generation, of the list in generation_config.json.
  EXPECT_EQ(file.require<std::uint32_t>("tokenizer.ggml.eos_token_id"), 1276U);
  EXPECT_EQ(file.require<std::uint32_t>("tokenizer.ggml.eot_token_id"), 1279U);
}

// microsoft/bitnet-b1.58-2B-4T: scales around 1, whose meaning the configuration alone knows.
TEST_F(FolderShapes, PackedWithScalesThatMultiply) {
  store_as_bf16();
  store_scales(1.21875f);
  const ConvertReport r = converted();
  EXPECT_EQ(r.architecture, "bitnet-b1.58");
  EXPECT_EQ(r.packed, 28);
  EXPECT_TRUE(
      has_note(r, "weight scales multiply, because quantization_config.linear_class is autobitlinear"));
  expect_codes(false);
  expect_scale(1.21875f);
}

// HF1BitLLM/Llama3-8B-1.58-100B-tokens: shards, a head of its own, and no class of layers named.
TEST_F(FolderShapes, PackedLlamaWithScalesThatDivide) {
  make_llama();
  store_as_bf16();
  store_scales(48.5f);
  checkpoint_.config["rope_theta"] = 500000.0;
  const ConvertReport r = converted(3);
  EXPECT_EQ(r.architecture, "llama");
  EXPECT_EQ(r.packed, 28);
  EXPECT_TRUE(has_note(r,
                       "weight scales divide, because quantization_config names no linear_class, for which "
                       "transformers takes bitlinear: divide; the scales are 48.5 to 48.5, the inverse"));
  expect_codes(true);
  expect_scale(1 / 48.5f);
  EXPECT_NE(result().find_tensor("output.weight"), nullptr);
  EXPECT_EQ(result().require<float>("llama.rope.freq_base"), 500000.0f);
}

// tiiuae/Falcon3-1B-Instruct-1.58bit, and Falcon-E: heads that are wider together than the model, a
// vocabulary that names no BOS and has no post-processor, the template in a file of its own.
TEST_F(FolderShapes, PackedLlamaWithWideHeads) {
  make_llama();
  store_as_bf16();
  store_scales(20, {});
  checkpoint_.config["head_dim"] = 128;
  for (TestTensor& t : checkpoint_.weights.tensors) {
    const bool out = t.name.ends_with("o_proj.weight");
    const bool in = t.name.ends_with("q_proj.weight") || t.name.ends_with("k_proj.weight") ||
                    t.name.ends_with("v_proj.weight");
    if (!in && !out) continue;
    t.shape[out ? 1 : 0] *= 2;
    t.bytes += t.bytes;
  }
  checkpoint_.tokenizer["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Punctuation"}, {"behavior", "Contiguous"}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}},
        {{"type", "Digits"}, {"individual_digits", true}}}}};
  checkpoint_.tokenizer["post_processor"] = nullptr;
  checkpoint_.tokenizer_config.erase("bos_token");
  checkpoint_.tokenizer_config.erase("chat_template");
  checkpoint_.config["bos_token_id"] = checkpoint_.config["eos_token_id"] = 1276;
  checkpoint_.generation_config = {{"bos_token_id", 1276}, {"eos_token_id", 1276}};
  checkpoint_.write(dir_ / "hf");
  testing::write_file(dir_ / "hf" / "chat_template.jinja", "{{ '<|user|>' }}");
  const ConvertReport r = convert(dir_ / "hf", {}, dir_ / "template.gguf");
  EXPECT_EQ(gguf::File::open(dir_ / "template.gguf").require<std::string_view>("tokenizer.chat_template"),
            "{{ '<|user|>' }}");
  EXPECT_TRUE(has_note(r, "pre-tokenizer falcon3: tokenizer.json describes it"));
  EXPECT_EQ(converted().packed, 28);
  expect_scale(1 / 20.0f);
  const gguf::File file = result();
  EXPECT_EQ(file.require<std::uint32_t>("llama.attention.key_length"), 128U);
  EXPECT_EQ(file.find_tensor("blk.0.attn_q.weight")->ne[1], 512U);
  EXPECT_FALSE(file.require<bool>("tokenizer.ggml.add_bos_token"));
  EXPECT_EQ(file.require<std::uint32_t>("tokenizer.ggml.bos_token_id"), 1276U);
  EXPECT_EQ(file.find("tokenizer.chat_template"), nullptr);
}

// 1bitLLM/bitnet_b1_58-large: half precision, SentencePiece, names and tensors of its own time.
TEST_F(FolderShapes, TheFirstBitNets) {
  store_masters("F16");
  for (TestTensor& t : checkpoint_.weights.tensors)
    for (const auto& [name, old] :
         {std::pair<std::string, std::string>{"self_attn.attn_sub_norm", "self_attn.inner_attn_ln"},
          {"mlp.ffn_sub_norm", "mlp.ffn_layernorm"}})
      if (const std::size_t at = t.name.find(name); at != std::string::npos)
        t.name.replace(at, name.size(), old);
  for (const char* layer : {"0", "3"})
    checkpoint_.weights.tensors.push_back(
        {std::string("model.layers.") + layer + ".self_attn.rotary_emb.inv_freq",
         "F32",
         {32},
         std::string(128, '\0')});
  json& c = checkpoint_.config;
  c["architectures"] = {"BitnetForCausalLM"};
  c["hidden_act"] = "silu";
  c["weight_bits"] = 1;
  c["input_bits"] = 8;
  c["bos_token_id"] = 1;
  c["eos_token_id"] = 2;
  c.erase("quantization_config");
  const SpmTestVocabulary v = sample_spm_vocabulary();
  const std::size_t pad = v.tokens.size();
  c["pad_token_id"] = pad;
  pieces_ = testing::sentencepiece_model<std::string>(v.tokens, v.scores, v.types);
  checkpoint_.tokenizer = nullptr;
  checkpoint_.tokenizer_config = {{"add_bos_token", true},
                                  {"add_eos_token", false},
                                  {"bos_token", "<s>"},
                                  {"eos_token", "</s>"},
                                  {"unk_token", "<unk>"},
                                  {"pad_token", "<pad>"},
                                  {"legacy", false},
                                  {"tokenizer_class", "BitnetTokenizer"},
                                  {"added_tokens_decoder",
                                   {{"0", {{"content", "<unk>"}, {"special", true}}},
                                    {std::to_string(pad), {{"content", "<pad>"}, {"special", true}}}}}};
  checkpoint_.generation_config = {{"bos_token_id", 1}, {"eos_token_id", 2}, {"pad_token_id", pad}};
  const ConvertReport r = converted();
  EXPECT_EQ(r.architecture, "bitnet");
  EXPECT_EQ(r.master, 28);
  EXPECT_TRUE(has_note(r, "2 tensors of RoPE frequencies"));
  EXPECT_TRUE(has_note(r, "vocabulary: SentencePiece, scores of tokenizer.model"));
  expect_codes(false);
  expect_scales_of_masters();
  const gguf::File file = result();
  EXPECT_EQ(file.require<std::string_view>("tokenizer.ggml.model"), "llama");
  EXPECT_EQ(file.require<std::uint32_t>("tokenizer.ggml.padding_token_id"), pad);
  EXPECT_TRUE(file.require<bool>("tokenizer.ggml.add_space_prefix"));
  const Tokenizer expected = v.make(), got(file);
  for (const char* text : {"hello the world", "  a\nb</s>", "caf\u00E9 \u4F60\u597D!", ""})
    EXPECT_EQ(got.encode(text, true, true), expected.encode(text, true, true)) << text;
}

TEST_F(FolderShapes, WhatIsKeptFromBeingTernaryIsRefused) {
  make_llama();
  checkpoint_.config["quantization_config"]["modules_to_not_convert"] = {"lm_head", "layers.2.mlp"};
  checkpoint_.write(dir_ / "hf");
  const auto message = [&] { return error_of([&] { (void)convert(dir_ / "hf", {}, dir_ / "out.gguf"); }); };
  EXPECT_NE(message().find(
                "model.layers.2.mlp.gate_proj.weight: is not ternary, because modules_to_not_convert names "
                "`layers.2.mlp`; architecture llama needs it to be"),
            std::string::npos)
      << message();
  checkpoint_.config["quantization_config"]["modules_to_not_convert"] = {1};
  checkpoint_.write(dir_ / "hf");
  EXPECT_NE(message().find("quantization_config.modules_to_not_convert: must be a list of names"),
            std::string::npos);
}

TEST_F(FolderShapes, FoldersClonedWithoutTheirLargeFilesAreRefused) {
  for (const char* name : {"model.safetensors", "tokenizer.json", "tokenizer.model"}) {
    checkpoint_.write(dir_ / "hf");
    testing::write_file(dir_ / "hf" / name, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    const std::string message = error_of([&] { (void)convert(dir_ / "hf", {}, dir_ / "out.gguf"); });
    EXPECT_NE(message.find(std::string(name) + ": file: is a Git LFS pointer"), std::string::npos) << message;
  }
}

// tiktoken's file of Llama 3, which transformers does not read either.
TEST_F(FolderShapes, AModelFileBesideAByteLevelVocabularyIsNotRead) {
  pieces_ = "IQ== 0\nIg== 1\n";
  EXPECT_EQ(converted().architecture, "bitnet-b1.58");
  EXPECT_EQ(result().require<std::string_view>("tokenizer.ggml.model"), "gpt2");
}

}  // namespace
}  // namespace bitnet
