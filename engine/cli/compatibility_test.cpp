#include "engine/cli/compatibility.h"

#include <gtest/gtest.h>

#include <functional>

#include "engine/cli/synth.h"
#include "engine/gguf/temporary_directory.h"
#include "engine/gguf/writer.h"

namespace bitnet {
namespace {

using testing::TemporaryDirectory;

bool mentions(const std::vector<std::string>& lines, const std::string& fragment) {
  for (const auto& line : lines)
    if (line.find(fragment) != std::string::npos) return true;
  return false;
}

Compatibility judge(const std::function<void(SynthShape&)>& change) {
  const TemporaryDirectory dir;
  SynthShape shape = synth_shape("tiny");
  change(shape);
  synth(shape, 1, dir / "m");
  return judge_compatibility(gguf::File::open(dir / "m")).at(0);
}

// A copy of the tiny model, rewritten: without keys that `keep` refuses, with what `add` declares.
Compatibility judge_copy(const std::function<bool(std::string_view)>& keep,
                         const std::function<void(gguf::Writer&)>& add, std::uint64_t extra_bytes) {
  const TemporaryDirectory dir;
  synth("tiny", "i2_s", 1, dir / "m");
  const auto source = gguf::File::open(dir / "m");
  gguf::Writer w(dir / "copy");
  for (const auto& kv : source.key_values())
    if (keep(kv.key)) w.add(kv);
  for (const auto& t : source.tensors())
    if (keep(t.name)) w.add_tensor(std::string(t.name), {t.ne, t.ne + t.n_dims}, t.type);
  add(w);
  w.begin();
  for (const auto& t : source.tensors())
    if (keep(t.name)) w.append(t.data);
  if (extra_bytes > 0) w.append(std::vector<std::byte>(extra_bytes));
  w.finish();
  return judge_compatibility(gguf::File::open(dir / "copy")).at(0);
}

const auto kAll = [](std::string_view) { return true; };
const auto kNothing = [](gguf::Writer&) {};

TEST(Compatibility, SyntheticModelsLoad) {
  for (const char* architecture : {"bitnet", "bitnet-25", "bitnet-b1.58", "llama"}) {
    const Compatibility c = judge([&](SynthShape& s) { s.architecture = architecture; });
    EXPECT_TRUE(c.loads) << architecture << (c.because.empty() ? "" : c.because.front());
    EXPECT_TRUE(c.because.empty());
    EXPECT_TRUE(c.remarks.empty());
  }
}

TEST(Compatibility, HeadsOfOurOwnArithmeticAreRemarked) {
  for (const auto type : {TensorType::f16, TensorType::f32, TensorType::q6_k, TensorType::q8_0,
                          TensorType::bf16, TensorType::q5_0, TensorType::q4_k, TensorType::q4_0}) {
    const Compatibility c = judge([&](SynthShape& s) { s.embedding = type; });
    EXPECT_TRUE(c.loads);
    EXPECT_EQ(mentions(c.remarks, "differ in their last bits"),
              type != TensorType::f16 && type != TensorType::f32 && type != TensorType::q6_k);
  }
}

TEST(Compatibility, AnUntiedHeadIsRefusedOrIgnored) {
  const Compatibility old = judge([](SynthShape& s) { s.architecture = "bitnet", s.untied = true; });
  EXPECT_FALSE(old.loads);
  EXPECT_TRUE(mentions(old.because, "`output.weight`"));
  EXPECT_TRUE(mentions(old.because, "wrong number of tensors"));
  const Compatibility b158 = judge([](SynthShape& s) { s.untied = true; });
  EXPECT_TRUE(b158.loads);
  EXPECT_TRUE(mentions(b158.remarks, "`output.weight` is loaded and ignored"));
}

TEST(Compatibility, AMissingPreTokenizerIsRemarked) {
  const Compatibility c = judge([](SynthShape& s) { s.pre = ""; });
  EXPECT_TRUE(c.loads);
  EXPECT_TRUE(mentions(c.remarks, "default pre-tokenizer"));
}

TEST(Compatibility, MissingKeysAndTensorsAreNamed) {
  const Compatibility key =
      judge_copy([](std::string_view name) { return name != "bitnet-b1.58.context_length"; }, kNothing, 0);
  EXPECT_FALSE(key.loads);
  EXPECT_TRUE(mentions(key.because, "`bitnet-b1.58.context_length` is missing"));
  const Compatibility tensor =
      judge_copy([](std::string_view name) { return name != "blk.1.attn_sub_norm.weight"; }, kNothing, 0);
  EXPECT_FALSE(tensor.loads);
  EXPECT_TRUE(mentions(tensor.because, "`blk.1.attn_sub_norm.weight` is missing"));
  const Compatibility architecture =
      judge_copy([](std::string_view name) { return name != "general.architecture"; }, kNothing, 0);
  EXPECT_TRUE(mentions(architecture.because, "`general.architecture` is missing"));
}

TEST(Compatibility, SeparateScalesAreRefusedByB158) {
  const Compatibility c = judge_copy(
      kAll, [](gguf::Writer& w) { w.add_tensor("blk.0.attn_q.scale", {1}, TensorType::f32); }, 4);
  EXPECT_FALSE(c.loads);
  EXPECT_TRUE(mentions(c.because, "`blk.0.attn_q.scale`"));
}

TEST(Compatibility, AnotherActivationIsRemarked) {
  const auto named = [](const char* activation) {
    return judge_copy(
        kAll, [&](gguf::Writer& w) { w.add("bitnet-b1.58.hidden_act", std::string(activation)); }, 0);
  };
  EXPECT_TRUE(named("relu2").remarks.empty());
  EXPECT_TRUE(named("silu").loads);
  EXPECT_TRUE(
      mentions(named("silu").remarks, "`bitnet-b1.58.hidden_act` is not read: the FFN runs with relu2"));
}

TEST(Compatibility, FfnBiasesAreRemarked) {
  const Compatibility c = judge_copy(
      kAll, [](gguf::Writer& w) { w.add_tensor("blk.0.ffn_up.bias", {512}, TensorType::f32); }, 2048);
  EXPECT_TRUE(c.loads);
  EXPECT_TRUE(mentions(c.remarks, "never applied"));
}

TEST(Compatibility, OtherArchitecturesAreNotJudged) {
  const Compatibility c =
      judge_copy([](std::string_view name) { return name != "general.architecture"; },
                 [](gguf::Writer& w) { w.add("general.architecture", std::string("gpt2")); }, 0);
  EXPECT_FALSE(c.loads);
  EXPECT_TRUE(mentions(c.because, "`gpt2` is not of the BitNet family"));
}

TEST(Compatibility, APartialRotationIsRefusedByB158) {
  const Compatibility c =
      judge_copy([](std::string_view name) { return name != "bitnet-b1.58.rope.dimension_count"; },
                 [](gguf::Writer& w) { w.add("bitnet-b1.58.rope.dimension_count", std::uint32_t{32}); }, 0);
  EXPECT_FALSE(c.loads);
  EXPECT_TRUE(mentions(c.because, "rope.dimension_count 32 differs from the head size 64"));
}

TEST(Compatibility, TheNewGenerationIsMarkedAsReported) {
  const TemporaryDirectory dir;
  synth("tiny", "i2_s", 1, dir / "m");
  const auto all = judge_compatibility(gguf::File::open(dir / "m"));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_NE(all[1].program.find("as reported"), std::string::npos);
  EXPECT_TRUE(mentions(all[1].remarks, "SiLU"));
}

}  // namespace
}  // namespace bitnet
