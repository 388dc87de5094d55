#include "engine/cli/layout_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "engine/cli/quantize.h"
#include "engine/cli/synth.h"
#include "engine/formats/test_ternary.h"
#include "engine/gguf/temporary_directory.h"
#include "engine/gguf/writer.h"
#include "engine/model/context.h"
#include "engine/model/model.h"
#include "engine/safetensors/test_file.h"

namespace bitnet {
namespace {

using testing::TemporaryDirectory;
using Path = std::filesystem::path;

const Path kBundled = Path(CROSSVAL_SOURCE_DIR) / "fixtures/model/bundled.gguf";

void quantized(const std::string& type, const Path& out) {
  QuantizeOptions options;
  options.type = type;
  quantize(gguf::File::open(kBundled), options, out);
}

// The same file without the key that says it, as bitnet.cpp writes it.
void without_key(const Path& from, const Path& to) {
  const gguf::File file = gguf::File::open(from);
  gguf::Writer writer(to);
  for (const auto& kv : file.key_values())
    if (kv.key != gguf::kI2sLayoutKey) writer.add(kv);
  for (const auto& t : file.tensors())
    writer.add_tensor(std::string(t.name), {t.ne, t.ne + t.n_dims}, t.type);
  writer.begin();
  for (const auto& t : file.tensors()) writer.append(t.data);
  writer.finish();
}

TEST(FindLayout, ByWhatTheModelMakesOfAText) {
  const TemporaryDirectory dir;
  for (const auto& [type, layout] : {std::pair{"i2_s", I2sLayout::x86},
                                     {"i2_s-arm", I2sLayout::arm},
                                     {"i2_s-4-row", I2sLayout::four_row}}) {
    quantized(type, dir / "keyed");
    without_key(dir / "keyed", dir / "m");
    const LayoutFinding found = find_layout(dir / "m");
    EXPECT_EQ(found.layout, layout) << found.because;
    ASSERT_EQ(found.readings.size(), 3u);
    EXPECT_EQ(found.readings[0].layout, layout);
    EXPECT_LT(found.readings[0].nats_per_token + 1, found.readings[1].nats_per_token);
    EXPECT_NE(found.because.find("standard errors apart"), std::string::npos);
  }
}

TEST(FindLayout, ByTheFilesOwnKey) {
  const TemporaryDirectory dir;
  quantized("i2_s-arm", dir / "m");
  const LayoutFinding found = find_layout(dir / "m");
  EXPECT_EQ(found.layout, I2sLayout::arm);
  EXPECT_TRUE(found.readings.empty());
  quantized("tq2_0", dir / "m");
  EXPECT_EQ(find_layout(dir / "m").because, "the file has no I2_S");
}

void write(const testing::TestSafetensors& trace, const Path& out) {
  std::ofstream(out, std::ios::binary) << trace.bytes();
}

// The logits of some tokens under one layout, as a trace has them.
void record(const Path& model, I2sLayout layout, const Path& out) {
  const Model m = Model::load(model, {}, {.layout = layout, .tiles = {}});
  Context context(m, {.n_ctx = 8});
  const auto vocab = static_cast<std::size_t>(m.config().n_vocab);
  testing::TestSafetensors t;
  t.metadata = {{"tokens", R"({"a/b":[[1,2,3],[4]]})"}};
  std::vector<BatchRow> rows;
  for (const Token token : {1, 2, 3, 4}) rows.push_back({.token = token, .sequence = 0, .logits = true});
  const auto logits = context.forward(rows);
  const auto add = [&](const char* name, std::size_t from, std::size_t n) {
    std::string bytes(n * vocab * sizeof(float), '\0');
    std::memcpy(bytes.data(), logits.data() + from * vocab, bytes.size());
    t.tensors.push_back({name, "F32", {n, vocab}, bytes});
  };
  add("a%2Fb/0/result_output", 1, 2);  // the last two of three rows
  add("a%2Fb/1/result_output", 3, 1);
  write(t, out);
}

// Even of a model that has learned nothing.
TEST(FindLayout, ByRecordedLogits) {
  const TemporaryDirectory dir;
  synth("tiny", "i2_s", 1, dir / "m");
  for (const I2sLayout layout : kI2sLayouts) {
    record(dir / "m", layout, dir / "t.safetensors");
    const LayoutFinding found = find_layout(dir / "m", dir / "t.safetensors");
    EXPECT_EQ(found.layout, layout) << found.because;
    ASSERT_EQ(found.readings.size(), 3u);
    EXPECT_GT(found.readings[0].worst_cosine, 0.999999);
    EXPECT_LT(found.readings[1].worst_cosine, 0.999);
    EXPECT_NE(found.because.find("worst cosine of recorded logits"), std::string::npos);
  }
  // Another model's.
  synth("tiny", "i2_s", 2, dir / "other");
  record(dir / "other", I2sLayout::x86, dir / "t.safetensors");
  const LayoutFinding found = find_layout(dir / "m", dir / "t.safetensors");
  EXPECT_EQ(found.layout, std::nullopt);
  EXPECT_NE(found.because.find("none agrees"), std::string::npos) << found.because;
}

TEST(FindLayout, TracesThatDoNotFit) {
  const TemporaryDirectory dir;
  synth("tiny", "i2_s", 1, dir / "m");
  const auto failure = [&](const std::string& tokens, std::uint64_t width) {
    testing::TestSafetensors t;
    if (!tokens.empty()) t.metadata = {{"tokens", tokens}};
    t.tensors.push_back({"a/0/result_output", "F32", {1, width}, std::string(4 * width, 'x')});
    write(t, dir / "t.safetensors");
    return testing_support::error_of([&] { find_layout(dir / "m", dir / "t.safetensors"); });
  };
  const std::pair<std::string, std::string> cases[] = {
      {failure("", 512), "tokens: missing"},
      {failure("{}", 512), "tokens: has no case"},
      {failure("[7]", 512), "tokens: must be"},
      {failure(R"({"a":[["x"]]})", 512), "tokens: must be"},
      {failure(R"({"a":[[512]]})", 512), "is none of the model's"},
      {failure(R"({"b":[[1]]})", 512), "b/0/result_output: missing"},
      {failure(R"({"a":[[1]]})", 511), "a/0/result_output: must be F32, a row of 512"},
  };
  for (const auto& [message, expected] : cases)
    EXPECT_NE(message.find(expected), std::string::npos) << "no \"" << expected << "\" in: " << message;
}

TEST(FindLayout, WhatHasLearnedNothingTellsNothing) {
  const TemporaryDirectory dir;
  synth("tiny", "i2_s", 1, dir / "m");
  const LayoutFinding found = find_layout(dir / "m");
  EXPECT_EQ(found.layout, std::nullopt) << found.because;
  EXPECT_EQ(found.readings.size(), 3u);
}

}  // namespace
}  // namespace bitnet
