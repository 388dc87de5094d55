#include "engine/convert/convert.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "engine/convert/test_checkpoint.h"
#include "engine/error.h"
#include "engine/formats/bf16.h"
#include "engine/formats/f16.h"
#include "engine/formats/i2s.h"
#include "engine/formats/test_ternary.h"
#include "engine/gguf/temporary_directory.h"
#include "engine/model/model.h"

namespace bitnet {
namespace {

using hf::ScaleRule;
using hf::Storage;
using nlohmann::json;
using testing::read_file;
using testing::TemporaryDirectory;
using testing::test_checkpoint;
using testing::TestCheckpoint;
using testing::TestTensor;
using testing_support::error_of;
using Path = std::filesystem::path;

const Path kModels = Path(CROSSVAL_SOURCE_DIR) / "fixtures/model";

gguf::File bundled() {
  return gguf::File::open(kModels / "bundled.gguf");
}

bool has_note(const ConvertReport& r, const std::string& part) {
  return std::ranges::any_of(r.notes,
                             [&](const std::string& n) { return n.find(part) != std::string::npos; });
}

// The bundled model, to be changed: four layers of 256, heads of 64.
class Small : public ::testing::Test {
 protected:
  ConvertReport converted(const ConvertOptions& options = {}) {
    checkpoint_.write(dir_ / "hf");
    return convert(dir_ / "hf", options, dir_ / "out.gguf");
  }
  gguf::File result() { return gguf::File::open(dir_ / "out.gguf"); }
  void expect_refusal(const std::string& part, const ConvertOptions& options = {}) {
    std::filesystem::remove(dir_ / "out.gguf");
    const std::string message = error_of([&] { (void)converted(options); });
    EXPECT_NE(message.find(part), std::string::npos) << "no \"" << part << "\" in: " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
    EXPECT_FALSE(std::filesystem::exists(dir_ / "out.gguf"));
    EXPECT_FALSE(std::filesystem::exists(dir_ / "out.gguf.tmp"));
  }
  TestTensor& tensor(const std::string& name) { return checkpoint_.weights.tensor(name); }

  TemporaryDirectory dir_;
  gguf::File source_ = bundled();
  TestCheckpoint checkpoint_ = test_checkpoint(source_);
};

TEST(Convert, TheBundledModelComesBackByteForByte) {
  const TemporaryDirectory dir;
  const std::string original = read_file(kModels / "bundled.gguf");
  for (const Storage stored : {Storage::packed, Storage::codes, Storage::ternary}) {
    for (const std::size_t shards : {1, 3}) {
      test_checkpoint(bundled(), stored).write(dir / "hf", shards);
      const ConvertReport r = convert(dir / "hf", {}, dir / "out.gguf");
      EXPECT_TRUE(read_file(dir / "out.gguf") == original) << static_cast<int>(stored) << ", " << shards;
      EXPECT_EQ(r.architecture, "bitnet-b1.58");
      EXPECT_EQ(stored == Storage::ternary ? r.ternary : r.packed, 28);
      EXPECT_EQ(r.packed + r.ternary + r.master, 28);
      EXPECT_EQ(r.others, 18);
      EXPECT_EQ(r.rounded, 0U);
    }
  }
}

// Its embedding is F32.
TEST(Convert, SoDoesTheAwkwardOne) {
  const TemporaryDirectory dir;
  test_checkpoint(gguf::File::open(kModels / "awkward.gguf")).write(dir / "hf");
  ConvertOptions options;
  options.embedding = TensorType::f32;
  convert(dir / "hf", options, dir / "out.gguf");
  EXPECT_TRUE(read_file(dir / "out.gguf") == read_file(kModels / "awkward.gguf"));
}

TEST(Convert, TellsItsProgress) {
  const TemporaryDirectory dir;
  test_checkpoint(bundled()).write(dir / "hf");
  std::uint64_t last = 0, all = 0;
  convert(dir / "hf", {}, dir / "out.gguf", [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GE(done, last);
    last = done;
    all = total;
  });
  EXPECT_GT(last, 0U);
  EXPECT_EQ(last, all);
}

// Microsoft's own file of this shape lacks the key, and is tokenized wrongly for it.
TEST_F(Small, AlwaysWritesThePreTokenizer) {
  converted();
  EXPECT_EQ(result().require<std::string_view>("tokenizer.ggml.pre"), "llama-bpe");
  ConvertOptions options;
  options.pre = "default";
  EXPECT_TRUE(has_note(converted(options),
                       "pre-tokenizer default: given as --pre; tokenizer.json describes llama-bpe"));
  EXPECT_EQ(result().require<std::string_view>("tokenizer.ggml.pre"), "default");
}

TEST_F(Small, ScalesThatDivide) {
  checkpoint_ = test_checkpoint(source_, Storage::packed, ScaleRule::divide);
  checkpoint_.config["quantization_config"]["linear_class"] = "bitlinear";
  EXPECT_TRUE(
      has_note(converted(), "weight scales divide, because quantization_config.linear_class is bitlinear"));
  for (const gguf::Tensor& t : source_.tensors()) {
    if (t.type != TensorType::i2_s) continue;
    const float scale = i2s::scale(t.data, t.elements());
    const gguf::File file = result();
    EXPECT_EQ(i2s::scale(file.find_tensor(t.name)->data, t.elements()), 1 / (1 / scale)) << t.name;
  }
}

TEST_F(Small, ScalesOfUnknownMeaningAreRefused) {
  checkpoint_.config.erase("quantization_config");
  EXPECT_TRUE(has_note(converted(), "the size of weights: multiply"));
  // Around 1, as Microsoft's are, they say nothing.
  const float one_and_a_half = 1.5f;
  for (TestTensor& t : checkpoint_.weights.tensors)
    if (t.name.ends_with("_scale")) std::memcpy(t.bytes.data(), &one_and_a_half, sizeof one_and_a_half);
  expect_refusal("weight_scale: whether they multiply or divide cannot be told (the scales are 1.5 to 1.5");
  ConvertOptions options;
  options.scales = ScaleRule::divide;
  EXPECT_TRUE(
      has_note(converted(options), "weight scales divide: as given; the evidence: the scales are 1.5"));
  EXPECT_EQ(i2s::scale(result().find_tensor("blk.1.attn_q.weight")->data, 256 * 256), 1 / one_and_a_half);
}

// Values whose mean magnitude and codes are known.
std::string master_weights(std::size_t n, std::vector<int>& codes) {
  std::string bytes;
  for (std::size_t i = 0; i < n; ++i) {
    // A quarter each of 1/8, -1/4, 3/8, -1/4: the mean is 1/4, 1/8 is half of it and rounds to zero.
    static constexpr float kValues[] = {0.125f, -0.25f, 0.375f, -0.25f};
    static constexpr int kCodes[] = {0, -1, 1, -1};
    const std::uint16_t bits = f32_to_bf16(kValues[i % 4]).bits;
    bytes.append(reinterpret_cast<const char*>(&bits), sizeof bits);
    codes.push_back(kCodes[i % 4]);
  }
  return bytes;
}

TEST_F(Small, MasterWeightsAreMadeTernary) {
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  const gguf::Tensor& t = *source_.find_tensor("blk.1.ffn_up.weight");
  std::vector<int> codes;
  tensor(name) = {name, "BF16", {t.ne[1], t.ne[0]}, master_weights(t.elements(), codes)};
  checkpoint_.weights.remove(name + "_scale");
  const ConvertReport r = converted();
  EXPECT_EQ(r.master, 1);
  EXPECT_TRUE(has_note(r, "1 projections are master weights: made ternary by their mean magnitude"));
  const gguf::File file = result();
  const auto data = file.find_tensor("blk.1.ffn_up.weight")->data;
  EXPECT_EQ(i2s::scale(data, t.elements()), 0.25f);
  for (std::uint64_t e = 0; e < t.elements(); ++e)
    ASSERT_EQ(i2s::code_at(data, t.elements(), 0, e) - 1, codes[e]) << e;
}

// A change from one architecture to the other, as far as the files go.
void make_llama(TestCheckpoint& c) {
  c.config["architectures"] = {"LlamaForCausalLM"};
  c.config["hidden_act"] = "silu";
  std::erase_if(c.weights.tensors,
                [](const TestTensor& t) { return t.name.find("_sub_norm") != std::string::npos; });
}

TEST_F(Small, LlamaTurnsNeighbours) {
  make_llama(checkpoint_);
  TestTensor head = tensor("model.embed_tokens.weight");
  head.name = "lm_head.weight";
  head.bytes[0] ^= 1;
  checkpoint_.weights.tensors.push_back(head);
  checkpoint_.config["tie_word_embeddings"] = false;
  const ConvertReport r = converted();
  EXPECT_EQ(r.architecture, "llama");
  const gguf::File file = result();
  EXPECT_EQ(file.require<std::string_view>("general.architecture"), "llama");
  EXPECT_EQ(std::memcmp(file.find_tensor("output.weight")->data.data(), head.bytes.data(), head.bytes.size()),
            0);
  const auto head_dim = file.require<std::uint32_t>("llama.rope.dimension_count");
  for (const char* name : {"blk.0.attn_q.weight", "blk.1.attn_k.weight", "blk.0.attn_v.weight"}) {
    const gguf::Tensor& from = *source_.find_tensor(name);
    const gguf::Tensor& to = *file.find_tensor(name);
    const bool turned = std::string_view(name).find("attn_v") == std::string_view::npos;
    for (std::uint64_t h = 0; h < from.ne[1] / head_dim; ++h)
      for (std::uint64_t j = 0; j < head_dim / 2; ++j)
        for (std::uint64_t half = 0; half < 2; ++half) {
          const std::uint64_t source = h * head_dim + half * head_dim / 2 + j;
          const std::uint64_t row = turned ? h * head_dim + 2 * j + half : source;
          for (std::uint64_t k = 0; k < from.ne[0]; k += 37)
            ASSERT_EQ(i2s::code_at(to.data, to.ne[0], row, k), i2s::code_at(from.data, from.ne[0], source, k))
                << name << " row " << row;
        }
  }
  EXPECT_NO_THROW(Model::load(dir_ / "out.gguf"));
}

TEST_F(Small, Llama31HasFrequenciesOfItsOwn) {
  make_llama(checkpoint_);
  checkpoint_.config["rope_scaling"] = {{"rope_type", "llama3"},
                                        {"factor", 8.0},
                                        {"low_freq_factor", 1.0},
                                        {"high_freq_factor", 4.0},
                                        {"original_max_position_embeddings", 128}};
  converted();
  const gguf::File file = result();
  const gguf::Tensor* t = file.find_tensor("rope_freqs.weight");
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->type, TensorType::f32);
  EXPECT_EQ(t->ne[0], file.require<std::uint32_t>("llama.rope.dimension_count") / 2);
  float first = 0;
  std::memcpy(&first, t->data.data(), sizeof first);
  EXPECT_EQ(first, 1.0f);
}

// A model that was never meant to be ternary would come out as noise.
TEST_F(Small, PlainModelsAreNotMadeTernary) {
  make_llama(checkpoint_);
  checkpoint_.config.erase("quantization_config");
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  const gguf::Tensor& t = *source_.find_tensor("blk.1.ffn_up.weight");
  std::vector<int> codes;
  tensor(name) = {name, "BF16", {t.ne[1], t.ne[0]}, master_weights(t.elements(), codes)};
  checkpoint_.weights.remove(name + "_scale");
  expect_refusal(name + ": has weights that are not ternary, and config.json has no quantization_config");
}

TEST_F(Small, ATiedHeadMayStandTwice) {
  TestTensor head = tensor("model.embed_tokens.weight");
  head.name = "lm_head.weight";
  checkpoint_.weights.tensors.push_back(head);
  EXPECT_TRUE(has_note(converted(), "lm_head.weight is the embedding once more"));
  EXPECT_EQ(result().find_tensor("output.weight"), nullptr);
  tensor("lm_head.weight").bytes[7] ^= 1;
  expect_refusal("lm_head.weight: differs from the embedding, to which config.json ties it");
  // Where the configuration says nothing the tensor does.
  checkpoint_.config.erase("tie_word_embeddings");
  EXPECT_TRUE(has_note(converted(), "lm_head.weight is there: it is not"));
  EXPECT_NE(result().find_tensor("output.weight"), nullptr);
}

TEST_F(Small, NumbersThatF16DoesNotHoldAreCounted) {
  TestTensor& t = tensor("model.embed_tokens.weight");
  std::string bf16;
  for (std::size_t i = 0; i < t.bytes.size() / 2; ++i) {
    // 1 + 2^-7 needs seven bits, 2^-30 is too small.
    const std::uint16_t bits = f32_to_bf16(i < 3 ? 0x1p-30f : 1.0078125f).bits;
    bf16.append(reinterpret_cast<const char*>(&bits), sizeof bits);
  }
  t.dtype = "BF16";
  t.bytes = bf16;
  const ConvertReport r = converted();
  EXPECT_EQ(r.rounded, 3U);
  EXPECT_TRUE(has_note(r, "3 numbers of embedding and head are not exact in F16 and were rounded"));
  ConvertOptions options;
  options.embedding = TensorType::bf16;
  EXPECT_EQ(converted(options).rounded, 0U);
  const gguf::File file = result();
  const gguf::Tensor* embedding = file.find_tensor("token_embd.weight");
  EXPECT_EQ(embedding->type, TensorType::bf16);
  EXPECT_EQ(std::memcmp(embedding->data.data(), bf16.data(), bf16.size()), 0);
}

TEST_F(Small, RopeFrequenciesOfOldVersionsAreLeftOut) {
  checkpoint_.weights.tensors.push_back(
      {"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {2}, std::string(8, 'x')});
  EXPECT_TRUE(has_note(converted(), "1 tensors of RoPE frequencies"));
}

TEST_F(Small, TensorsThatDoNotFitAreRefusedByName) {
  const TestCheckpoint good = checkpoint_;
  const std::string q = "model.layers.0.self_attn.q_proj.weight";
  checkpoint_.weights.remove("model.layers.1.input_layernorm.weight");
  expect_refusal("model.layers.1.input_layernorm.weight: missing; the checkpoint is not complete");
  checkpoint_ = good;
  checkpoint_.weights.tensors.push_back({"model.layers.4.mlp.up_proj.weight", "U8", {1}, "x"});
  expect_refusal(
      "model.layers.4.mlp.up_proj.weight: is no tensor of architecture bitnet-b1.58 with 4 layers");
  checkpoint_ = good;
  tensor("model.norm.weight").dtype = "I32";
  expect_refusal("model.norm.weight: is of type I32; F32, F16 or BF16 is required here");
  checkpoint_ = good;
  tensor("model.norm.weight").shape = {1, 256};
  expect_refusal("model.norm.weight: has shape [1, 256], but config.json makes it [256]");
  checkpoint_ = good;
  checkpoint_.config["vocab_size"] = 512;
  expect_refusal("model.embed_tokens.weight: has shape ");
  checkpoint_ = good;
  checkpoint_.weights.remove(q + "_scale");
  expect_refusal(q + ": is packed, but has no `" + q + "_scale`");
  checkpoint_ = good;
  tensor(q).bytes[5] = '\xff';
  expect_refusal(q + ": has code 3, which stands for no weight, in row 0, column 5");
  checkpoint_ = good;
  std::memcpy(tensor("model.norm.weight").bytes.data(), "\0\0\xc0\x7f", 4);
  expect_refusal("model.norm.weight: is not finite in row 0, column 0");
  checkpoint_ = good;
  checkpoint_.config["intermediate_size"] = 700;
  expect_refusal("has shape");
  checkpoint_ = good;
  checkpoint_.config["hidden_act"] = "silu";
  expect_refusal("hidden_act: `silu` of config.json cannot be: bitnet-b1.58 has relu2");
  checkpoint_ = good;
  checkpoint_.weights.remove("model.layers.0.self_attn.attn_sub_norm.weight");
  expect_refusal("model.layers.0.self_attn.attn_sub_norm.weight: missing, and self_attn.inner_attn_ln too");
}

TEST_F(Small, OtherWidthsThanI2sHoldsAreRefused) {
  make_llama(checkpoint_);
  checkpoint_.config["intermediate_size"] = 192;
  for (TestTensor& t : checkpoint_.weights.tensors)
    if (t.name.ends_with("gate_proj.weight") || t.name.ends_with("up_proj.weight"))
      t = {t.name, "U8", {48, 256}, std::string(48 * 256, 'U')};
  expect_refusal("mlp.down_proj.weight: is a matrix of [256, 192], which I2_S cannot hold");
}

TEST_F(Small, VocabulariesThatATokenizerRefusesAreRefused) {
  checkpoint_.tokenizer["added_tokens"].push_back({{"id", 3}, {"content", "x"}});
  expect_refusal("tokenizer.json: added_tokens[");
  checkpoint_.tokenizer["added_tokens"].erase(checkpoint_.tokenizer["added_tokens"].size() - 1);
  auto& vocab = checkpoint_.tokenizer["model"]["vocab"];
  const std::string text = vocab.begin().key();
  checkpoint_.tokenizer["added_tokens"].push_back({{"id", 400000}, {"content", text}});
  expect_refusal("has id 400000, but the embedding has only");
}

TEST_F(Small, FilesThatAreNotThere) {
  checkpoint_.write(dir_ / "hf");
  for (const char* name : {"config.json", "tokenizer.json"}) {
    checkpoint_.write(dir_ / "hf");
    std::filesystem::remove(dir_ / "hf" / name);
    const std::string message = error_of([&] { convert(dir_ / "hf", {}, dir_ / "out.gguf"); });
    EXPECT_NE(message.find(name), std::string::npos) << message;
  }
  // The others may be missing; what they say is then missing too.
  checkpoint_.write(dir_ / "hf");
  std::filesystem::remove(dir_ / "hf" / "tokenizer_config.json");
  convert(dir_ / "hf", {}, dir_ / "out.gguf");
  EXPECT_EQ(result().find("tokenizer.chat_template"), nullptr);
  testing::write_file(dir_ / "hf" / "chat_template.jinja", "{{ x }}");
  convert(dir_ / "hf", {}, dir_ / "out.gguf");
  EXPECT_EQ(result().require<std::string_view>("tokenizer.chat_template"), "{{ x }}");
}

}  // namespace
}  // namespace bitnet
