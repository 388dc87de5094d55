#include "engine/cli/synth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <set>
#include <tuple>

#include "engine/cli/synth_vocabulary.h"
#include "engine/error.h"
#include "engine/formats/f16.h"
#include "engine/formats/i2s.h"
#include "engine/gguf/checks.h"
#include "engine/gguf/gguf.h"
#include "engine/gguf/temporary_directory.h"
#include "engine/model/context.h"
#include "engine/model/operations.h"

namespace bitnet {
namespace {

using testing::TemporaryDirectory;

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::uint64_t fnv1a(std::string_view bytes) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
    return "nothing thrown";
  } catch (const InputError& e) {
    return e.what();
  }
}

TEST(Synth, SameSeedSameBytes) {
  const TemporaryDirectory dir;
  synth("tiny", "i2_s", 1, dir / "a");
  synth("tiny", "i2_s", 1, dir / "b");
  synth("tiny", "i2_s", 2, dir / "c");
  const std::string a = bytes_of(dir / "a");
  EXPECT_EQ(a, bytes_of(dir / "b"));
  EXPECT_NE(a, bytes_of(dir / "c"));
  // Recorded once: the stream is part of the contract, on every platform.
  EXPECT_EQ(fnv1a(a), 0x92f1ef2cbe11e1e6u);
}

// Everything that a loader asks of a model of this family.
class SynthPreset : public ::testing::TestWithParam<std::string> {};

TEST_P(SynthPreset, IsAWholeModel) {
  const TemporaryDirectory dir;
  SynthShape shape = synth_shape(GetParam());
  shape.n_layer = std::min(shape.n_layer, 2u);
  shape.n_vocab = 512;
  synth(shape, 1, dir / "m");
  const auto f = gguf::File::open(dir / "m");
  const std::string& a = shape.architecture;
  const bool llama = a == "llama";
  EXPECT_EQ(f.require<std::string_view>("general.architecture"), a);
  EXPECT_EQ(f.require<std::uint32_t>(a + ".block_count"), 2u);
  EXPECT_EQ(f.require<std::uint32_t>(a + ".embedding_length"), shape.n_embd);
  EXPECT_EQ(f.require<std::uint32_t>("general.file_type"), 40u);
  ASSERT_EQ(f.tensors().size(), llama ? 2u * 9 + 3 : 2u * 11 + 2);
  EXPECT_EQ(f.find_tensor("output.weight") != nullptr, llama);
  EXPECT_EQ(f.find_tensor("token_embd.weight")->type, shape.embedding);
  const gguf::Tensor* down = f.find_tensor("blk.1.ffn_down.weight");
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->ne[0], shape.n_ff);
  EXPECT_EQ(down->ne[1], shape.n_embd);
  EXPECT_EQ(f.find_tensor("blk.0.attn_k.weight")->ne[1], shape.n_head_kv * shape.head_dim);
  EXPECT_EQ(f.find_tensor("blk.0.attn_output.weight")->ne[0], shape.n_head * shape.head_dim);
  if (!llama) {
    EXPECT_EQ(f.find_tensor("blk.0.ffn_sub_norm.weight")->ne[0], shape.n_ff);
  }
  std::set<float> scales;
  i2s::Census all;
  for (const auto& t : f.tensors()) {
    EXPECT_NO_THROW(gguf::check_finite(f, t));
    if (t.type != TensorType::i2_s) continue;
    EXPECT_NO_THROW(gguf::check_i2s(f, t));
    EXPECT_NO_THROW(gguf::check_i2s_codes(f, t));
    const float scale = i2s::scale(t.data, t.elements());
    // Without sub-norms the scales of output and down say how much a branch adds.
    if (!llama ||
        (t.name.find("output") == std::string_view::npos && t.name.find("down") == std::string_view::npos)) {
      EXPECT_GE(scale, 0.744f) << t.name;
      EXPECT_LE(scale, 4.60f) << t.name;
    }
    scales.insert(scale);
    const auto c = i2s::census(t.data, t.elements());
    for (int code = 0; code < 4; ++code) all.count[code] += c.count[code];
  }
  EXPECT_EQ(scales.size(), 14u);
  const double total = static_cast<double>(all.count[0] + all.count[1] + all.count[2]);
  for (int code = 0; code < 3; ++code)  // 5 standard errors, and the bias of 16-bit draws
    EXPECT_NEAR(static_cast<double>(all.count[code]) / total, 1.0 / 3,
                5 * std::sqrt(2.0 / 9 / total) + 0.0007);
}

INSTANTIATE_TEST_SUITE_P(All, SynthPreset, ::testing::ValuesIn(synth_presets()), [](const auto& preset) {
  std::string name = preset.param;
  std::erase_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
  return name;
});

TEST(Synth, TheLargePresetHasTheDimensionsOfTheModelItStandsFor) {
  const SynthShape s = synth_shape("bitnet-b1.58-2B-4T");
  EXPECT_EQ(s.architecture, "bitnet-b1.58");
  EXPECT_EQ(s.n_embd, 2560u);
  EXPECT_EQ(s.n_ff, 6912u);
  EXPECT_EQ(s.n_layer, 30u);
  EXPECT_EQ(s.n_head, 20u);
  EXPECT_EQ(s.n_head_kv, 5u);
  EXPECT_EQ(s.head_dim, 128u);
  EXPECT_EQ(s.n_vocab, 128256u);
  EXPECT_EQ(s.n_ctx, 4096u);
  EXPECT_EQ(s.rope_freq_base, 500000.0f);
  EXPECT_EQ(s.rms_eps, 1e-5f);
  EXPECT_EQ(s.embedding, TensorType::f16);
  EXPECT_FALSE(s.untied);
}

TEST(Synth, TheLlamaPresetsHaveTheDimensionsOfTheModelsTheyStandFor) {
  const SynthShape falcon = synth_shape("falcon3-1b-1.58"), llama = synth_shape("llama3-8b-1.58");
  EXPECT_EQ(std::tuple(falcon.n_embd, falcon.n_ff, falcon.n_layer, falcon.n_head, falcon.n_head_kv,
                       falcon.head_dim, falcon.n_vocab),
            std::tuple(2048u, 8192u, 18u, 8u, 4u, 256u, 131072u));
  EXPECT_EQ(std::tuple(llama.n_embd, llama.n_ff, llama.n_layer, llama.n_head, llama.n_head_kv, llama.head_dim,
                       llama.n_vocab),
            std::tuple(4096u, 14336u, 32u, 32u, 8u, 128u, 128256u));
  EXPECT_EQ(falcon.architecture, "llama");
  EXPECT_EQ(llama.architecture, "llama");
  EXPECT_TRUE(falcon.untied && llama.untied);
}

TEST(Synth, OptionsReachTheFile) {
  const TemporaryDirectory dir;
  SynthShape shape = synth_shape("tiny");
  shape.architecture = "bitnet-25";
  shape.head_dim = 96;
  shape.untied = true;
  shape.head = TensorType::f32;
  shape.pre = "";
  shape.name = "special";
  synth(shape, 1, dir / "m");
  const auto f = gguf::File::open(dir / "m");
  EXPECT_EQ(f.require<std::string_view>("general.architecture"), "bitnet-25");
  EXPECT_EQ(f.require<std::string_view>("general.name"), "special");
  EXPECT_EQ(f.require<std::uint32_t>("bitnet-25.attention.key_length"), 96u);
  EXPECT_EQ(f.require<std::uint32_t>("bitnet-25.rope.dimension_count"), 96u);
  EXPECT_EQ(f.find("tokenizer.ggml.pre"), nullptr);
  const gguf::Tensor* head = f.find_tensor("output.weight");
  ASSERT_NE(head, nullptr);
  EXPECT_EQ(head->type, TensorType::f32);
  // Not the embedding again.
  EXPECT_NE(std::memcmp(head->data.data() + 4, f.find_tensor("token_embd.weight")->data.data() + 2, 2), 0);
}

TEST(Synth, ImpossibleShapesAreRefused) {
  const TemporaryDirectory dir;
  const auto refusal = [&](const std::function<void(SynthShape&)>& spoil) {
    SynthShape shape = synth_shape("tiny");
    spoil(shape);
    return message_of([&] { synth(shape, 1, dir / "m"); });
  };
  EXPECT_NE(refusal([](auto& s) { s.architecture = "gemma"; }).find("synth: architecture"),
            std::string::npos);
  EXPECT_NE(refusal([](auto& s) { s.architecture = "bitnet", s.biases = true; }).find("synth: biases"),
            std::string::npos);
  EXPECT_NE(refusal([](auto& s) { s.n_embd = 200; }).find("synth: n_embd"), std::string::npos);
  EXPECT_NE(refusal([](auto& s) { s.n_ff = 0; }).find("synth: n_ff"), std::string::npos);
  EXPECT_NE(refusal([](auto& s) { s.n_head_kv = 3; }).find("synth: n_head_kv"), std::string::npos);
  EXPECT_NE(refusal([](auto& s) { s.head_dim = 33; }).find("synth: head_dim"), std::string::npos);
  EXPECT_NE(refusal([](auto& s) { s.head_dim = 40; }).find("synth: n_head * head_dim"), std::string::npos);
  EXPECT_NE(refusal([](auto& s) { s.architecture = "bitnet", s.head_dim = 96; }).find("must equal n_embd"),
            std::string::npos);
  EXPECT_NE(refusal([](auto& s) { s.embedding = TensorType::tq1_0; }).find("must be one of"),
            std::string::npos);
  EXPECT_NE(refusal([](auto& s) {
              s.n_embd = 384, s.head_dim = 96, s.embedding = TensorType::q6_k;
            }).find("must be a multiple of 256 for q6_k"),
            std::string::npos);
  EXPECT_NE(refusal([](auto& s) { s.n_vocab = 100; }).find("synth: vocabulary"), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(Synth, ExtraTensorsReachTheFile) {
  const TemporaryDirectory dir;
  SynthShape shape = synth_shape("tiny-llama");
  shape.biases = shape.factors = shape.rope_freqs = true;
  synth(shape, 1, dir / "llama");
  const auto llama = gguf::File::open(dir / "llama");
  for (const char* projection :
       {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
    const std::string name = std::string("blk.1.") + projection;
    ASSERT_NE(llama.find_tensor(name + ".bias"), nullptr) << name;
    EXPECT_EQ(llama.find_tensor(name + ".bias")->ne[0], llama.find_tensor(name + ".weight")->ne[1]);
    ASSERT_NE(llama.find_tensor(name + ".scale"), nullptr) << name;
    EXPECT_EQ(llama.find_tensor(name + ".scale")->ne[0], 1u);
  }
  ASSERT_NE(llama.find_tensor("rope_freqs.weight"), nullptr);
  EXPECT_EQ(llama.find_tensor("rope_freqs.weight")->ne[0], 64u);
  EXPECT_EQ(load_weights(llama, read_config(llama)).layers[1].ffn_down.bias.size(), 256u);

  shape = synth_shape("tiny");
  shape.biases = true;
  synth(shape, 1, dir / "b158");
  const auto b158 = gguf::File::open(dir / "b158");
  EXPECT_NE(b158.find_tensor("blk.0.attn_output.bias"), nullptr);
  EXPECT_EQ(b158.find_tensor("blk.0.ffn_up.bias"), nullptr);
}

TEST(Synth, TheBranchesOfALlamaAreAsLargeAsThoseOfABitnet) {
  const TemporaryDirectory dir;
  // Root mean square of the residual stream after each layer.
  const auto stream = [&](const char* preset) {
    synth(preset, "i2_s", 1, dir / preset);
    const Model model = Model::load(dir / preset);
    Context context(model, {.threads = 1});
    std::vector<BatchRow> rows;
    for (int i = 0; i < 40; ++i) rows.push_back({.token = i * 7});
    std::vector<double> after;
    const TapHook hook{[](TapId id) { return id.tap == Tap::l_out; },
                       [&](const TapTensor& t) {
                         double sum = 0;
                         for (std::int64_t i = 0; i < t.offsets.back(); ++i)
                           sum += static_cast<double>(t.data[i]) * static_cast<double>(t.data[i]);
                         after.push_back(std::sqrt(sum / static_cast<double>(t.offsets.back())));
                       }};
    context.forward(rows, &hook);
    return after;
  };
  const auto bitnet = stream("tiny"), llama = stream("tiny-llama");
  ASSERT_EQ(bitnet.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_GT(llama[i], 0.7 * bitnet[i]) << i;
    EXPECT_LT(llama[i], 1.4 * bitnet[i]) << i;
  }
}

// Heads of all types hold the same random numbers, as well as each can.
TEST(Synth, HeadTypesReachTheFile) {
  const TemporaryDirectory dir;
  std::vector<float> exact;
  std::vector<std::string> types = synth_head_types();
  std::swap(types[0], types[1]);  // f32 first
  for (const std::string& type : types) {
    synth(synth_shape("tiny", "i2_s", type), 1, dir / type);
    const auto f = gguf::File::open(dir / type);
    const Config config = read_config(f);
    const Weights weights = load_weights(f, config);
    EXPECT_EQ(weights.token_embd.type(), f.find_tensor("token_embd.weight")->type);
    EXPECT_EQ(weights.token_embd.bytes(), std::ssize(f.find_tensor("token_embd.weight")->data));
    Operations operations(config, weights, select_kernels(), 1, {config, {}, RopeMath::own});
    std::vector<float> row(256);
    const std::int32_t token = 511;
    operations.embed({&token, 1}, row.data());
    if (type == "f32") exact = row;
    const double allowed = type == "f16"    ? 0x1p-11
                           : type == "bf16" ? 0x1p-8
                           : type == "q8_0" ? 0.005
                           : type == "q6_k" ? 0.04
                                            : 0.13;
    double error = 0;
    for (std::size_t k = 0; k < row.size(); ++k)
      error = std::max(error, static_cast<double>(std::abs(row[k] - exact[k])));
    const double greatest = static_cast<double>(*std::ranges::max_element(exact));
    EXPECT_LE(error, allowed * greatest) << type;
    EXPECT_EQ(error == 0, type == "f32") << type;
  }
}

TEST(Synth, UnknownNamesListTheKnownOnes) {
  const TemporaryDirectory dir;
  EXPECT_NE(message_of([&] {
              synth("7B", "i2_s", 1, dir / "m");
            }).find("bitnet-b1.58-2B-4T, falcon3-1b-1.58, llama3-8b-1.58, tiny, "),
            std::string::npos);
  EXPECT_NE(message_of([&] {
              synth("tiny", "tl2", 1, dir / "m");
            }).find("`tl2` cannot be written; supported is i2_s"),
            std::string::npos);
  EXPECT_NE(message_of([&] {
              synth_shape("tiny", "i2_s", "q4_1");
            }).find("f16, f32, bf16, q8_0, q6_k, q5_0, q4_k, q4_0"),
            std::string::npos);
}

TEST(Synth, TellsItsProgress) {
  const TemporaryDirectory dir;
  std::uint64_t last = 0;
  std::uint64_t all = 0;
  synth("tiny", "i2_s", 1, dir / "m", [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GT(done, last);
    last = done;
    all = total;
  });
  EXPECT_EQ(last, all);
  EXPECT_GT(all, 500000u);
}

class SynthVocabularySize : public ::testing::TestWithParam<std::uint32_t> {};

// Distinct tokens; every merge joins two earlier tokens into the next one.
TEST_P(SynthVocabularySize, IsConsistent) {
  const SynthVocabulary v = make_synth_vocabulary(GetParam());
  ASSERT_EQ(v.tokens.size(), GetParam());
  ASSERT_EQ(v.types.size(), GetParam());
  EXPECT_EQ(std::set<std::string>(v.tokens.begin(), v.tokens.end()).size(), v.tokens.size());
  const std::size_t control = GetParam() < 4096 ? 16 : 256;
  ASSERT_EQ(v.merges.size(), GetParam() - 256 - control);
  std::set<std::string> known(v.tokens.begin(), v.tokens.begin() + 256);
  for (std::size_t i = 0; i < v.merges.size(); ++i) {
    const std::size_t space = v.merges[i].find(' ');
    const std::string left = v.merges[i].substr(0, space);
    const std::string right = v.merges[i].substr(space + 1);
    ASSERT_TRUE(known.contains(left) && known.contains(right)) << v.merges[i];
    ASSERT_EQ(left + right, v.tokens[256 + i]);
    known.insert(left + right);
  }
  for (std::size_t i = 0; i < v.tokens.size(); ++i) EXPECT_EQ(v.types[i], i < GetParam() - control ? 1 : 3);
  EXPECT_EQ(v.bos, GetParam() - control);
  EXPECT_EQ(v.tokens[v.bos], "<|begin_of_text|>");
  EXPECT_EQ(v.tokens[v.eos], "<|end_of_text|>");
  EXPECT_EQ(v.tokens[v.eot], "<|eot_id|>");
}

INSTANTIATE_TEST_SUITE_P(Sizes, SynthVocabularySize,
                         ::testing::Values(272u, 512u, 4095u, 4096u, 128256u, 200000u));

TEST(SynthVocabulary, ControlTokensStandWhereTheirFamilyHasThem) {
  const SynthVocabulary v = make_synth_vocabulary(128256);
  EXPECT_EQ(v.bos, 128000u);
  EXPECT_EQ(v.eos, 128001u);
  EXPECT_EQ(v.eot, 128009u);
  EXPECT_EQ(v.tokens[128006], "<|start_header_id|>");
  EXPECT_EQ(v.tokens[128007], "<|end_header_id|>");
}

TEST(SynthVocabulary, SizesOutOfReachAreRefused) {
  EXPECT_THROW(make_synth_vocabulary(271), InputError);
  EXPECT_THROW(make_synth_vocabulary(200001), InputError);
}

}  // namespace
}  // namespace bitnet
