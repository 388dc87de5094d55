// The engine against the emulator: 0 differing bits over all taps and logits (design.md 9). Two programs that
// share no arithmetic.

#include "reference/emulator/emulator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "engine/cli/synth.h"
#include "engine/error.h"
#include "engine/formats/f16.h"
#include "engine/gguf/temporary_directory.h"
#include "engine/model/context.h"
#include "reference/emulator/participant.h"
#include "reference/oracle/oracle.h"
#include "reference/oracle/test_model.h"

namespace crossval {
namespace {

using bitnet::SynthShape;
using bitnet::Tap;
using bitnet::TapId;
using bitnet::TensorType;

struct Shown {
  TapId id;
  std::vector<std::int64_t> offsets;
  std::vector<float> values;
};

bool same_bits(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

std::vector<std::int32_t> some_tokens(std::int64_t n, std::int64_t n_vocab) {
  std::mt19937_64 random(static_cast<std::uint64_t>(n));
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < n; ++i)
    tokens.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(n_vocab)));
  return tokens;
}

std::vector<Shown> evaluate(Emulator& emulator, std::span<const std::int32_t> tokens) {
  std::vector<Shown> shown;
  emulator.forward(tokens,
                   {[](TapId) { return true; },
                    [&](TapId id, std::span<const std::int64_t> offsets, std::span<float> values) {
                      shown.push_back({id, {offsets.begin(), offsets.end()}, {values.begin(), values.end()}});
                    }});
  return shown;
}

std::vector<Shown> evaluate(bitnet::Context& engine, std::span<const std::int32_t> tokens) {
  std::vector<Shown> shown;
  std::vector<bitnet::BatchRow> rows;
  for (std::int32_t token : tokens) rows.push_back({.token = token});
  const bitnet::TapHook hook{.wants = [](TapId) { return true; },
                             .show =
                                 [&](const bitnet::TapTensor& tap) {
                                   shown.push_back({tap.id,
                                                    {tap.offsets.begin(), tap.offsets.end()},
                                                    {tap.data, tap.data + tap.offsets.back()}});
                                 }};
  engine.forward(rows, &hook);
  return shown;
}

// The number of values that differ in any bit; the first of each tap is named.
std::int64_t differing(const std::vector<Shown>& a, const std::vector<Shown>& b, bool report = true) {
  EXPECT_EQ(a.size(), b.size());
  std::int64_t count = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    EXPECT_EQ(bitnet::to_string(a[i].id), bitnet::to_string(b[i].id));
    EXPECT_EQ(a[i].offsets, b[i].offsets) << bitnet::to_string(a[i].id);
    if (a[i].values.size() != b[i].values.size()) return -1;
    bool first = report;
    for (std::size_t k = 0; k < a[i].values.size(); ++k) {
      if (same_bits(a[i].values[k], b[i].values[k])) continue;
      ++count;
      if (std::exchange(first, false))
        ADD_FAILURE() << bitnet::to_string(a[i].id) << "[" << k << "]: " << a[i].values[k] << " and "
                      << b[i].values[k];
    }
  }
  return count;
}

EmulatorOptions own_rope() {
  EmulatorOptions options;
  options.rope = emulation::Rope::own;
  options.threads = 2;
  return options;
}

void expect_engine_is_emulator(const std::filesystem::path& path,
                               std::initializer_list<std::int64_t> lengths) {
  const auto model = bitnet::Model::load(path);
  bitnet::Context engine(model, {.threads = 2});
  Emulator emulator(model.file(), own_rope());
  std::size_t compared = 0;
  for (const std::int64_t length : lengths) {
    engine.truncate(0, 0);
    emulator.reset();
    // One token per evaluation is a prompt and its decode steps in one.
    for (const std::int32_t token : some_tokens(length, model.config().n_vocab)) {
      const auto ours = evaluate(engine, {&token, 1});
      ASSERT_EQ(differing(ours, evaluate(emulator, {&token, 1})), 0)
          << path << ", " << length << " tokens, at position " << emulator.position() - 1;
      compared += ours.size();
    }
    ASSERT_EQ(emulator.position(), length);
  }
  EXPECT_GE(compared, lengths.size() * bitnet::canonical_taps(model.config()).size());
}

const std::filesystem::path kFixtures = std::filesystem::path(CROSSVAL_SOURCE_DIR) / "fixtures" / "model";

TEST(EngineIsEmulator, BundledModel) {
  expect_engine_is_emulator(kFixtures / "bundled.gguf", {1, 5, 33, 70});
}

TEST(EngineIsEmulator, AwkwardModel) {
  expect_engine_is_emulator(kFixtures / "awkward.gguf", {1, 5, 33, 70});
}

struct RandomModel {
  const char* name;
  const char* architecture;
  std::uint32_t n_embd, n_ff, n_head, n_head_kv, head_dim;
  TensorType embedding;
};

class EngineIsEmulatorOf : public ::testing::TestWithParam<RandomModel> {};

SynthShape shape_of(const RandomModel& m) {
  SynthShape shape = bitnet::synth_shape("tiny");
  shape.architecture = m.architecture;
  shape.n_embd = m.n_embd;
  shape.n_ff = m.n_ff;
  shape.n_head = m.n_head;
  shape.n_head_kv = m.n_head_kv;
  shape.head_dim = m.head_dim;
  shape.embedding = m.embedding;
  return shape;
}

TEST_P(EngineIsEmulatorOf, RandomWeights) {
  const bitnet::testing::TemporaryDirectory folder;
  bitnet::synth(shape_of(GetParam()), 11, folder / "model.gguf");
  expect_engine_is_emulator(folder / "model.gguf", {1, 5, 33, 70});
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, EngineIsEmulatorOf,
    ::testing::Values(RandomModel{"b158_64", "bitnet-b1.58", 256, 768, 4, 2, 64, TensorType::f16},
                      RandomModel{"b158_128_f32", "bitnet-b1.58", 512, 1408, 4, 1, 128, TensorType::f32},
                      RandomModel{"b25_80", "bitnet-25", 640, 896, 8, 2, 80, TensorType::f16},
                      RandomModel{"b25_one_head", "bitnet-25", 128, 384, 1, 1, 128, TensorType::f32},
                      RandomModel{"bitnet_96", "bitnet", 384, 1152, 4, 4, 96, TensorType::f16},
                      RandomModel{"bitnet_64_f32", "bitnet", 256, 640, 4, 4, 64, TensorType::f32},
                      RandomModel{"b158_q6_k", "bitnet-b1.58", 512, 768, 8, 2, 64, TensorType::q6_k},
                      RandomModel{"b158_q8_0", "bitnet-b1.58", 384, 768, 3, 1, 128, TensorType::q8_0},
                      RandomModel{"b25_bf16", "bitnet-25", 640, 896, 8, 2, 80, TensorType::bf16}),
    [](const auto& of) { return std::string(of.param.name); });

testing::TestShape small(const char* architecture) {
  testing::TestShape shape;
  shape.architecture = architecture;
  shape.n_embd = 256;
  shape.head_dim = shape.n_rot = 64;
  shape.n_ctx = 128;
  shape.weight_scale = 0.05f;  // attention that is not all on one cell
  return shape;
}

TEST(EngineIsEmulator, ArchitectureLlama) {
  for (const bool untied : {false, true})
    for (const TensorType embedding : {TensorType::f16, TensorType::f32, TensorType::bf16, TensorType::q8_0,
                                       TensorType::q6_k, TensorType::i2_s}) {
      const bitnet::testing::TemporaryDirectory folder;
      testing::TestShape shape = small("llama");
      shape.untied = untied;
      shape.rope_freqs = !untied;
      shape.embedding = embedding;
      testing::TestModel(shape).write(folder / "model.gguf");
      expect_engine_is_emulator(folder / "model.gguf", {1, 5, 70});
    }
}

// What the files of an architecture may hold beside the usual, all of it that bitnet.cpp computes with.
struct Variant {
  const char* name;
  testing::TestShape shape;
};

std::vector<Variant> variants() {
  testing::TestShape falcon = small("llama");  // heads wider than the embedding, a head of its own
  falcon.head_dim = falcon.n_rot = 256;
  falcon.n_head = 2;
  falcon.n_head_kv = 1;
  falcon.untied = true;
  falcon.freq_base = 1000042;
  falcon.rms_eps = 1e-6f;
  testing::TestShape stretched = small("llama");
  stretched.rope_freqs = true;
  stretched.rope_factor = 8;
  stretched.activation = "silu";
  testing::TestShape biased = small("llama");
  biased.biases = true;
  biased.untied = true;
  testing::TestShape b158 = small("bitnet-b1.58");
  b158.biases = true;
  b158.rope_freqs = true;
  b158.activation = "relu2";
  testing::TestShape b25 = b158;
  b25.architecture = "bitnet-25";
  testing::TestShape scaled = small("bitnet");
  scaled.factors = true;
  scaled.n_rot = 32;  // half of each head turns
  return {{"falcon", falcon}, {"stretched", stretched}, {"biased", biased}, {"b158", b158},
          {"b25", b25},       {"scaled", scaled}};
}

// A file of the variant, without the biases that bitnet.cpp reads and does not add.
void write_variant(const Variant& variant, const std::filesystem::path& path) {
  testing::TestModel model(variant.shape, 5);
  if (variant.shape.architecture != "llama")
    std::erase_if(model.tensors, [](const auto& tensor) {
      return tensor.name.ends_with(".bias") && tensor.name.find(".ffn_") != std::string::npos;
    });
  model.write(path);
}

TEST(EngineIsEmulator, EveryVariantOfEveryArchitecture) {
  for (const Variant& variant : variants()) {
    SCOPED_TRACE(variant.name);
    const bitnet::testing::TemporaryDirectory folder;
    write_variant(variant, folder / "model.gguf");
    EXPECT_EQ(bitnet::Model::load(folder / "model.gguf").weights().warnings, std::vector<std::string>{});
    expect_engine_is_emulator(folder / "model.gguf", {1, 5, 70});
  }
}

// Both sides with the same inputs, so that only what an operation itself adds is seen.
TEST(EngineIsNearTheOracle, EveryVariantOfEveryArchitecture) {
  for (const Variant& variant : variants()) {
    const bitnet::testing::TemporaryDirectory folder;
    write_variant(variant, folder / "model.gguf");
    const auto model = bitnet::Model::load(folder / "model.gguf");
    bitnet::Context engine(model, {.threads = 2});
    Oracle oracle(model.file(), {.threads = 2, .round_taps = false});
    const auto tokens = some_tokens(9, 260);
    const std::vector<std::int32_t> positions = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    std::map<TapId, std::vector<float>> taps;
    for (auto& shown : evaluate(engine, tokens)) taps[shown.id] = std::move(shown.values);
    const auto data = [&](const std::optional<TapId>& id) { return id ? taps.at(*id).data() : nullptr; };
    for (const auto& [id, ours] : taps) {
      const auto from = bitnet::inputs_of(model.config(), id);
      const auto wanted =
          oracle.evaluate({id, positions, tokens, data(from.a), data(from.b), data(from.history)});
      ASSERT_EQ(ours.size(), wanted.size());
      double error = 0, square = 0;
      for (std::size_t k = 0; k < ours.size(); ++k) {
        error += std::pow(static_cast<double>(ours[k]) - wanted[k], 2);
        square += wanted[k] * wanted[k];
      }
      EXPECT_LE(error, (from.integer_product ? 1e-12 : 1e-6) * square)
          << variant.name << ", " << bitnet::to_string(id);
      EXPECT_GT(square, 0) << variant.name << ", " << bitnet::to_string(id);
    }
  }
}

class EmulatorOf : public ::testing::Test {
 protected:
  bitnet::testing::TemporaryDirectory folder;
  std::filesystem::path write(const SynthShape& shape) {
    bitnet::synth(shape, 3, folder / "model.gguf");
    return folder / "model.gguf";
  }
};

TEST_F(EmulatorOf, OneAndSeveralTokensRoundElsewhere) {
  const auto file = bitnet::gguf::File::open(kFixtures / "bundled.gguf");
  const auto tokens = some_tokens(9, 250);
  const std::span<const std::int32_t> all(tokens);
  Emulator one(file, own_rope()), several(file, own_rope()), split(file, own_rope());
  auto options = own_rope();
  options.batch_class = EmulatorBatchClass::several;
  Emulator forced(file, options);

  const auto together = evaluate(several, all);
  const auto logits_of_last = [](const std::vector<Shown>& shown) {
    const Shown& last = shown.back();
    return std::vector<float>(last.values.begin() + *(last.offsets.end() - 2), last.values.end());
  };
  std::vector<Shown> by_one, by_forced, by_split;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    by_one = evaluate(one, all.subspan(t, 1));
    by_forced = evaluate(forced, all.subspan(t, 1));
  }
  evaluate(split, all.first(4));
  by_split = evaluate(split, all.subspan(4));
  // How many tokens beyond one does not matter; one against several does, in the last bits only.
  EXPECT_EQ(logits_of_last(by_split), logits_of_last(together));
  EXPECT_EQ(logits_of_last(by_forced), logits_of_last(together));
  EXPECT_NE(logits_of_last(by_one), logits_of_last(together));
  double ab = 0, aa = 0, bb = 0;
  const auto a = logits_of_last(by_one), b = logits_of_last(together);
  for (std::size_t k = 0; k < a.size(); ++k) {
    ab += static_cast<double>(a[k]) * static_cast<double>(b[k]);
    aa += static_cast<double>(a[k]) * static_cast<double>(a[k]);
    bb += static_cast<double>(b[k]) * static_cast<double>(b[k]);
  }
  EXPECT_GT(ab / std::sqrt(aa * bb), 0.999);
}

TEST_F(EmulatorOf, EveryOptionThatShouldChangeBitsDoes) {
  const auto file = bitnet::gguf::File::open(kFixtures / "bundled.gguf");
  const auto tokens = some_tokens(40, 250);
  Emulator plain(file, own_rope());
  const auto wanted = evaluate(plain, tokens);
  const auto with = [&](auto change) {
    auto options = own_rope();
    change(options);
    Emulator emulator(file, options);
    return differing(wanted, evaluate(emulator, tokens), false);
  };
  EXPECT_GT(with([](EmulatorOptions& o) { o.width = 8; }), 0);
  EXPECT_GT(with([](EmulatorOptions& o) { o.tinyblas = false; }), 0);
  EXPECT_GT(with([](EmulatorOptions& o) { o.generation = EmulatorGeneration::reported_2026; }), 0);
  EXPECT_EQ(with([](EmulatorOptions& o) { o.threads = 1; }), 0);
  EXPECT_EQ(with([](EmulatorOptions& o) { o.threads = 3; }), 0);
  EXPECT_EQ(with([](EmulatorOptions& o) { o.sums = emulation::Sums::int16; }), 0);  // its rows are short
}

TEST_F(EmulatorOf, ARecordedTableTakesThePlaceOfTheFunctions) {
  const auto file = bitnet::gguf::File::open(kFixtures / "bundled.gguf");
  const auto tokens = some_tokens(6, 250);
  Emulator own(file, own_rope());
  const auto wanted = evaluate(own, tokens);
  auto options = own_rope();
  emulation::Angles angles(own.config(), {}, emulation::Rope::own, {});
  angles.prepare(4);
  const auto n = static_cast<std::size_t>(4 * own.config().n_rot / 2);
  options.rope = emulation::Rope::table;
  options.rope_table = {{angles.cosines(0), angles.cosines(0) + n}, {angles.sines(0), angles.sines(0) + n}};
  Emulator same(file, options);
  EXPECT_EQ(differing(wanted, evaluate(same, tokens)), 0);  // positions 4 and 5 are computed
  options.rope_table.cosines[n - 1] = 0.5f;
  Emulator other(file, options);
  EXPECT_GT(differing(wanted, evaluate(other, tokens), false), 0);
}

TEST_F(EmulatorOf, IgnoresOutputWeightAsTheReferenceDoes) {
  SynthShape shape = bitnet::synth_shape("tiny");
  shape.untied = true;
  const auto path = write(shape);
  const auto file = bitnet::gguf::File::open(path);
  Emulator emulator(file, own_rope());
  const auto shown = evaluate(emulator, some_tokens(1, 250));
  const Shown& norm = shown[shown.size() - 2];
  const auto& embedding = *file.find_tensor("token_embd.weight");
  // Logit 7 by the embedding's row, roughly: which tensor is the question here.
  double logit = 0;
  for (std::size_t k = 0; k < norm.values.size(); ++k) {
    std::uint16_t half = 0;
    std::memcpy(&half, embedding.data.data() + 2 * (7 * norm.values.size() + k), 2);
    logit += static_cast<double>(norm.values[k]) * static_cast<double>(bitnet::f16_to_f32(half));
  }
  EXPECT_NEAR(static_cast<double>(shown.back().values[7]), logit, 1e-2 * std::fabs(logit) + 1e-4);
}

TEST_F(EmulatorOf, RefusesWhatTheReferenceRefuses) {
  SynthShape shape = bitnet::synth_shape("tiny");
  shape.architecture = "bitnet";
  shape.untied = true;
  const auto file = bitnet::gguf::File::open(write(shape));
  EXPECT_THROW(Emulator(file, own_rope()), bitnet::InputError);
}

TEST_F(EmulatorOf, RefusesHeadsThatTheReferencesSubNormDoesNotFit) {
  testing::TestShape shape = small("bitnet-b1.58");
  shape.head_dim = shape.n_rot = 32;  // 4 heads of 32 beside an embedding of 256
  testing::TestModel(shape).write(folder / "model.gguf");
  const auto file = bitnet::gguf::File::open(folder / "model.gguf");
  EXPECT_THROW(Emulator(file, own_rope()), bitnet::InputError);
}

// Logits for tokens 3, 4 and 5 of a model whose tensor `name` holds `value` everywhere.
std::vector<float> logits_with(testing::TestShape shape, const std::string& name, float value) {
  const bitnet::testing::TemporaryDirectory folder;
  testing::TestModel model(shape);
  std::ranges::fill(model.at(name).values, value);
  model.write(folder / "model.gguf");
  const auto file = bitnet::gguf::File::open(folder / "model.gguf");
  Emulator emulator(file, own_rope());
  return evaluate(emulator, std::vector<std::int32_t>{3, 4, 5}).back().values;
}

TEST_F(EmulatorOf, UsesTheBiasesAndScalesThatTheReferenceUses) {
  const auto matters = [](const testing::TestShape& shape, const std::string& name) {
    return logits_with(shape, name, 0.25f) != logits_with(shape, name, 2.0f);
  };
  testing::TestShape b158 = small("bitnet-b1.58"), llama = small("llama"), bitnet = small("bitnet");
  b158.biases = llama.biases = bitnet.factors = true;
  b158.untied = llama.untied = true;
  for (const std::string projection : {"attn_q", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
    const std::string name = "blk.1." + projection;
    EXPECT_EQ(matters(b158, name + ".bias"), projection.starts_with("attn")) << name;
    EXPECT_TRUE(matters(llama, name + ".bias")) << name;
    // The sub-norm behind the others takes a factor out again, all but the floor of its epsilon.
    if (projection == "attn_q" || projection == "ffn_down") {
      EXPECT_TRUE(matters(bitnet, name + ".scale")) << name;
    }
  }
  EXPECT_FALSE(matters(b158, "output.weight"));
  EXPECT_TRUE(matters(llama, "output.weight"));
}

TEST_F(EmulatorOf, TheActivationIsTheArchitecturesWhateverTheFileNames) {
  testing::TestShape shape = small("llama");
  const auto activation = [&](const char* architecture, const char* named, EmulatorGeneration generation) {
    shape.architecture = architecture;
    shape.activation = named;
    testing::TestModel(shape).write(folder / "model.gguf");
    const auto file = bitnet::gguf::File::open(folder / "model.gguf");
    auto options = own_rope();
    options.generation = generation;
    return Emulator(file, options).config().activation;
  };
  const auto second = EmulatorGeneration::second, reported = EmulatorGeneration::reported_2026;
  using enum bitnet::Activation;
  EXPECT_EQ(activation("llama", "relu2", second), silu);
  EXPECT_EQ(activation("bitnet", "relu2", second), silu);
  EXPECT_EQ(activation("bitnet-25", "silu", second), relu_squared);
  EXPECT_EQ(activation("bitnet-b1.58", "silu", second), relu_squared);
  EXPECT_EQ(activation("bitnet-b1.58", "relu2", reported), silu);
  EXPECT_EQ(activation("bitnet-25", "relu2", reported), relu_squared);
}

TEST_F(EmulatorOf, ABlockQuantizedHeadTakesItsOwnSums) {
  testing::TestShape shape = small("llama");
  shape.embedding = TensorType::q6_k;
  testing::TestModel(shape).write(folder / "model.gguf");
  const auto file = bitnet::gguf::File::open(folder / "model.gguf");
  Emulator emulator(file, own_rope());
  const auto shown = evaluate(emulator, std::vector<std::int32_t>{3, 4, 5});
  const Shown& norm = shown[shown.size() - 2];
  const Shown& logits = shown.back();
  const auto& head = *file.find_tensor("token_embd.weight");
  for (std::int64_t t = 0; t < 3; ++t)
    for (std::int64_t v = 0; v < 260; v += 51) {
      emulation::BlockCodes codes;
      emulation::quantize_blocks({norm.values.data() + t * 256, 256}, codes);
      EXPECT_TRUE(same_bits(logits.values[static_cast<std::size_t>(t * 260 + v)],
                            emulation::dot_q6_k(head.data.data() + v * emulation::kQ6Bytes, codes)));
    }
}

// Where bitnet.cpp's own arithmetic depends on the number of tokens, that of the engine does not.
TEST_F(EmulatorOf, HeadsOfOurOwnArithmeticTakeTokensTogetherOrApart) {
  for (const TensorType type : {TensorType::bf16, TensorType::q8_0, TensorType::q6_k, TensorType::i2_s}) {
    testing::TestShape shape = small("llama");
    shape.embedding = type;
    testing::TestModel(shape).write(folder / "model.gguf");
    const auto model = bitnet::Model::load(folder / "model.gguf");
    bitnet::Context engine(model, {.threads = 2});
    Emulator emulator(model.file(), own_rope());
    const auto together = evaluate(engine, some_tokens(7, 260));
    const Shown& norm = together[together.size() - 2];
    bitnet::Operation op;
    op.output = {Tap::result_output, -1};
    const std::vector<std::int32_t> positions = {0, 1, 2, 3, 4, 5, 6};
    op.positions = positions;
    op.a = norm.values.data();
    const auto logits = emulator.evaluate(op);
    ASSERT_EQ(logits.size(), together.back().values.size());
    for (std::size_t i = 0; i < logits.size(); ++i)
      ASSERT_TRUE(same_bits(logits[i], together.back().values[i])) << i;
  }
}

TEST_F(EmulatorOf, RefusesProjectionsThatOnlyAHeadMayBe) {
  testing::TestModel model(small("llama"));
  auto& gate = model.at("blk.1.ffn_gate.weight");
  gate.type = TensorType::bf16;
  model.write(folder / "model.gguf");
  const auto file = bitnet::gguf::File::open(folder / "model.gguf");
  EXPECT_THROW(Emulator(file, own_rope()), bitnet::InputError);
}

TEST_F(EmulatorOf, EvaluatesEachOperationAsItsForwardPassDoes) {
  const auto path = kFixtures / "awkward.gguf";
  const auto file = bitnet::gguf::File::open(path);
  Emulator emulator(file, own_rope());
  const auto& c = emulator.config();
  const auto tokens = some_tokens(35, 250);
  std::map<TapId, std::vector<float>> past;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    std::map<TapId, std::vector<float>> now;
    for (auto& shown : evaluate(emulator, {&tokens[t], 1})) {
      past[shown.id].insert(past[shown.id].end(), shown.values.begin(), shown.values.end());
      now[shown.id] = std::move(shown.values);
    }
    if (t % 17 != 0) continue;
    const auto position = static_cast<std::int32_t>(t);
    for (const TapId id : bitnet::canonical_taps(c)) {
      const auto inputs = bitnet::inputs_of(c, id);
      bitnet::Operation op;
      op.output = id;
      op.positions = {&position, 1};
      op.tokens = {&tokens[t], 1};
      if (inputs.a) op.a = now.at(*inputs.a).data();
      if (inputs.b) op.b = now.at(*inputs.b).data();
      if (inputs.history) op.history = past.at(*inputs.history).data();
      const auto values = emulator.evaluate(op);
      ASSERT_EQ(values.size(), now.at(id).size());
      for (std::size_t k = 0; k < values.size(); ++k)
        ASSERT_TRUE(same_bits(values[k], now.at(id)[k])) << bitnet::to_string(id) << " " << k;
    }
  }
}

TEST_F(EmulatorOf, EvaluatesEachLayerAsItsForwardPassDoes) {
  const auto file = bitnet::gguf::File::open(kFixtures / "awkward.gguf");
  for (const int width : {16, 8})
    for (const auto batch_class : {EmulatorBatchClass::by_tokens, EmulatorBatchClass::several}) {
      auto options = own_rope();
      options.width = width;
      options.batch_class = batch_class;
      Emulator emulator(file, options), beside(file, options);
      const auto& c = emulator.config();
      const auto tokens = some_tokens(80, 250);
      std::map<TapId, std::vector<float>> past;  // of the positions before
      std::size_t compared = 0, at = 0;
      for (const std::size_t n : {3u, 1u, 1u, 29u, 1u, 33u, 2u, 1u}) {
        const auto shown = evaluate(emulator, std::span(tokens).subspan(at, n));
        std::vector<std::int32_t> positions;
        for (std::size_t t = 0; t < n; ++t) positions.push_back(static_cast<std::int32_t>(at + t));
        const auto values_of = [&](TapId id) -> const std::vector<float>& {
          return std::ranges::find(shown, id, &Shown::id)->values;
        };
        for (int layer = 0; layer < c.n_layer; ++layer) {
          std::vector<Shown> expected, got;
          for (const Shown& tap : shown)
            if (tap.id.layer == layer) expected.push_back(tap);
          beside.evaluate_layer(
              {layer, positions, values_of(*bitnet::inputs_of(c, {Tap::attn_norm, layer}).a).data(),
               past[{Tap::k_rope, layer}].data(), past[{Tap::v_proj, layer}].data()},
              {[](TapId) { return true; },
               [&](TapId id, std::span<const std::int64_t> offsets, std::span<float> values) {
                 got.push_back({id, {offsets.begin(), offsets.end()}, {values.begin(), values.end()}});
               }});
          ASSERT_EQ(differing(got, expected), 0) << n << " tokens at " << at << ", layer " << layer;
          compared += got.size();
        }
        for (const Shown& tap : shown)
          past[tap.id].insert(past[tap.id].end(), tap.values.begin(), tap.values.end());
        at += n;
      }
      EXPECT_EQ(compared, 8 * static_cast<std::size_t>(c.n_layer) * bitnet::layer_taps(c, 0).size());
      EXPECT_EQ(beside.position(), 0);
    }
}

TEST_F(EmulatorOf, ChangedValuesGoOn) {
  const auto file = bitnet::gguf::File::open(kFixtures / "bundled.gguf");
  Emulator emulator(file, own_rope());
  const std::int32_t token = 5;
  float logits = 1;
  emulator.forward({&token, 1}, {[](TapId) { return true; },
                                 [&](TapId id, std::span<const std::int64_t>, std::span<float> values) {
                                   if (id.tap == Tap::result_norm) std::ranges::fill(values, 0.0f);
                                   if (id.tap == Tap::result_output) logits = values[3];
                                 }});
  EXPECT_EQ(logits, 0.0f);
}

TEST_F(EmulatorOf, ATokenOutsideTheVocabularyChangesNothing) {
  const auto file = bitnet::gguf::File::open(kFixtures / "bundled.gguf");
  Emulator emulator(file, own_rope());
  const std::vector<std::int32_t> bad{1, static_cast<std::int32_t>(emulator.config().n_vocab)};
  EXPECT_THROW(emulator.forward(bad, {}), bitnet::InputError);
  EXPECT_EQ(emulator.position(), 0);
}

TEST_F(EmulatorOf, TheParticipantShowsWhatTheEmulatorComputes) {
  const auto path = kFixtures / "bundled.gguf";
  const auto participant = make_emulator(path, own_rope());
  const auto file = bitnet::gguf::File::open(path);
  Emulator emulator(file, own_rope());
  const auto tokens = some_tokens(3, 250);
  std::vector<Shown> shown;
  participant->eval(
      tokens, [](TapId) { return true; },
      [&](Tensor&& t) {
        shown.push_back({t.id, t.offsets, t.values});
      });
  EXPECT_EQ(differing(shown, evaluate(emulator, tokens)), 0);
  EXPECT_EQ(participant->identity().name, "emulator");

  // One layer, beside the sequence: the input of layer 0 is the first tap.
  ASSERT_TRUE(participant->can_evaluate_layer());
  std::vector<Shown> layer, expected;
  const std::vector<std::int32_t> positions{0, 1, 2};
  participant->evaluate_layer(
      {0, positions, shown[0].values.data(), nullptr, nullptr}, [](TapId id) { return id.tap != Tap::kq; },
      [&](Tensor&& t) {
        layer.push_back({t.id, t.offsets, t.values});
      });
  for (const Shown& tap : shown)
    if (tap.id.layer == 0 && tap.id.tap != Tap::kq) expected.push_back(tap);
  EXPECT_EQ(differing(layer, expected), 0);
  EXPECT_EQ(participant->identity().details.at("width"), "16");
  EXPECT_EQ(participant->identity().details.at("rope"), "own");
}

}  // namespace
}  // namespace crossval
